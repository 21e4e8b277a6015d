"""docs/pipelines.md: every page, heading, recipe and command that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

from grpo.config.loading import list_configs
from grpo.console import COMMANDS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "pipelines.md").read_text(encoding="utf-8")


def test_page_when_it_links_then_pages_and_headings_are_there():
    """Headings as GitHub makes anchors of them."""
    for name, heading in re.findall(r"\]\(([\w./]+\.md)(?:#([\w-]+))?\)", PAGE):
        text = (DOCS / name).read_text(encoding="utf-8")
        anchors = {
            re.sub(r"[^\w\- ]", "", line.strip("# ").lower()).replace(" ", "-")
            for line in re.findall(r"^#+ .*", text, re.M)
        }
        assert not heading or heading in anchors, (name, heading)


def test_page_when_it_names_recipes_and_commands_then_they_exist():
    """The nine persona models are counted, the others named."""
    shipped = set(list_configs())
    assert set(re.findall(r"`((?:v4|tmf921|tools|qwen3)_\w+)`", PAGE)) <= shipped
    named = set(re.findall(r"`recompensa (\S+?)[ `]", PAGE))
    assert named and named <= set(COMMANDS) | {"rewards"}, named - set(COMMANDS)
    tools = set(re.findall(r"`recompensa data (\w+)", PAGE)) | {"mix", "wrap", "contrast"}
    assert tools <= set(re.findall(r'"(\w+)"', (DOCS.parent / "grpo" / "data" / "__main__.py").read_text()))


def test_items_when_they_name_tests_and_commands_then_those_exist():
    """Each row of docs/pipelines_items.md has a test that is there, or says why there is none."""
    text = (DOCS / "pipelines_items.md").read_text(encoding="utf-8")
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS.parent / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 50 and not [name for name in named if f"def {name}(" not in tests]
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert all(len(cells) == 3 and all(cell.strip("| ") for cell in cells) for cells in rows)
    started = {first.split()[0] for cells in rows for first in re.findall(r"`([a-z-]+ [^`]+)`", cells[1])}
    commands = {word for word in started if not word.endswith(":")}
    assert commands <= set(COMMANDS) and {"data", "tables", "checklist"} <= commands, commands - set(COMMANDS)
