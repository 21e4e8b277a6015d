"""The packages that training needs beyond the base install: one line where one is missing, and less of their chatter."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from grpo.config.trl_names import OPTIMISERS, find_missing_package
from grpo.engines.engine import Engine
from rewards.errors import UserError


def require_training_stack(config: Any, engine: Engine) -> None:
    """One clear line where the base install is there but not what trains."""
    missing = [name for name in ("torch", "transformers", "trl", "peft", "datasets") if not is_installed(name)]
    problems = []
    if missing:
        problems.append(f"training needs {', '.join(missing)}: pip install torch==2.13.0 && pip install -e '.[train]'")
    for name in engine.packages:
        if not is_installed(name):
            problems.append(
                f"model.engine: {config.model.engine} needs {name}: pip install -e '.[gpu]', or use engine transformers"
            )
    if not is_installed("bitsandbytes"):
        where = {
            "model.quantization": config.model.quantization == "nf4",
            "grpo.optim": config.trains_grpo and needs_bitsandbytes(config.grpo.optim),
        }
        problems += [
            f"{key}: {'nf4' if key.startswith('model') else config.grpo.optim} needs bitsandbytes: pip install "
            "-e '.[quant]'"
            for key, wanted in where.items()
            if wanted
        ]
    package = find_missing_package(config.grpo.optim) if config.trains_grpo else None
    if package not in (None, "bitsandbytes"):
        problems.append(
            f"grpo.optim: {config.grpo.optim} needs {package}, which is not installed; or write adamw_torch"
        )
    if problems:
        raise UserError(problems)


def is_installed(name: str) -> bool:
    """Whether that package can be imported; a mere folder of its name does not count."""
    found = find_spec(name)
    return found is not None and found.origin is not None


def needs_bitsandbytes(optimiser: str) -> bool:
    """Whether transformers takes the optimiser of that name from bitsandbytes."""
    return OPTIMISERS.get(optimiser) == "bitsandbytes"


def quieten_libraries() -> None:
    """Library chatter would drown the progress bars; warnings of ours are said through them."""
    import logging
    import warnings

    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*experimental.*")
    # bitsandbytes, which is imported wherever it is installed, asks for one more package on a processor.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    from datasets.utils.logging import disable_progress_bar
    from transformers.utils import logging as transformers_logging

    disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("trl").setLevel(logging.ERROR)
