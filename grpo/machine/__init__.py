"""The machine a run stands on: its device, its versions, its memory."""
