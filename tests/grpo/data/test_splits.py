"""The check that held-out rows are not in training."""

from grpo.data.splits import leaks
from rewards.types import Example


def row(row_id: str, text: str, system: str = "s") -> Example:
    """A row with one user turn."""
    return Example(row_id, "t", [{"role": "system", "content": system}, {"role": "user", "content": text}], "r")


def test_leaks_when_nothing_is_shared_then_none():
    """Other words are another prompt."""
    assert leaks([row("a", "um")], [row("b", "dois")]) == []


def test_leaks_when_a_prompt_differs_only_in_looks_then_is_found():
    """Case, accents, white space and the system turn do not make a prompt new."""
    (line,) = leaks([row("a", "Não  chegou ")], [row("b", "nao\nCHEGOU", system="outro")])
    assert "'b'" in line and "'a'" in line


def test_leaks_when_an_id_is_shared_then_is_found():
    """Ids are unique over both files."""
    assert leaks([row("a", "um")], [row("a", "dois")]) == [
        "held-out id 'a' is also a training id; ids are unique over both files"
    ]


def test_leaks_when_many_then_three_and_a_count():
    """The first few tell enough."""
    train = [row(f"t{index}", f"texto {index}") for index in range(10)]
    held_out = [row(f"h{index}", f"texto {index}") for index in range(10)]
    found = leaks(train, held_out)
    assert len(found) == 4 and found[-1] == "and 7 more held-out prompts that are also in training"
