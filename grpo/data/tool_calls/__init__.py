"""Generated rows of function calling in three forms: a structured record, Hermes calls, rules over events (CEP)."""
