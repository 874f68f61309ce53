"""What a run ended with is cut to what Redis keeps, and stays readable."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from redsched import Cancelled, Completed, Dead, Retry, RetryLater, SnoozeFor
from redsched.engine.ending import failure, settlement
from redsched.engine.process_child import _returned
from redsched.wire.cells import Cell
from redsched.wire.claims import Started
from redsched.wire.keys import CellKeys, queue_keys
from redsched.wire.queues import pause
from redsched.wire.schedules import pause_schedule
from redsched.wire.tasks import cancel

STARTED = Started("q", "a", 1, 0, "t", b"", None, None, None, None, 5, None, "1.f")
LONG = "\N{SNOWMAN}\ud800" * 1_000_000  # three bytes, and half a character that UTF-8 cannot hold


def deep(levels: int) -> None:
    """Raises from so many frames, no two of them on the same line and in the same function."""
    scope: dict[str, Any] = {}
    for level in range(levels):
        inner = f"step_{level - 1}()" if level else "raise ValueError(text)"
        exec(compile(f"def step_{level}():\n    {inner}", f"file_{level}.py", "exec"), scope)
    scope["text"] = "e" * 1_000_000
    scope[f"step_{levels - 1}"]()


def raised(function: Any, *arguments: Any) -> BaseException:
    """What it raises."""
    try:
        function(*arguments)
    except BaseException as error:
        return error
    raise AssertionError


def test_a_long_text_leaves_the_traceback_its_frames_and_keeps_its_own_head() -> None:
    found = failure(raised(deep, 3))

    assert found.error == "ValueError: " + "e" * 3_988
    for frame in ("in raised", "in deep", 'file_2.py", line 2, in step_2', 'file_0.py", line 2, in step_0'):
        assert frame in found.traceback
    assert "ValueError: eeee" in found.traceback and "characters in all" in found.traceback
    assert len(found.traceback) < 3_000


def test_of_too_many_frames_the_first_and_the_last_stay() -> None:
    found = failure(raised(deep, 400))

    assert found.traceback.startswith("Traceback (most recent call last):")
    for frame in ("in raised", "in step_399", "in step_0", "ValueError: eee"):
        assert frame in found.traceback
    assert "frames left out" in found.traceback and "in step_200\n" not in found.traceback
    assert len(found.traceback.encode()) <= 8_000


def test_of_a_chain_of_errors_each_one_stays() -> None:
    def cause() -> None:
        try:
            deep(2)
        except ValueError as error:
            raise RuntimeError("r" * 100_000) from error

    found = failure(raised(cause))

    assert found.error.startswith("RuntimeError: rrr") and len(found.error) == 4_000
    for part in ("in step_0", "ValueError: eee", "direct cause", "in cause", "RuntimeError: rrr"):
        assert part in found.traceback


class Hostile(BaseException):
    """Nothing of it can be read."""

    def __str__(self) -> str:
        raise KeyboardInterrupt

    __repr__ = __str__

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(name)


def test_an_exception_of_which_nothing_can_be_read_is_told_by_its_kind() -> None:
    assert failure(Hostile()).error == "Hostile"


@pytest.mark.parametrize(
    ("outcome", "first", "error"),
    [
        (Retry(LONG, timedelta(seconds=1), LONG), 1_000, 4_000),
        (Dead(LONG, LONG, LONG), 100, 4_000),
        (Cancelled(LONG), 200, 0),
        (Completed(LONG.replace("\ud800", "")), 0, 0),
    ],
)
def test_every_text_of_an_outcome_is_cut_between_characters(outcome: Any, first: int, error: int) -> None:
    found = settlement(STARTED, outcome)

    assert found.first == first if isinstance(found.first, int) else first - 8 < len(_bytes(found.first)) <= first + 0
    assert error - 8 <= len(_bytes(found.error)) <= error
    assert len(_bytes(found.traceback)) <= 8_000


def _bytes(text: Any) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def test_the_reason_of_a_cancel_or_a_pause_is_cut_before_it_is_sent() -> None:
    cell = Cell("rs")
    keys = queue_keys(cell, "q")
    calls = [
        cancel(keys, ["a"], reason=LONG),
        pause(keys, "queue", reason=LONG, until=None),
        pause_schedule(CellKeys(cell), "s", reason=LONG, until=0),
    ]

    for call in calls:
        assert max(len(_bytes(word)) for word in call.args if not isinstance(word, int)) in range(190, 201)


def test_a_delay_that_a_handler_chooses_may_be_text() -> None:
    for delay in ("5s", timedelta(seconds=5)):
        assert settlement(STARTED, Retry(delay=delay)).first == 5_000
        assert settlement(STARTED, RetryLater(delay=delay).outcome).first == 5_000
        assert settlement(STARTED, SnoozeFor(delay).outcome).first == 5_000


@pytest.mark.parametrize("value", [math.nan, {"rates": [1.0, None, -math.inf]}, [{1.5, math.inf}], object()])
def test_a_result_that_json_cannot_hold_is_dropped_and_told(value: Any, caplog: pytest.LogCaptureFixture) -> None:
    found = settlement(STARTED, Completed(result=value))

    assert (found.outcome, found.first) == ("complete", b"")
    assert _returned(value).value == b"" and _returned(value).dropped in ("ValueError", "NotImplementedError")
    (record,) = caplog.records
    assert (record.getMessage(), vars(record)["task_id"], vars(record)["queue"]) == ("task.result_dropped", "a", "q")


def test_a_result_with_null_is_kept() -> None:
    assert settlement(STARTED, Completed(result=[None, 1.5, "null"])).first == b'[null,1.5,"null"]'
    assert _returned([None, 1.5, "null"]).value == b'[null,1.5,"null"]'
