"""The `data:` section: its defaults and what it refuses."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from grpo.data.section import DataSection, ShopSection


def test_section_when_empty_then_is_the_v4_shop():
    """1,480 rows in V4's proportions, and at least 300 held out."""
    shop = DataSection().shop
    assert (DataSection().source, shop.train_rows, shop.held_out_rows, shop.seed) == ("shop", 1480, 320, 7)
    assert shop.proportions == {"extraction": 0.4, "sql_qa": 0.4, "insights": 0.1, "push": 0.1}


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ({"source": "files"}, "needs train and held_out"),
        ({"source": "files", "train": "a"}, "needs held_out"),
        ({"train": "a.jsonl"}, "read only with source: files"),
        ({"shop": {"proportions": {"extraction": 0.5}}}, "add up to 1"),
        ({"shop": {"proportions": {"resumo": 1.0}}}, "no such task: resumo"),
        ({"shop": {"warmup_slips": 1.5}}, "less than or equal to 1"),
        ({"shop": {"seeds": 1}}, "Extra inputs"),
        ({"sauce": "shop"}, "Extra inputs"),
    ],
)
def test_section_when_wrong_then_says_what(section, text):
    """Every mistake has its sentence."""
    with pytest.raises(ValidationError, match=text):
        DataSection.model_validate(section)


def test_proportions_when_one_task_only_then_are_allowed():
    """A user may train one task."""
    assert ShopSection(proportions={"sql_qa": 1.0}).proportions == {"sql_qa": 1.0}


def test_import_when_done_then_brings_no_training_library():
    """The whole package starts without torch and its kin."""
    heavy = "torch", "transformers", "trl", "datasets", "wandb", "matplotlib", "numpy"
    code = f"import sys, grpo.data.__main__; print([name for name in {heavy!r} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
