"""The exact line that makes a trainer use a server's rewards."""

from __future__ import annotations

from rewards.screen.command_line import show_commands


def trainer_lines(url: str, query: str) -> list[tuple[str, str]]:
    """Trainer and line; `query` names the rewards and their pin, so that other rewards are refused in mid-run."""
    return [
        ("OpenRLHF", f"--reward.remote_url '{url}/get_reward{query}' --data.label_key label"),
        ("slime, miles", f"--rm-type remote_rm --rm-url '{url}/slime{query}' --reward-key score --label-key label"),
        ("NeMo Gym", f"recompensa_url: '{url}/verify{query}'  ({show_commands('python -m rewards export nemo-gym FOLDER')})"),
        ("verl", f"reward.custom_reward_function.path=pkg://rewards.adapters.verl +reward.custom_reward_function.reward_kwargs.url='{url}/v1/score{query}'"),
        ("TRL", f"reward_funcs=[rewards.adapters.trl.make_reward(url='{url}/v1/score{query}')]"),
        ("others", f"RECOMPENSA_REWARDS='{url}/v1/score{query}' and rewards.adapters.NAME (docs/trainers.md)"),
    ]  # fmt: skip
