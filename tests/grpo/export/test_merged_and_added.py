"""When an export is merged, added or laid down, and when not: numbers and folders that can be worked out by hand."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from grpo.export import adding, folder, merging, published  # noqa: E402
from grpo.export.adding import find_problems, read_added  # noqa: E402
from grpo.export.folder import NoSpace, drafting, list_files  # noqa: E402
from grpo.export.merging import BFLOAT16_TOLERANCE, FLOAT32_TOLERANCE, compare_logits  # noqa: E402
from rewards.errors import UserError  # noqa: E402

# -- logits -----------------------------------------------------------------------------------------------------------------


def test_logits_when_two_models_are_compared_then_the_largest_difference_of_any_place_counts():
    """Two rows of two and one position; of three choices one is another."""
    wanted = [torch.tensor([[1.0, 0.0], [0.0, 4.0]]), torch.tensor([[0.0, -8.0]])]
    found = [torch.tensor([[1.0, 0.25], [0.0, 4.0]]), torch.tensor([[-7.5, -7.0]])]
    check = compare_logits(wanted, found)
    assert (check.rows, check.positions, check.largest_difference, check.largest_logit) == (2, 3, 7.5, 8.0)
    assert check.same_choice == pytest.approx(2 / 3) and check.tolerance == FLOAT32_TOLERANCE and not check.passed
    assert check.to_json()["passed"] is False and check.to_json()["rows"] == 2
    assert compare_logits(wanted, found, bfloat16=True).tolerance == pytest.approx(8 * BFLOAT16_TOLERANCE)
    assert compare_logits([torch.zeros(1, 2)], [torch.zeros(1, 2)], bfloat16=True).tolerance == BFLOAT16_TOLERANCE
    edge = compare_logits([torch.zeros(1, 2)], [torch.full((1, 2), FLOAT32_TOLERANCE)])
    assert edge.passed == (float(torch.tensor(FLOAT32_TOLERANCE)) <= FLOAT32_TOLERANCE)
    nothing = compare_logits([], [])
    assert nothing.passed and (nothing.rows, nothing.positions, nothing.same_choice, nothing.largest_logit) == (
        0,
        0,
        1.0,
        0.0,
    )
    for broken in ([[float("nan"), 0.0]], [[float("inf"), 0.0]]):
        assert not compare_logits(
            [torch.zeros(1, 2), torch.zeros(1, 2)], [torch.tensor(broken), torch.zeros(1, 2)]
        ).passed
    with pytest.raises(ValueError, match="shorter"):
        compare_logits(wanted, found[:1])


class Echo(torch.nn.Module):
    """Logits that say which token stands where."""

    def __init__(self):
        super().__init__()
        self.embed, self.asked = torch.nn.Embedding(9, 2), []

    def get_input_embeddings(self):
        return self.embed

    def forward(self, input_ids, use_cache):
        self.asked.append((input_ids.tolist(), use_cache))
        return SimpleNamespace(logits=input_ids[..., None].bfloat16().expand(-1, -1, 3))


def test_logits_when_taken_then_they_are_those_of_the_last_positions_of_a_few_rows():
    """At most 8 rows of 24 positions, a row at a time, float32."""
    model = Echo()
    taken = merging.take_logits(model, [list(range(5)), [n % 9 for n in range(30)], *[[1]] * 9])
    assert [len(each) for each in taken] == [5, 24, *[1] * 6] and all(each.dtype == torch.float32 for each in taken)
    assert taken[0][:, 0].tolist() == [0, 1, 2, 3, 4] and taken[1][0, 0] == 6 % 9
    assert all(use_cache is False and len(ids) == 1 for ids, use_cache in model.asked)


# -- two adapters -----------------------------------------------------------------------------------------------------------


def make_choice(tmp_path, label, kind="adapter", **model):
    place = tmp_path / label
    place.mkdir(exist_ok=True)
    settings = {"quantization": "none", "embedded": None, "named_adapter": None, "name": "base"}
    section = SimpleNamespace(**settings | model)
    return SimpleNamespace(
        source=SimpleNamespace(kind=kind, location=str(place)), config=SimpleNamespace(model=section), name=label,
        folder=place, run=place,
    )  # fmt: skip


@pytest.fixture
def one_base(monkeypatch):
    """Every adapter says what it stands on by its section."""
    monkeypatch.setattr(
        adding, "identify_base", lambda choice: {"name": choice.config.model.name, "revision": None, "gguf": None}
    )


def test_adapters_when_they_stand_on_one_base_then_they_can_be_added(one_base, tmp_path):
    """The same name, the same bits."""
    first, other = make_choice(tmp_path, "one"), make_choice(tmp_path, "two")
    assert find_problems(first, other) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "model"}, "two is a whole model; only adapters can be added"),
        ({"name": "other"}, "it stands on other, one on base; adapters of one base can be added"),
        ({"quantization": "nf4"}, "it stands on base, nf4, one on base; adapters of one base can be added"),
        ({"embedded": 1}, "bases made on the spot are only alike where rows and seed are"),
        ({"named_adapter": "one/best"}, "two was trained on from one and holds it already; take two alone"),
        ({"config": '{"use_dora": true}'}, "the adapter of two is of DoRA's kind, which has no sum"),
        ({"config": '{"modules_to_save": ["lm_head"]}'}, "replaces whole layers or tokens"),
        ({"config": '{"trainable_token_indices": [1]}'}, "replaces whole layers or tokens"),
        ({"config": '{"peft_type": "LOHA"}'}, "is of PEFT's kind LOHA"),
        ({"config": '{"bias": "all"}'}, "trains biases too"),
        ({"config": '{"peft_type": "LORA", "bias": "none", "use_dora": false}'}, None),
    ],
    ids=str,
)
def test_adapters_when_their_sum_would_be_no_policy_then_one_line_says_why(
    one_base, tmp_path, monkeypatch, changes, said
):
    """Whichever of the two it is."""
    monkeypatch.chdir(tmp_path)
    written = changes.pop("config", "{}")
    first, other = make_choice(tmp_path, "one"), make_choice(tmp_path, "two", **changes)
    (other.folder / "adapter_config.json").write_text(written)
    for pair in ((first, other), (other, first)):
        problems = find_problems(*pair)
        if said is None:
            assert problems == []
        elif "it stands on" not in said:
            assert len(problems) == 1 and said in problems[0]
    if said and "it stands on" in said:
        assert find_problems(first, other) == [said]


@pytest.mark.parametrize(
    ("text", "place", "weight"), [("run", "run", 1.0), ("run=0.25", "run", 0.25), ("a=b=-1", "a=b", -1.0)]
)
def test_sum_when_a_weight_is_given_then_it_is_that_of_the_adapter(monkeypatch, text, place, weight):
    """What stands before the last equals sign is the run."""
    monkeypatch.setattr(adding, "choose", lambda place: place)
    monkeypatch.setattr(adding, "find_problems", lambda first, other: [] if other == place else ["another"])
    found = read_added(text, None)
    assert (found.choice, found.weight) == (place, weight)


@pytest.mark.parametrize("weight", ["many", "", "nan", "inf", "-inf", "1e999"])
def test_sum_when_a_weight_is_no_number_then_one_line_says_so(monkeypatch, weight):
    """A number that is none would make every weight of the policy one."""
    monkeypatch.setattr(adding, "choose", lambda place: pytest.fail("it is refused first"))
    with pytest.raises(UserError, match=r"--add run=.*; write ") as refused:
        read_added(f"run={weight}", None)
    assert len(refused.value.problems) == 1


# -- the folder -------------------------------------------------------------------------------------------------------------


def test_folder_when_it_is_laid_down_then_it_appears_whole_with_nothing_left_beside_it(tmp_path):
    """An empty one of that name is taken; a draft that was left by a kill is gone."""
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "old").write_text("x")
    (tmp_path / "out").mkdir()
    with drafting(tmp_path / "out", needed=1) as draft:
        assert draft == tmp_path / ".out.partial" and not list(draft.iterdir())
        (draft / "sub").mkdir()
        (draft / "sub" / "b").write_text("abc")
        (draft / "a").write_text("")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert list_files(tmp_path / "out") == {
        "a": {"bytes": 0, "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        "sub/b": {"bytes": 3, "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    }


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (OSError(errno.ENOSPC, "full"), NoSpace, "the disk is full; nothing was left there"),
        (OSError(errno.EDQUOT, "full"), NoSpace, "the disk is full"),
        (PermissionError(errno.EACCES, "not yours"), UserError, r"cannot be written \(not yours\)"),
        (OSError(errno.EIO, "broken"), OSError, "broken"),
        (KeyError("bug"), KeyError, "bug"),
    ],
    ids=repr,
)
def test_folder_when_it_fails_on_the_way_then_nothing_is_left(tmp_path, fault, kind, said):
    """Neither half of it nor the hidden draft."""
    with pytest.raises(kind, match=said), drafting(tmp_path / "out", needed=0) as draft:
        (draft / "half").write_text("x")
        raise fault
    assert not list(tmp_path.iterdir())


def test_folder_when_it_is_taken_or_too_small_then_it_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    """A file of that name, a folder with something in it, a disk with a byte too few."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    for name in ("file", "full"):
        with pytest.raises(UserError, match="exists already"), drafting(tmp_path / name, needed=0):
            pytest.fail("nothing may be written")
    monkeypatch.setattr(folder.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with drafting(tmp_path / "fits", needed=1000):
        pass
    with (
        pytest.raises(UserError, match="needs about 1 KiB, and 1 KiB are free there"),
        drafting(tmp_path / "no", needed=1001),
    ):
        pytest.fail("nothing may be written")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "fits", "full"]
    with pytest.raises(UserError, match="cannot be written"), drafting(tmp_path / "file" / "below", needed=0):
        pytest.fail("nothing may be written")


def test_settings_when_they_go_to_others_then_paths_are_their_last_part():
    """Home, absolute, above; a name on the Hub stays."""
    words = [
        "model.name=/home/me/models/x",
        "data.train=~/rows.jsonl",
        "a=../up/b.yaml",
        "model.name=org/name",
        "seed=3",
        "flag",
    ]
    assert published.hide_folders(words) == [
        "model.name=x", "data.train=rows.jsonl", "a=b.yaml", "model.name=org/name", "seed=3", "flag"
    ]  # fmt: skip
