"""Where the recipe expects a metric to lie is a band behind its curve, in the report and on the page alike."""

import json
import re

import pytest

from callbacks.watch.rules import WatchSection
from grpo.language.catalogue import read_catalogue
from grpo.report.charts import Curve, lay_out_chart
from grpo.report.curves import make_lines
from grpo.report.page import translate_curve, write_report
from grpo.report.run_files import read_run


@pytest.fixture(scope="module")
def runs(write_run, tmp_path_factory):
    """A recipe's run, and a rehearsal of it."""
    folder = tmp_path_factory.mktemp("runs")
    return write_run(folder / "recipe", steps=60), write_run(folder / "rehearsal", rehearsal=True, steps=60)


def bands(folder):
    return {line.name: line.band for line in make_lines(read_run(folder)) if line.band is not None}


def test_bands_when_the_run_is_held_to_the_recipe_then_its_table_is_drawn(runs):
    """100 to 400 tokens, fewer than a fifth of zero-spread groups, gradient norms of 0.05 to 0.5; no band in a rehearsal."""
    recipe, rehearsal = runs
    assert bands(recipe) == {
        "zero-spread groups": (0.0, 0.2, "expected 0 to 0.2"),
        "completion length, tokens": (100.0, 400.0, "expected 100 to 400"),
        "gradient norm": (0.05, 0.5, "expected 0.05 to 0.5"),
    }
    assert bands(rehearsal) == {}


def test_report_when_written_then_each_band_is_a_shape_with_its_name(runs):
    """One area a banded curve, beside the line that a rule stops at."""
    page = write_report(runs[0])[0].read_text()
    assert page.count('class="expected"') == 3
    assert {"expected 0 to 0.2", "expected 100 to 400", "expected 0.05 to 0.5"} <= set(
        re.findall(r">(expected [^<]+)<", page)
    )


@pytest.mark.parametrize(("band", "top", "bottom"), [((0.2, 0.4, "x"), 50.0, 75.0), ((None, 0.4, "x"), 50.0, 100.0)])
def test_band_when_laid_out_then_it_reaches_from_its_low_to_its_high_end(band, top, bottom):
    """Values from 0 to 0.8 by hand: 0.4 lies in the middle, an open end at the edge."""
    drawing = lay_out_chart(Curve("c", values=[(1, 0.1), (2, 0.7)], band=band), scale=(0.0, 0.8))
    assert f'<path class="expected" d="M0 {top}H100V{bottom}H0Z"/>' in drawing.shapes
    assert ("left", True, top, "x") in drawing.names


def test_band_when_far_from_the_curve_then_the_picture_still_holds_it():
    """Completions of 20 tokens are seen to lie below a band of 100 to 400."""
    drawing = lay_out_chart(Curve("c", values=[(1, 20.0), (2, 22.0)], band=(100.0, 400.0, "x")))
    top, bottom = re.search(r'class="expected" d="M0 ([\d.]+)H100V([\d.]+)', drawing.shapes).groups()
    assert 0 < float(top) < float(bottom) < 100


def test_bands_when_changed_in_a_config_then_by_metric():
    """One end changed, one switched off, one added under another trainer's name."""
    section = WatchSection.model_validate(
        {"expected": {"grad_norm": {"high": 1.0}, "zero_std": "off", "objective/kl": {"high": 0.1}}}
    )
    assert (section.expected["grad_norm"].low, section.expected["grad_norm"].high) == (0.05, 1.0)
    assert not section.expected["frac_reward_zero_std"].enabled and section.expected["kl"].label == "expected below 0.1"
    # A resolved config is read back to the same.
    again = WatchSection.model_validate(json.loads(section.model_dump_json()))
    assert again == section
    with pytest.raises(ValueError, match=r"low 2 is not below high 1"):
        WatchSection.model_validate({"expected": {"entropy": {"low": 2, "high": 1}}})


def test_band_when_the_report_is_portuguese_then_its_name_is_too(runs):
    """As every other label of a curve."""
    words = read_catalogue("pt-BR")
    named = [translate_curve(line, words).band for line in make_lines(read_run(runs[0]))]
    assert "esperado de 100 a 400" in [band[2] for band in named if band]
