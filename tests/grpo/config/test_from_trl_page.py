"""The example of docs/from_trl.md does what the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path

from grpo.config.__main__ import main
from grpo.config.trl_fields import HANDED

PAGE = (Path(__file__).parents[3] / "docs" / "from_trl.md").read_text(encoding="utf-8")


def test_example_when_translated_then_gives_what_the_page_says(tmp_path, capsys):
    """Four prompts a step, sixteen completions a pass, one setting handed through, three notes."""
    example, handed = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "grpo.yaml"
    path.write_text(example, encoding="utf-8")
    assert main(["from-trl", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["config"]["grpo"]["prompts_per_step"], found["config"]["grpo"]["micro_batch_size"]) == (4, 16)
    assert found["config"]["trl"] == {"top_entropy_quantile": 0.2}
    assert [note.partition(" ")[0] for note in found["notes"]] == ["max_prompt_length:", "sync_ref_model:", "written"]
    assert {line.split(":")[0].strip() for line in handed.splitlines()[1:]} <= HANDED.keys()
