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
