"""An export sent to the Hub: what goes there is said first, and the repository is private unless asked otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rewards.errors import RecompensaError, UserError
from rewards.screen.amounts import format_size


class PushFailed(RecompensaError):
    """The Hub refused, or was not reached; the export itself is whole."""


def check_name(repository: str) -> str:
    """The name as the Hub takes it; UserError with what is wrong."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import get_token, validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError:
        raise UserError(f"--push {repository}: not a name on the Hub; write organisation/name") from None
    if "/" not in repository:
        raise UserError(
            f"--push {repository}: no organisation; write organisation/name, or your user name before the slash"
        )
    if not get_token():
        raise UserError(
            f"--push {repository}: no token for the Hub; set HF_TOKEN to one that may write, or log in by `hf auth login`"
        )
    return repository


def push(folder: Path, repository: str, *, public: bool, say: Callable[[str], None]) -> str:
    """Send every file of the folder and return the repository's address; `PushFailed` where the Hub refuses."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    kind = "public" if public else "private"
    say(f"sending {len(files)} files, {format_size(size)}, to the {kind} repository {repository}:")
    for path in files:
        say(f"  {path.relative_to(folder).as_posix()}  {format_size(path.stat().st_size)}")
    api = HfApi()
    try:
        made = api.create_repo(repository, private=not public, exist_ok=True, repo_type="model")
        found = api.model_info(repository)
        if bool(found.private) == public:
            # It was there before: nobody's files become public, or private, by an upload.
            raise PushFailed(
                f"--push {repository}: exists and is {'private' if found.private else 'public'}; "
                f"{'leave --public out' if public else 'give --public'}, or choose another name"
            )
        api.upload_folder(folder_path=folder, repo_id=repository, commit_message="A model trained with recompensa")
    except HfHubHTTPError as fault:
        reason = (str(fault).strip().splitlines() or [type(fault).__name__])[0][:200]
        raise PushFailed(f"--push {repository}: the Hub refused ({reason}); the export in {folder} is whole") from None
    except (OSError, ValueError) as fault:
        raise PushFailed(
            f"--push {repository}: the Hub could not be reached ({str(fault).splitlines()[0][:200] if str(fault) else fault!r}); "
            f"the export in {folder} is whole"
        ) from None
    except Exception as fault:
        if type(fault).__module__.partition(".")[0] not in ("httpx", "httpcore"):
            raise
        raise PushFailed(
            f"--push {repository}: the Hub could not be reached ({fault}); the export in {folder} is whole"
        ) from None
    return str(made)
