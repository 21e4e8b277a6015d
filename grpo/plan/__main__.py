"""The command `python -m grpo.plan`: what a config does, in seconds, anywhere."""

from __future__ import annotations

from collections.abc import Sequence

from grpo.machine.device import find_device
from grpo.plan.display import screen_lines
from grpo.plan.make_plan import make_plan
from rewards.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `python -m grpo.plan`; returns the exit code."""
    import argparse
    import json
    import sys

    parser = argparse.ArgumentParser(
        prog="python -m grpo.plan",
        description="What a config will do and cost: prompts, tokens, memory and time, from the settings in force.",
        epilog="examples:\n  python -m grpo.plan --config v4_1.yaml\n"
        "  python -m grpo.plan --config v4_1.yaml --profile gpu --json\n"
        "  python -m grpo.plan --config my.yaml --set grpo.max_steps=100",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", required=True, help="a path, or a shipped name such as v4_1.yaml")
    parser.add_argument("--profile", default="auto", help="auto, gpu, small or embedded (default: auto)")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")
    options = parser.parse_args(arguments)

    from grpo.config.loading import load_config
    from grpo.data.run_rows import load_inputs
    from grpo.machine.device import resolve_profile

    try:
        device = find_device()
        profile, line = resolve_profile(options.profile, device)
        print(line, file=sys.stderr)
        config = load_config(options.config, options.overrides, profile, device)
        plan = make_plan(config, load_inputs(config), profile=profile, device=device)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(plan.to_json(), indent=2, ensure_ascii=False))
    else:
        print("\n".join(screen_lines(plan)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
