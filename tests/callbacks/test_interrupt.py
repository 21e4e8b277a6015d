"""Signals: what they end, and at which step."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from types import SimpleNamespace

import pytest

from callbacks.interrupt import Interruption, make_callback, pass_over_signals, terminable
from rewards.screen.command_line import run_command


@pytest.fixture(autouse=True)
def heard():
    """A shell that starts the suite in the background has SIGINT ignored; here it is heard."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


def stop_at(callback, step: int):
    """The trainer's control after that step of ten."""
    control = SimpleNamespace(should_save=False, should_training_stop=False)
    callback.on_step_end(None, SimpleNamespace(global_step=step, max_steps=10), control)
    return control.should_training_stop, control.should_save


def test_interruption_when_a_second_signal_comes_then_it_ends_at_once():
    """The first SIGTERM is noted, the second is an exception like Ctrl-C."""
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_terminable_when_sigterm_comes_then_it_is_a_keyboard_interrupt():
    """The plan and the report end with a line and an exit code, not with the signal."""
    with pytest.raises(KeyboardInterrupt), terminable():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_terminable_when_a_library_wraps_the_interrupt_into_its_own_error_then_it_is_one_all_the_same(number):
    """pydantic makes a PydanticSerializationError of whatever a serializer raises: no fault of ours, and no traceback."""
    pydantic = pytest.importorskip("pydantic")

    class Stopped(pydantic.BaseModel):
        @pydantic.model_serializer
        def stop(self) -> dict[str, int]:
            os.kill(os.getpid(), number)
            return {}

    with pytest.raises(KeyboardInterrupt), terminable():
        Stopped().model_dump()
    with pytest.raises(ZeroDivisionError), terminable():
        _ = 1 / 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupt_when_it_comes_in_a_finalizer_then_no_traceback_is_printed(capsys, monkeypatch):
    """Python can raise it to nobody there, and prints what it ignores."""
    for name in ("excepthook", "unraisablehook"):
        monkeypatch.setattr(sys, name, getattr(sys, name))

    class Finalized:
        def __init__(self, error):
            self.error = error

        def __del__(self):
            raise self.error

    def work() -> int:
        for error in (KeyboardInterrupt(), ValueError("shown")):
            Finalized(error)
        return 0

    assert run_command(work) == 0
    assert "shown" in (said := capsys.readouterr().err) and "KeyboardInterrupt" not in said


def test_interruption_when_a_library_dropped_the_interrupt_before_then_a_stop_is_asked_for():
    """What came while the plan was made is not forgotten when the training begins."""
    with terminable():
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        with Interruption() as interruption:
            assert interruption.requested
    with terminable(), Interruption() as interruption:
        assert not interruption.requested


def test_callback_when_a_stop_is_asked_for_then_it_ends_with_a_checkpoint():
    """Without a signal training goes on; with one it ends after the step, and the last step is the end anyway."""
    pytest.importorskip("transformers")
    interruption = Interruption()
    callback = make_callback(interruption)
    assert stop_at(callback, 3) == (False, False)
    interruption.requested = True
    assert stop_at(callback, 3) == (True, True)
    assert stop_at(callback, 10) == (False, False)


def test_callback_when_steps_share_a_generation_then_it_ends_after_the_last_of_them():
    """A checkpoint between two steps of one generation does not resume to the same weights."""
    pytest.importorskip("transformers")
    interruption = Interruption()
    interruption.requested = True
    callback = make_callback(interruption, every=2)
    assert [stop_at(callback, step)[0] for step in (1, 2, 3, 4)] == [False, True, False, True]


def test_terminable_when_its_inside_took_the_signal_for_good_then_that_stays():
    """A process that is about to end by itself must not be ended by its launcher before it has said why."""
    previous = signal.getsignal(signal.SIGTERM)
    try:
        with terminable():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, previous)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_when_all_is_done_then_they_change_nothing(number):
    """A run whose report is written is finished, whatever comes before its process has wound up."""
    with terminable():
        pass_over_signals()
        os.kill(os.getpid(), number)
    with pytest.raises(KeyboardInterrupt), terminable():
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_end_process_when_a_signal_comes_while_python_winds_up_then_the_code_stays(number):
    """Libraries take seconds to leave after the last line; Ctrl-C there used to turn 0 into 130."""
    code = (
        "import atexit, os; from rewards.screen.command_line import end_process; "
        f"atexit.register(os.kill, os.getpid(), {number:d}); end_process(3)"
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr) == (3, b"")
