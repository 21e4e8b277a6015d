"""What importing a plugin may not leave behind: functions of Python's replaced for the whole process, another folder, other signals."""

from __future__ import annotations

import builtins
import json
import locale
import math
import os
import signal
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType

import orjson

from rewards.errors import UserError

_WATCHED: tuple[ModuleType, ...] = (builtins, json, math, orjson, os, struct, time)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def in_one_process() -> Iterator[None]:
    """After the block there is the process that came to it: a fork that was made inside ends without a word."""
    process = os.getpid()
    try:
        yield
    finally:
        if os.getpid() != process:
            os._exit(0)


@contextmanager
def undone() -> Iterator[None]:
    """After the block folder, locale and signals are what they were; UserError where a function of Python's was replaced.

    What is replaced is put back first. Additions are let be, as `gettext` makes them.
    """
    before = {module: dict(vars(module)) for module in _WATCHED}
    folder, language = os.getcwd(), locale.setlocale(locale.LC_ALL)
    main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in _SIGNALS} if main else {}
    replaced: list[str] = []
    try:
        with in_one_process():
            yield
    finally:
        for module, names in before.items():
            now = vars(module)
            for name, value in names.items():
                if callable(value) and now.get(name) is not value:
                    replaced.append(f"{module.__name__}.{name}")
                    setattr(module, name, value)
        with suppress(OSError):
            os.chdir(folder)
        with suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, language)
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
    if replaced:
        raise UserError(
            f"replaces {', '.join(replaced[:3])} for the whole process; wrap what you need in your own module instead"
        )
