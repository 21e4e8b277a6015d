"""What is read as a recorded run: a run's folder, an evaluation, a file of means."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from grpo.compare.__main__ import main
from grpo.compare.reading import read_recorded
from rewards.errors import UserError
from tests.grpo.compare.recorded_runs import draw_rows, make_row, write_run


def test_read_recorded_of_an_evaluation_takes_its_metrics_settings_and_name(tmp_path):
    """What grpo.evaluate wrote is a run with metrics of its own; an unfinished one is refused."""
    folder = tmp_path / "evaluation"
    folder.mkdir()
    rows = [make_row(f"{n}", "t", 0.5, metrics={"parse": 1.0, "exact": 0.0}) for n in range(3)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = {
        "name": "zero shot",
        "finished": True,
        "settings": {"temperature": 0.0},
        "rewards": {"f": {"weight": 1.0}},
    }
    (folder / "evaluation.json").write_text(json.dumps(summary))
    (run,) = read_recorded([str(folder)])
    assert run.name == "zero shot" and run.settings == {"temperature": 0.0}
    assert run.cells["all", "parse"].value == 1.0 and run.versions == {"f": "1"}
    (folder / "evaluation.json").write_text(json.dumps({**summary, "finished": False}))
    with pytest.raises(UserError, match="not finished"):
        read_recorded([str(folder)])


def test_read_recorded_when_names_are_shared_then_they_are_told_apart(tmp_path):
    """Two runs called alike keep names of their own."""
    for parent in ("x", "y"):
        write_run(tmp_path / parent / "run", draw_rows(1))
    runs = read_recorded([str(tmp_path / "x" / "run"), str(tmp_path / "y" / "run"), str(tmp_path / "y" / "run")])
    assert len({run.name for run in runs}) == 3


def test_read_means_without_all_pools_the_splits():
    """The mean over all is that of the splits by their sizes: (0.5 * 10 + 0.8 * 30) / 40."""
    from grpo.compare.reading_means import _add_totals
    from rewards.statistics.changes import Cell

    cells = {("split:a", "m"): Cell(0.5, 10, 0.1), ("split:b", "m"): Cell(0.8, 30, 0.1), ("split:a", "k"): Cell(0.5)}
    _add_totals(cells)
    assert cells["all", "m"].value == pytest.approx(0.725) and cells["all", "m"].n == 40
    assert ("all", "k") not in cells


def test_compare_when_started_then_torch_is_not_imported(tmp_path):
    """A comparison starts without torch, transformers or matplotlib."""
    write_run(tmp_path / "a", draw_rows(1))
    write_run(tmp_path / "b", draw_rows(2, gain=0.1))
    code = (
        "import sys; from grpo.compare.__main__ import main; code = main(sys.argv[1:]);"
        "assert not {'torch', 'transformers', 'matplotlib', 'numpy'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a"), str(tmp_path / "b")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "b: promoted" in done.stdout and "Holm's correction" in done.stdout


@pytest.mark.parametrize(("tasks", "corrected"), [(("t",), False), (("t", "u"), True)])
def test_compare_when_one_difference_is_tested_then_no_correction_is_spoken_of(tmp_path, capsys, tasks, corrected):
    """Holm's correction of a single p is that p; of several the note says how many."""
    folders = [write_run(tmp_path / str(seed), draw_rows(seed, 0.1 * seed, tasks=tasks)) for seed in (1, 2)]
    main(list(map(str, folders)))
    assert ("Holm's correction" in capsys.readouterr().out) is corrected
