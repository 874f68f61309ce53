"""The log is told once that Redis is away, and once that it is back."""

from __future__ import annotations

import contextvars
import io
import logging
from collections.abc import Generator
from typing import Any

import pytest

from redsched.model import current_run
from redsched.model.errors import OutcomeUnknown, RedschedError, StoreUnavailable
from redsched.observe.logs import TextFormatter
from redsched.steps.exchange import Mode, exchange
from redsched.steps.outage import Outage
from redsched.wire import protocol
from redsched.wire.call import Call
from redsched.wire.cells import Cell
from redsched.wire.keys import queue_keys
from redsched.wire.redis_errors import Refused, Unanswered, Unreached

CALL: Call[Any] = protocol.sweep([queue_keys(Cell("t"), "default")])
SWEPT = [0, 0]


class Server:
    """What Redis answers, by a clock of its own; ``refused``, say, for a while."""

    def __init__(self) -> None:
        self.now = 100.0
        self.outage = Outage()
        self.mode = Mode()
        self.mode.loaded = True

    def send(self, *replies: Any, took: float = 0.0, retry_for: float = 60.0, call: Call[Any] = CALL) -> Any:
        """One call, whose commands get these replies or troubles; each takes so many seconds, pauses theirs."""
        left = list(replies)
        steps: Generator[Any, Any, Any] = exchange(
            call, self.mode, self.outage, retry_for=retry_for, clock=lambda: self.now
        )
        try:
            action = next(steps)
            while True:
                if isinstance(action, float):
                    self.now += action
                    action = steps.send(None)
                    continue
                self.now += took
                reply = left.pop(0) if len(left) > 1 else left[0]
                action = steps.throw(reply) if isinstance(reply, Exception) else steps.send(reply)
        except StopIteration as end:
            return end.value


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records]


def test_an_outage_of_less_than_a_second_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    server.send(Unreached("refused"), Unreached("refused"), SWEPT)

    assert told(caplog) == [] and not server.outage.is_on


def test_a_longer_one_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    began = server.now
    server.send(*[Unreached("refused")] * 20, SWEPT)

    assert told(caplog) == ["redis.away", "redis.back"]
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert vars(caplog.records[0])["error"] == "refused"
    assert vars(caplog.records[1])["seconds"] == pytest.approx(server.now - began, abs=0.06)


def test_one_that_outlasts_calls_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            server.send(Unreached("refused"), retry_for=2)
        server.now += 30
    assert told(caplog) == ["redis.away"]

    server.send(SWEPT)
    assert told(caplog) == ["redis.away", "redis.back"]


def test_an_answer_that_did_not_come_for_a_second_is_told_with_its_time_out(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    server.send(Unanswered("no answer within 5 s"), SWEPT, took=5)

    assert told(caplog) == ["redis.away", "redis.back"]


def test_a_call_that_is_not_repeated_tells_too(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    call = Call(CALL.verb, CALL.keys, CALL.args, CALL.read, repeatable=False)
    with pytest.raises(OutcomeUnknown):
        server.send(Unanswered("no answer within 5 s"), took=5, call=call)

    assert told(caplog) == ["redis.away"]


def test_a_call_that_only_reads_is_unavailable_where_no_answer_comes() -> None:
    server = Server()
    call = Call("show", CALL.keys, CALL.args, CALL.read)
    with pytest.raises(StoreUnavailable, match=r"^show: no answer within 5 s$"):
        server.send(Unanswered("no answer within 5 s"), took=5, call=call, retry_for=2)


def test_a_server_that_loads_its_data_is_away(caplog: pytest.LogCaptureFixture) -> None:
    Server().send(*[Refused("LOADING Redis is loading the dataset in memory")] * 20, SWEPT)

    assert told(caplog) == ["redis.away", "redis.back"]


def test_a_refusal_is_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    with pytest.raises(RedschedError):
        server.send(*[Unreached("refused")] * 20, Refused("NOPERM no right"))

    assert told(caplog) == ["redis.away", "redis.back"]


def test_two_calls_that_failed_minutes_apart_are_two_short_outages(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            server.send(Unreached("refused"), retry_for=0)
        server.now += 300

    assert told(caplog) == []


def test_a_call_of_an_outage_that_is_over_does_not_begin_another(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage()
    outage.failed("no answer", asked=100.0, now=103.0)
    outage.answered(104.0)
    outage.failed("no answer", asked=101.0, now=104.5)

    assert told(caplog) == ["redis.away", "redis.back"]


class OfATask:
    queue, id, type, attempt = "otp", "order-42", "otp.send", 2


def test_an_outage_that_the_run_of_a_task_meets_first_does_not_bear_its_id() -> None:
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(TextFormatter())
    server = Server()
    logger = logging.getLogger("redsched.client")

    def run() -> None:
        current_run.begin(OfATask())
        server.send(*[Unreached("refused")] * 9, SWEPT, took=0.5)
        logger.warning("of the run")

    logger.addHandler(handler)
    try:
        contextvars.Context().run(run)
    finally:
        logger.removeHandler(handler)

    away, back, own = lines.getvalue().splitlines()
    assert "redis.away" in away and "redis.back" in back
    assert "order-42" not in away + back and "order-42" in own
