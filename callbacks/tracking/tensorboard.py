"""TensorBoard event files of a run: scalars, and the first completions and all alerts as text."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from callbacks.tracking.curves import name_curve
from callbacks.tracking.rows import make_table, read_records

# TensorBoard shows a handful of texts a step; all of them are in the run directory.
_TEXTS = 8


class TensorBoardBackend:
    """Event files under tensorboard/ of the run directory; the warm-up's training stands on its own steps."""

    name = "TensorBoard"

    def __init__(self, directory: Path):
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = Event, Summary
        self._metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        self._make_tensor = lambda text: TensorProto(dtype=DT_STRING, string_val=[text.encode("utf-8", "replace")])
        self.delivered = _count_messages(directory)
        self._writer = EventFileWriter(str(directory))

    def log(self, row: Mapping[str, float], stage: str, step: int) -> None:
        values = [
            self._summary.Value(tag=name_curve(key, stage), simple_value=float(value)) for key, value in row.items()
        ]
        self._write(values, int(row.get("sft/step", step)))

    def log_completions(self, path: Path, stage: str, step: int) -> None:
        columns, rows = make_table(read_records(path)[:_TEXTS])
        kind = "training" if "advantage" in columns else "evaluation"
        # Four spaces make a block of code of each line: the text is shown by a Markdown renderer.
        texts = ["\n".join(f"    {name}: {cell}" for name, cell in zip(columns, row, strict=True)) for row in rows]
        self._write([self._text(f"completions/{kind}/{n}", text) for n, text in enumerate(texts)], step)

    def alert(self, title: str, text: str, level: str, stage: str, step: int) -> None:
        self._write([self._text(f"watch/{title}", f"{level}: {text}")], step)

    def log_files(self, paths: list[Path], name: str) -> None:
        """Nothing: TensorBoard keeps no files, and these are in the run directory."""

    def close(self) -> None:
        self._writer.close()

    def _write(self, values: list[Any], step: int) -> None:
        self._writer.add_event(
            self._event(wall_time=time.time(), step=step, summary=self._summary(value=values)),
        )
        # Else it keeps two minutes of a run in memory, which a kill takes away.
        self._writer.flush()

    def _text(self, tag: str, text: str) -> Any:
        return self._summary.Value(tag=tag, metadata=self._metadata, tensor=self._make_tensor(text))


def _count_messages(directory: Path) -> int:
    """How many messages lie in the event files of earlier processes: each is one event, and half a one is none."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    return sum(
        Event.FromString(data).HasField("summary")
        for path in directory.glob("events.out.*")
        for data in RawEventFileLoader(str(path)).Load()
    )
