"""Builds the shop: the database, the training, held-out and warm-up rows, and the manifest that lets a later run reuse them."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from grpo.data.rows import write_rows
from grpo.data.section import TASKS, ShopSection
from grpo.data.shop.database import (
    Order,
    create_database,
    fill_with_made_up_orders,
    finish_database,
    load_into_memory,
    read_orders,
)
from grpo.data.shop.facts import ShopFacts, gather_facts
from grpo.data.shop.olist import describe_olist, fill_from_olist
from grpo.data.shop.reviews import write_review
from grpo.data.shop.tasks import DATABASE, ShopSource, draw_row
from grpo.data.shop.vocabulary import Side
from grpo.data.splits import normalise_prompt
from rewards.errors import UserError
from rewards.types import Example

VERSION = "2"
"""Raised whenever the same section would build other files."""

MANIFEST = "manifest.json"
_OWN_NAMES = {DATABASE, "train.jsonl", "held_out.jsonl", "warmup.jsonl", MANIFEST}
# How often a row may be drawn again before the shop is called too small for so many rows.
_MOST_DRAWS = 400


class ShopFiles(NamedTuple):
    """The files of a shop; `warmup` is None where no warm-up rows were asked for."""

    database: Path
    train: Path
    held_out: Path
    warmup: Path | None
    manifest: Path


def build_shop(directory: Path, section: ShopSection) -> ShopFiles:
    """The shop's files in `directory`, built there unless they stand there already for an equal section.

    Everything is built in a folder beside it and moved into place whole. Raises `UserError` where the directory holds
    anything but a shop, or the Olist files are missing or wrong.
    """
    directory = Path(directory)
    wanted = _describe(section)
    files = _name_files(directory, section)
    state = _read_manifest(directory)
    if state is not None and _is_built(files, state, wanted):
        return files
    if state is None and directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UserError(f"{directory}: exists and holds no shop ({MANIFEST} is missing); give a new or empty directory")
    foreign = [] if state is None else sorted({path.name for path in directory.iterdir()} - _OWN_NAMES)
    if foreign:
        raise UserError(
            f"{directory}: holds another shop, and {', '.join(foreign[:3])}, which the shop did not make and building "
            "again would delete; give another directory"
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        temporary.chmod(0o755)
        _write_shop(temporary, section, wanted)
        _move_into_place(temporary, directory)
    except OSError:
        # Another process may have finished the same shop meanwhile; its files are as good as these.
        state = _read_manifest(directory)
        if state is None or not _is_built(files, state, wanted):
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return files


def _describe(section: ShopSection) -> dict[str, Any]:
    wanted = {"generator": VERSION, "section": section.model_dump(mode="json")}
    return wanted if section.olist is None else {**wanted, "olist": describe_olist(section.olist)}


def _name_files(directory: Path, section: ShopSection) -> ShopFiles:
    warmup = directory / "warmup.jsonl" if section.warmup_rows else None
    return ShopFiles(
        directory / DATABASE, directory / "train.jsonl", directory / "held_out.jsonl", warmup, directory / MANIFEST
    )


def _read_manifest(directory: Path) -> dict[str, Any] | None:
    try:
        state = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) and "generator" in state else None


def _is_built(files: ShopFiles, state: dict[str, Any], wanted: dict[str, Any]) -> bool:
    sizes = {path.name: path.stat().st_size for path in files[:4] if path is not None and path.is_file()}
    return sizes == state.get("bytes") and all(state.get(key) == value for key, value in wanted.items())


def _move_into_place(temporary: Path, directory: Path) -> None:
    if not directory.exists():
        temporary.rename(directory)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{directory.name}.old.", dir=directory.parent))
    try:
        directory.rename(old)
        temporary.rename(directory)
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _write_shop(directory: Path, section: ShopSection, wanted: dict[str, Any]) -> None:
    files = _name_files(directory, section)
    connection = create_database(files.database)
    try:
        if section.olist is None:
            fill_with_made_up_orders(connection, section.seed)
        else:
            fill_from_olist(connection, section.olist)
        finish_database(connection)
        orders = read_orders(connection)
        if not orders:
            raise UserError(f"data.shop.olist: {section.olist}: the files hold no order; give Olist's own")
        facts = gather_facts(orders)
        if not (facts.cities and facts.categories and facts.scores):
            raise UserError(
                f"data.shop.olist: {section.olist}: no order has a city, a product category and a review score; "
                "give Olist's own files"
            )
        if section.olist is None:
            _add_comments(connection, orders, facts, section.seed)
    finally:
        connection.close()
    memory = load_into_memory(orders)
    try:
        seen: set[str] = set()
        wanted_rows: tuple[tuple[Path, Side, str, int], ...] = (
            (files.held_out, "held_out", "held-out", section.held_out_rows),
            (files.train, "train", "train", section.train_rows),
        )
        counts = {
            path.name: write_rows(path, _draw_rows(side, name, rows, section, facts, memory, seen))
            for path, side, name, rows in wanted_rows
        }
    finally:
        memory.close()
    if files.warmup is not None:
        counts[files.warmup.name] = write_rows(files.warmup, _draw_warmup_rows(section, facts))
    sizes = {path.name: path.stat().st_size for path in files[:4] if path is not None}
    manifest = {**wanted, "orders": len(orders), "rows": counts, "bytes": sizes}
    files.manifest.write_text(json.dumps(manifest, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _add_comments(connection: sqlite3.Connection, orders: list[Order], facts: ShopFacts, seed: int) -> None:
    """Give two of five made-up orders a written review that agrees with the order (as many as in Olist have one)."""
    rng = random.Random(f"{seed}/comments")
    commented = [order for order in orders if order.product_category is not None and rng.random() < 0.4]
    connection.execute("BEGIN")
    connection.executemany(
        "UPDATE olist_order_reviews SET review_comment_message = ? WHERE order_id = ?",
        [(write_review(rng, "train", facts, order).text, order.order_id) for order in commented],
    )
    connection.execute("COMMIT")


def _share_rows(rows: int, proportions: dict[str, float]) -> list[str]:
    """A task for each row, the shares rounded by largest remainder."""
    exact = {task: rows * proportions.get(task, 0.0) for task in TASKS}
    counts = {task: int(share + 1e-9) for task, share in exact.items()}
    for task in sorted(TASKS, key=lambda task: counts[task] - exact[task])[: rows - sum(counts.values())]:
        counts[task] += 1
    return [task for task in TASKS for _ in range(counts[task])]


def _draw_rows(
    side: Side, name: str, rows: int, section: ShopSection, facts: ShopFacts, memory: sqlite3.Connection, seen: set[str]
) -> Iterator[Example]:
    """Rows whose prompts are all different, in a shuffled order of tasks."""
    source = ShopSource(side, facts, section.instructions, small=section.size == "small", orders=memory)
    tasks = _share_rows(rows, section.proportions)
    random.Random(f"{section.seed}/{name}/order").shuffle(tasks)
    streams = {task: random.Random(f"{section.seed}/{name}/{task}") for task in TASKS}
    numbers = dict.fromkeys(TASKS, 0)
    for task in tasks:
        numbers[task] += 1
        for _ in range(_MOST_DRAWS):
            example = draw_row(task, f"{task}-{name}-{numbers[task]:05d}", streams[task], source)
            if example is None or (key := normalise_prompt(example)) in seen:
                continue
            seen.add(key)
            yield example
            break
        else:
            raise UserError(
                f"data.shop: the orders do not yield {tasks.count(task)} different {name} rows of {task}; ask for fewer "
                "rows, or give more orders"
            )


def _draw_warmup_rows(section: ShopSection, facts: ShopFacts) -> Iterator[Example]:
    source = ShopSource("train", facts, section.instructions, slips=section.warmup_slips, small=section.size == "small")
    tasks = _share_rows(section.warmup_rows, section.proportions)
    random.Random(f"{section.seed}/warmup/order").shuffle(tasks)
    rng = random.Random(f"{section.seed}/warmup")
    numbers = dict.fromkeys(TASKS, 0)
    for task in tasks:
        numbers[task] += 1
        example = draw_row(task, f"{task}-warmup-{numbers[task]:05d}", rng, source)
        if example is not None:
            yield example
