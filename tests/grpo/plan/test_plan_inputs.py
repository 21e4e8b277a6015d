"""The rows a plan and a run use: the shop in its cache, the user's own files, demonstrations, and what is refused."""

import json
from pathlib import Path

import pytest

from grpo.config.loading import load_config
from grpo.data.run_rows import load_inputs
from grpo.machine.cache import cache_folder
from rewards.errors import UserError


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setenv("RECOMPENSA_CACHE", str(tmp_path / "cache"))


def write_rows(path: Path, *names: str, **changed) -> Path:
    lines = [
        {"id": name, "task": "push", "prompt": [{"role": "user", "content": f"escreva {name}"}], "reference": "Oi!"}
        for name in names
    ]
    path.write_text("".join(json.dumps({**line, **changed}) + "\n" for line in lines), encoding="utf-8")
    return path


def files_config(train: Path, held_out: Path, *overrides: str):
    given = ["data.source=files", f"data.train={train}", f"data.held_out={held_out}", *overrides]
    return load_config("v4_1", given, profile="gpu")


def test_shop_when_loaded_twice_then_is_built_once(tmp_path):
    """The second run reads the cache, and gets the same rows."""
    config = load_config("v4_1", profile="gpu")
    first = load_inputs(config)
    written = first.database.stat().st_mtime_ns
    second = load_inputs(config)
    assert first == second
    assert second.database.stat().st_mtime_ns == written
    assert (len(first.train), len(first.warmup)) == (1480, 0)
    assert len(first.held_out) >= 300
    assert first.database.is_relative_to(tmp_path / "cache")


def test_shop_when_the_profile_is_embedded_then_has_demonstrations_in_a_folder_of_its_own():
    """The rehearsal's rows do not build over the recipe's."""
    small = ["data.shop.train_rows=40", "data.shop.held_out_rows=20", "data.shop.warmup_rows=30"]
    recipe = load_inputs(load_config("v4_1", small, profile="gpu"))
    rehearsal = load_inputs(load_config("v4_1", small, profile="embedded"))
    assert recipe.database.parent != rehearsal.database.parent
    assert len(rehearsal.warmup) == 30
    assert rehearsal.taught == [*rehearsal.train, *rehearsal.warmup]


def test_demonstrations_when_there_are_no_extra_rows_then_are_the_training_rows_of_the_tasks():
    """V4.2-B learns from the extraction pairs of the training rows."""
    small = ["data.shop.train_rows=40", "data.shop.held_out_rows=20"]
    inputs = load_inputs(load_config("v4_2_b", small, profile="gpu"))
    assert inputs.warmup == [row for row in inputs.train if row.task == "extraction"]
    assert len(load_inputs(load_config("v4_2_b", [*small, "sft_warmup.max_rows=5"], profile="gpu")).warmup) == 5


def test_files_when_given_then_are_the_rows(tmp_path):
    """The user's own rows, with demonstrations as `messages`."""
    messages = [{"role": "user", "content": "diga oi"}, {"role": "assistant", "content": "Oi!"}]
    (tmp_path / "d.jsonl").write_text(json.dumps({"messages": messages}) + "\n", encoding="utf-8")
    config = files_config(
        write_rows(tmp_path / "t.jsonl", "a", "b"),
        write_rows(tmp_path / "h.jsonl", "c"),
        "sft_warmup.enabled=true",
        f"sft_warmup.data={tmp_path / 'd.jsonl'}",
    )
    inputs = load_inputs(config)
    assert [row.id for row in inputs.train] == ["a", "b"]
    assert [row.reference for row in inputs.warmup] == ["Oi!"]
    assert inputs.database is None


def test_files_when_both_are_conversations_without_ids_then_do_not_share_them(tmp_path):
    """`messages` rows are called by their line, which two files have in common; that is not a leak."""
    for name in ("t", "h"):
        lines = [
            {"messages": [{"role": "user", "content": f"{name}{index}"}, {"role": "assistant", "content": "x"}]}
            for index in range(3)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    inputs = load_inputs(files_config(tmp_path / "t.jsonl", tmp_path / "h.jsonl"))
    assert [row.id for row in inputs.train] == ["1", "2", "3"]
    assert [row.id for row in inputs.held_out] == ["held-out-1", "held-out-2", "held-out-3"]


def test_files_when_several_are_bad_then_all_are_told_with_their_key(tmp_path):
    """A missing file, a half-written one and a bad demonstration come together."""
    half = tmp_path / "h.jsonl"
    half.write_text('{"id": "a", "task', encoding="utf-8")
    config = files_config(
        tmp_path / "none.jsonl", half, "sft_warmup.enabled=true", f"sft_warmup.data={tmp_path / 'gone.jsonl'}"
    )
    with pytest.raises(UserError) as caught:
        load_inputs(config)
    assert [line.split(": ")[0] for line in caught.value.problems] == ["data.train", "data.held_out", "sft_warmup.data"]


def test_held_out_when_also_in_training_then_is_refused(tmp_path):
    """What was trained on measures nothing."""
    config = files_config(write_rows(tmp_path / "t.jsonl", "a", "b"), write_rows(tmp_path / "h.jsonl", "b", "c"))
    with pytest.raises(UserError) as caught:
        load_inputs(config)
    assert any("'b'" in line and "training" in line for line in caught.value.problems)


def test_held_out_when_also_a_demonstration_then_is_refused(tmp_path):
    """The SFT stage must not see the held-out prompts either."""
    config = files_config(
        write_rows(tmp_path / "t.jsonl", "a", "b"),
        write_rows(tmp_path / "h.jsonl", "c"),
        "sft_warmup.enabled=true",
        f"sft_warmup.data={write_rows(tmp_path / 'd.jsonl', 'c', 'd')}",
    )
    with pytest.raises(UserError) as caught:
        load_inputs(config)
    assert caught.value.problems == [
        "sft_warmup.data: demonstration 'c' has the prompt of held-out row 'c'; remove one of them"
    ]


def test_tasks_when_no_row_has_them_then_the_known_ones_are_listed(tmp_path):
    """A misspelt task of the warm-up is found before the run."""
    config = files_config(
        write_rows(tmp_path / "t.jsonl", "a", "b"),
        write_rows(tmp_path / "h.jsonl", "c"),
        "sft_warmup.enabled=true",
        "sft_warmup.tasks=[puhs]",
    )
    with pytest.raises(UserError, match=r"'puhs' is not a task of the training rows; there are push"):
        load_inputs(config)


def test_demonstrations_when_no_row_has_a_reference_then_are_refused(tmp_path):
    """There is nothing to learn from."""
    config = files_config(
        write_rows(tmp_path / "t.jsonl", "a", "b", reference=None),
        write_rows(tmp_path / "h.jsonl", "c"),
        "sft_warmup.enabled=true",
    )
    with pytest.raises(UserError, match="no row with a reference"):
        load_inputs(config)


def test_cache_when_it_cannot_be_made_then_one_line_names_the_variable(monkeypatch, tmp_path):
    """A folder below a file cannot exist."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("RECOMPENSA_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match="set RECOMPENSA_CACHE"):
        load_inputs(load_config("v4_1", profile="gpu"))


def test_cache_when_not_named_then_is_the_platform_one(monkeypatch, tmp_path):
    """XDG's folder on Linux."""
    monkeypatch.delenv("RECOMPENSA_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "recompensa"


@pytest.mark.parametrize(
    "reason", ["the Hub cannot be reached (no route)", "HF_HUB_OFFLINE is set and it is not in the cache"]
)
def test_find_unreachable_when_the_model_is_neither_here_nor_to_be_had_then_says_where_a_run_would_stop(
    monkeypatch, reason
):
    """A dry run that passes must not hide that the run itself cannot load its model."""
    from grpo.config.sections import EmbeddedSection, ModelSection
    from grpo.plan import notes
    from grpo.policy.local_files import HubAnswer

    monkeypatch.setattr(notes, "fetch_model_json", lambda *asked: HubAnswer(None, reason))
    assert "owner/name is not on this machine" in (notes.find_unreachable(ModelSection(name="owner/name")) or "")
    assert notes.find_unreachable(ModelSection(name="own", embedded=EmbeddedSection())) is None
    monkeypatch.setattr(notes, "fetch_model_json", lambda *asked: HubAnswer(None, "no such model"))
    assert notes.find_unreachable(ModelSection(name="owner/name")) is None


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.parquet"])
def test_load_config_when_rows_are_given_then_names_the_command_that_writes_a_config(tmp_path, name):
    """The commonest first mistake with data of one's own."""
    from grpo.config.loading import load_config

    path = tmp_path / name
    path.write_text('{"prompt": "a"}\n{"prompt": "b"}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"holds rows, not a config; .*grpo\.init"):
        load_config(path)
