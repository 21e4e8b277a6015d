"""The commands of `python -m rewards`, one a module: `add_arguments(parser)` and `run(options) -> exit code`."""
