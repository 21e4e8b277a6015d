"""Which scorer gave a number: name, version, and a fingerprint of everything that could change what it says."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewards.errors import UserError

if TYPE_CHECKING:
    from rewards.host.weighted import WeightedFunction
    from rewards.types import RewardFunction

_OWN = __name__.partition(".")[0]
_LARGEST_FILE = 1 << 30
ALLOW = "--allow-changed-rewards"


@dataclass(frozen=True, slots=True)
class RewardIdentity:
    """A function as one run uses it: two scores have a common mean only where these agree.

    `fingerprint` (12 hex digits) covers its code, that of the modules of its package that it imports, its options, and
    the bytes of the files that options name, such as a schema or a database. Comments, docstrings and layout do not
    count. `weight` and `tasks` belong to the run's reward, not to the function's value.
    """

    name: str
    version: str
    fingerprint: str
    weight: float = 1.0
    tasks: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return f"{self.version} ({self.fingerprint})"

    def to_json(self) -> dict[str, Any]:
        """The identity as a run records it; `read_identities` reads it back."""
        values = asdict(self)
        return {**values, "tasks": list(self.tasks) if self.tasks is not None else None}


def identify(entry: WeightedFunction) -> RewardIdentity:
    """The identity of a host's entry; see `fingerprint_function`."""
    function = entry.function
    return RewardIdentity(function.name, function.version, fingerprint_function(function), entry.weight, entry.tasks)


def read_identities(found: Any) -> dict[str, RewardIdentity]:
    """Identities as `to_json` wrote them, by name; what is no such record is left out."""
    identities: dict[str, RewardIdentity] = {}
    for each in found if isinstance(found, list) else ():
        if not isinstance(each, Mapping) or not isinstance(each.get("fingerprint"), str):
            continue
        tasks = each.get("tasks")
        identities[str(each.get("name"))] = RewardIdentity(
            str(each.get("name")), str(each.get("version")), each["fingerprint"], float(each.get("weight") or 0.0),
            tuple(map(str, tasks)) if isinstance(tasks, list) else None,
        )  # fmt: skip
    return identities


def find_differences(before: Mapping[str, RewardIdentity], after: Mapping[str, RewardIdentity]) -> list[str]:
    """What differs between two sets of scorers, a phrase a function; empty where their numbers can be held together."""
    differences = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            differences.append(f"'{name}' is {'new' if old is None else 'gone'}")
        elif old.version != new.version:
            differences.append(f"'{name}' was version {old}, is {new}")
        elif old.fingerprint != new.fingerprint:
            differences.append(
                f"'{name}' still says version {new.version}, but its code, options, schema or database changed "
                f"({old.fingerprint}, now {new.fingerprint})"
            )
        elif (old.weight, old.tasks) != (new.weight, new.tasks):
            differences.append(f"'{name}' has another weight or other tasks")
    return differences


def refuse_differences(
    what: str, before: Mapping[str, RewardIdentity], after: Mapping[str, RewardIdentity], *, allowed: bool = False
) -> list[str]:
    """The differences, where they are allowed; else `UserError` with one line that names them.

    Scorers that nobody wrote down (a run from before identities were kept) are taken to be the same.
    """
    differences = find_differences(before, after) if before and after else []
    if differences and not allowed:
        raise UserError(
            f"{what}: the rewards have changed: {'; '.join(differences)}; numbers of two scorers have no common "
            f"mean: install what it was, or continue with {ALLOW}"
        )
    return differences


def fingerprint_function(function: RewardFunction) -> str:
    """12 hex digits over code, options and files of a function."""
    digest = hashlib.sha256()
    for part in _code_of(type(function)):
        digest.update(part)
    options = function.model_dump(mode="json")
    digest.update(json.dumps(options, sort_keys=True, ensure_ascii=True, default=repr).encode())
    for file in _files_in(options):
        digest.update(_hash_file(file))
    return digest.hexdigest()[:12]


def _code_of(kind: type) -> Iterable[bytes]:
    """Digests of the class's module and of all that it imports from its own package and from this one."""
    module = sys.modules.get(kind.__module__)
    origin = getattr(module, "__file__", None)
    if origin is None:
        # Made in a console or a notebook: what the class itself holds is all there is.
        yield repr(sorted(name for name in vars(kind) if not name.startswith("_"))).encode()
        call = vars(kind).get("__call__")
        yield getattr(getattr(call, "__code__", None), "co_code", b"")
        return
    # Where its own package lies, or the folder of a file that is a plugin by itself.
    home = Path(origin).resolve().parents[kind.__module__.count(".") + (Path(origin).name == "__init__.py")]
    roots = {kind.__module__.partition(".")[0], _OWN}
    # A file beside others brings them along; what is installed beside a package is another's.
    beside = not {"site-packages", "dist-packages"} & set(home.parts)
    waiting: list[tuple[str, Path]] = [(kind.__module__, Path(origin))]
    seen: set[str] = set()
    found: list[tuple[str, bytes]] = []
    while waiting:
        name, path = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        tree_digest, imported = _read_module(path, name)
        found.append((name, tree_digest))
        for other in imported:
            wanted = other not in seen and (beside or other.partition(".")[0] in roots)
            if other and wanted and (place := _find_module(other, home)) is not None:
                waiting.append((other, place))
    # The name a single file is imported under may carry its path; only what it says counts.
    for name, tree_digest in sorted(found, key=lambda pair: (pair[0] != kind.__module__, pair[0])):
        if name != kind.__module__:
            yield name.encode()
        yield tree_digest


@cache
def _read_module(path: Path, name: str) -> tuple[bytes, tuple[str, ...]]:
    """A digest of what a module does, and the names of the modules it imports."""
    try:
        source = path.read_bytes()
        tree = ast.parse(source)
    except (OSError, SyntaxError, ValueError):
        return b"unreadable", ()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            imported |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        for statements in (getattr(node, field, None) for field in ("body", "orelse", "finalbody")):
            if isinstance(statements, list):
                statements[:] = [each for each in statements if not _is_text(each)]
    return hashlib.sha256(ast.dump(tree).encode("utf-8", "surrogatepass")).digest(), tuple(sorted(imported))


def _is_text(statement: ast.AST) -> bool:
    """A docstring, or a text that stands below an attribute as one: it does nothing."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _find_module(name: str, home: Path) -> Path | None:
    """The file of a module of this package, or of one that lies under `home`; never by what happens to be imported."""
    root, *rest = name.split(".")
    top = Path(__file__).resolve().parent if root == _OWN else home / root
    place = top.joinpath(*rest)
    for path in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None


def _files_in(options: Any) -> list[Path]:
    """The files that option values name, in the order of the options."""
    if isinstance(options, Mapping):
        return [file for key in sorted(options, key=str) for file in _files_in(options[key])]
    if isinstance(options, list):
        return [file for value in options for file in _files_in(value)]
    if isinstance(options, str) and 0 < len(options) < 1024 and ("/" in options or "." in options):
        try:
            path = Path(options).expanduser()
            return [path] if path.is_file() and path.stat().st_size < _LARGEST_FILE else []
        except (OSError, ValueError):
            return []
    return []


def _hash_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return b"unreadable"
