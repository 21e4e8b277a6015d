"""The contract kit on one example: what earns all, something and nothing."""

from recompensa_amount import Amount

from rewards import Example
from rewards.testing import check_reward

EXAMPLE = Example(
    id="1",
    task="totals",
    prompt=[{"role": "user", "content": "Dois itens de R$ 617,28: qual é o total?"}],
    reference="O total é R$ 1.234,56.",
)


def test_amount_when_checked_by_the_kit_then_keeps_the_contract():
    """The reward function keeps every promise that a run relies on."""
    check_reward(
        Amount(),
        EXAMPLE,
        right=["R$ 1234,56", "São R$ 617,28 cada, logo R$ 1.234,56"],
        partial="O total de R$ 1.234,56 inclui um frete de R$ 10,00",
        wrong=["O total é R$ 1.234,50.", "não sei", ""],
    )


def test_amount_when_the_tolerance_is_a_real_then_a_near_amount_is_right():
    """An option changes the score."""
    check_reward(Amount(tolerance=1), EXAMPLE, right="R$ 1.235,00", wrong="R$ 1.240,00")
