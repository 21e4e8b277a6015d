"""The pages of the reward functions: what they say of parts, options and examples is what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rewards import plugins
from rewards.rows import make_example
from rewards.sample_rows import FOLDER, open_samples
from rewards.types import Completion

PAGES = Path(__file__).parents[2] / "docs" / "rewards"
OWN = (
    "a1_policy", "camara", "contrastive", "etsi_zsm", "expectations", "extraction", "field_f1", "final_answer", "insights", "intent_3gpp", "json_valid",
    "kpi_values", "o1_nrm", "push", "schema_valid", "sql_qa", "telecom", "telecom_adversarial", "telecom_lifecycle",
    "text_overlap", "tmf921", "tool_call",
)  # fmt: skip
_OPTION = re.compile(r"\| `(\w+)` \| (.+?) \| .+ \|")
_EXAMPLE = re.compile(r"\| (`{1,2}) ?(.+?) ?\1 \| ([01]\.\d{3}) \| (.*?) ?\|")


def read_page(name: str) -> dict[str, str]:
    """The page's sections by their headings."""
    pieces = re.split(r"^## (.+)$", (PAGES / f"{name}.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {"": pieces[0], **dict(zip(pieces[1::2], pieces[2::2], strict=True))}


@pytest.mark.parametrize("name", OWN)
def test_page_when_options_are_listed_then_are_the_function_s_with_their_defaults(name):
    """None is missing, none is made up."""
    summary = plugins.load_rewards().get(name).summary()
    listed = dict(_OPTION.findall(read_page(name)["Options"]))
    assert list(listed) == list(summary["options"])
    for option, shown in listed.items():
        default = summary["options"][option]["default"]
        if isinstance(default, list) and default:
            assert shown == f"{len(default)} entries"
        elif not isinstance(default, dict):
            assert json.loads(shown.strip("`")) == default if not isinstance(default, str) else shown == f"`{default}`"


@pytest.mark.parametrize("name", OWN)
def test_page_when_its_examples_are_scored_then_earn_what_it_says(name):
    """Value and reason of every line, and every part is explained."""
    page = read_page(name)
    row = json.loads(re.search(r"```json\n(.+?)```", page["Example"], re.DOTALL)[1])  # type: ignore[index]
    entry = plugins.load_rewards().get(name)
    function = entry.function()
    explained = page["Parts"] + page["Pays for"]
    with open_samples(entry) as samples:
        # A sample's database is built from its script, so that the row of the page is the one at hand.
        same = [sample for sample in samples if sample.id == row["id"]]
        example = same[0] if same else make_example(row, "page", 0, FOLDER)
        assert example.reference == row["reference"] and function.problems(example) == []
        scored = 0
        before, _, after = page["Example"].partition("| completion |")
        for text, patched in ((before, True), (after, False)):
            for _, cell, value, reason in _EXAMPLE.findall(text):
                given = json.dumps({**json.loads(row["reference"]), **json.loads(cell)}) if patched else cell
                score = function(example, Completion(given))
                assert (f"{score.value:.3f}", score.reason) == (value, reason.strip()), cell
                assert all(f"`{part}`" in explained or part.startswith("field/") for part in score.parts)
                scored += 1
        assert scored >= 7


def test_index_when_read_then_names_every_built_in_and_links_to_pages_that_are_there():
    """A function that nobody can look up is not there."""
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([\w./]+\.md)\)", index)
    assert {f"{module.rpartition('.')[2]}.md" for module in plugins.BUILT_INS} <= set(linked)
    assert [link for link in linked if not (PAGES / link).is_file()] == []


@pytest.mark.parametrize("name", OWN)
def test_page_when_it_links_then_the_page_is_there(name):
    """No link leads nowhere."""
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert [link for link in re.findall(r"\]\(([\w./]+\.md)\)", text) if not (PAGES / link).is_file()] == []
