"""What comes from elsewhere: compressed files, folders, a held-out file, decimal commas, one's own reward, TRL's settings."""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pytest
import yaml

from grpo.config.loading import load_config
from grpo.data.sources import LARGEST_FILE, read_source
from grpo.data.unpacking import unpack
from grpo.init.__main__ import main
from grpo.run import main as run_main
from rewards.errors import UserError
from rewards.rows import read_rows

LINES = b"".join(
    json.dumps({"question": f"What is {n} plus {n}? Say it in digits, please.", "answer": str(2 * n)}).encode() + b"\n"
    for n in range(40)
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    return tmp_path


def ask(capsys, *arguments):
    assert main([*arguments, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zst"])
def test_source_when_compressed_then_is_read_as_what_it_holds(kind, here):
    """Lines keep their numbers, and the name inside of the packing says what they are."""
    packed = here / f"rows.jsonl.{kind}"
    if kind == "zst":
        pyarrow = pytest.importorskip("pyarrow")
        with pyarrow.output_stream(str(packed), compression="zstd") as file:
            file.write(LINES)
    else:
        packed.write_bytes({"gz": gzip, "bz2": bz2, "xz": lzma}[kind].compress(LINES))
    found = read_source(str(packed))
    assert len(found.records) == 40 and found.records[3].where == f"{packed}:4" and "JSON Lines (" in found.form
    packed.write_bytes(packed.read_bytes()[:-12])
    with pytest.raises(UserError, match=r"cannot be unpacked as .*; is the file whole"):
        read_source(str(packed))


def test_unpack_when_little_holds_very_much_then_stops_at_the_bound(here):
    """A few bytes may hold more than any memory."""
    path = here / "zeros.gz"
    path.write_bytes(gzip.compress(bytes(20_000_000)))
    assert LARGEST_FILE > 20_000_000 > 5_000_000
    with pytest.raises(UserError, match="holds more than"):
        unpack(path, "gzip", "zeros.gz", 5_000_000)


def test_folder_when_names_tell_the_splits_then_shards_are_one_and_test_is_held_out(here, capsys):
    """Files as the Hub has them; of rows on both sides training loses its own."""
    folder = here / "sums" / "data"
    folder.mkdir(parents=True)
    lines = LINES.splitlines(keepends=True)
    (folder / "train-00000-of-00002.jsonl").write_bytes(b"".join(lines[:20]))
    (folder / "train-00001-of-00002.jsonl").write_bytes(b"".join(lines[20:32]))
    (folder / "test-00000-of-00001.jsonl").write_bytes(b"".join(lines[30:]))
    found = ask(capsys, "sums", "--held-out", "test", "--out", "mine")
    assert (found["split"]["train"], found["split"]["held_out"], found["split"]["kept_together"]) == (30, 10, 2)
    train, held_out = (read_rows(f"mine/{name}.jsonl") for name in ("train", "held_out"))
    assert [row.reference for row in held_out] == [str(2 * n) for n in range(30, 40)]
    assert not {row.id for row in train} & {row.id for row in held_out}
    assert main(["sums", "--split", "validation", "--out", "other"]) == 2
    assert "no file of split 'validation'; there are test, train" in capsys.readouterr().err


def test_folder_when_saved_by_datasets_then_is_read_by_split(here):
    """`save_to_disk` of one set, and of several splits."""
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list([json.loads(line) for line in LINES.splitlines()])
    rows.save_to_disk("one")
    datasets.DatasetDict({"train": rows, "test": rows.select(range(5))}).save_to_disk("two")
    assert [len(read_source(name, split=split).records) for name, split in (("one", "train"), ("two", "test"))] == [
        40,
        5,
    ]
    with pytest.raises(UserError, match="has no split 'dev'; name one with --split: train, test"):
        read_source("two", split="dev")


def test_csv_when_numbers_have_decimal_commas_then_answers_have_json_numbers(here, capsys):
    """In Latin 1 with semicolons, as spreadsheets of half of the world write them; a code of digits and commas stays text."""
    lines = ["texto;preço;código"]
    lines += [
        f"Comprei o item {n * 37} por {n},50 reais, código A{n},1;{1 if n > 20 else ''}.{n:03d},50;A{n},1".replace(
            ";.", ";1."
        )
        for n in range(40)
    ]
    Path("notas.csv").write_text("\n".join(lines), encoding="latin-1")
    ask(capsys, "notas.csv", "--prompt", "texto", "--reference", "preço,código")
    answers = {
        row.id: json.loads(row.reference) for name in ("train", "held_out") for row in read_rows(f"notas/{name}.jsonl")
    }
    assert answers["row-08"] == {"preço": 1007.5, "código": "A7,1"}


REWARD = """
def short(completions, limit, **kwargs):
    return [1.0 if len(c[0]["content"]) <= n else -1.0 for c, n in zip(completions, limit)]
"""


def test_init_when_a_reward_of_trls_is_named_then_prompts_without_answers_are_enough(here, capsys):
    """The file is found from the config's folder, its range kept, and the warm-up is off: there is nothing to show."""
    (here / "rewards.py").write_text(REWARD)
    with open("asked.jsonl", "w") as file:
        file.writelines(
            json.dumps({"prompt": f"Describe number {n * 7919} briefly.", "limit": 40 + n}) + "\n" for n in range(30)
        )
    assert main(["asked.jsonl"]) == 2
    assert "which is the answer?" in capsys.readouterr().err
    found = ask(capsys, "asked.jsonl", "--reward", "trl:rewards.py:short:range=[-1,1]")
    config = load_config(found["config"], profile="gpu")
    (function,) = config.rewards.functions
    assert function.name == f"trl:{here / 'rewards.py'}:short" and function.weight == 2.0
    assert not config.sft_warmup.enabled and config.decision.relative_to == "baseline"
    assert read_rows("asked/train.jsonl")[0].reference is None
    assert found["proof"]["profile"] == "gpu" or found["next"].endswith("--set sft_warmup.enabled=false --dry-run")
    assert run_main(found["next"].split()[3:]) == 0
    capsys.readouterr()
    assert main(["asked.jsonl", "--reward", "trl:nowhere.py:short", "--out", "x"]) == 2
    assert "no file nowhere.py here" in capsys.readouterr().err


def test_init_when_it_extends_a_config_of_from_trl_then_its_settings_stand(here, capsys):
    """Rows and rewards are added, what it says of the training is not written again."""
    from grpo.config.__main__ import main as config_main

    Path("sums.jsonl").write_bytes(LINES)
    Path("grpo.yaml").write_text(
        "model_name_or_path: nobody/model\nlearning_rate: 3.0e-6\nnum_generations: 4\nmax_steps: 70\nper_device_train_batch_size: 8\nuse_peft: true\n"
    )
    assert config_main(["from-trl", "grpo.yaml", "--output", "from_trl.yaml"]) == 0
    capsys.readouterr()
    found = ask(capsys, "sums.jsonl", "--extends", "from_trl.yaml")
    written = yaml.safe_load(Path(found["config"]).read_text())
    assert written["extends"] == "../from_trl.yaml" and "grpo" not in written and "model" not in written
    config = load_config(found["config"], profile="gpu")
    assert (config.grpo.learning_rate, config.grpo.num_generations, config.grpo.max_steps) == (3e-6, 4, 70)
    assert config.model.name == "nobody/model" and config.data.source == "files"


def test_init_when_a_reference_earns_too_little_then_drop_leaves_that_row_out(here, capsys):
    """References are scored once, by the very preflight; the line of the row is named."""
    rows = [
        {
            "prompt": f"Item {n * 31}: name and price as JSON.",
            "completion": json.dumps({"name": f"i{n * 31}", "price": n}),
        }
        for n in range(30)
    ]
    rows[4]["completion"] = '{"name": "a", "name": "b", "price": 1}'
    Path("items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert main(["items.jsonl"]) == 2
    said = capsys.readouterr().err
    assert "items.jsonl:5: reward " in said and "1 row cannot be used" in said and not Path("items").exists()
    found = ask(capsys, "items.jsonl", "--drop")
    assert (found["proof"]["full_reward"], len(found["left_out"])) == (29, 1)
