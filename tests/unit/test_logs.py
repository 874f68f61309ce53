"""Log lines: one event a line, whatever its values hold."""

from __future__ import annotations

import contextvars
import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from redsched.model import current_run, trace
from redsched.observe import logs

log = logging.getLogger("redsched.test")
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
UGLY = ["a\nINFO forged", "\r\x1b[31mred", "\x85next", "\u2028line", "\u202edrow", '"q\\"', "\ud800", ""]
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("redsched")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(format: str, stream: io.StringIO | None = None, level: str = "info") -> io.StringIO:
    out = io.StringIO() if stream is None else stream
    logs.configure(level, format, out)
    return out


def record(out: io.StringIO) -> dict[str, Any]:
    (line,) = out.getvalue().splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_text_line_is_time_level_event_and_fields() -> None:
    out = lines("text")
    log.info("task.dead", extra={"queue": "otp", "task_id": "order-42:remind", "attempt": 5, "error": "no route"})

    stamp, rest = out.getvalue().split(" ", 1)
    assert re.fullmatch(STAMP, stamp)
    assert rest == 'INFO task.dead queue=otp task_id=order-42:remind attempt=5 error="no route"\n'


def test_a_json_line_has_the_same_facts() -> None:
    out = lines("json")
    log.warning("task.dead", extra={"queue": "otp", "attempt": 5, "late": 1.5, "burst": True, "key": None})

    line = record(out)
    assert re.fullmatch(STAMP, line.pop("ts"))
    assert line == {
        "level": "warning",
        "event": "task.dead",
        "logger": "redsched.test",
        "queue": "otp",
        "attempt": 5,
        "late": 1.5,
        "burst": True,
        "key": None,
    }


def test_auto_is_text_on_a_terminal_and_json_elsewhere() -> None:
    terminal = lines("auto", Terminal())
    log.info("a")
    pipe = lines("auto")
    log.info("b")

    assert terminal.getvalue().endswith("Z INFO a\n")
    assert record(pipe)["event"] == "b"


@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize("value", UGLY)
def test_no_value_can_forge_a_line_or_control_a_terminal(format: str, value: str) -> None:
    out = lines(format)
    log.info("task.failed", extra={"error": value, "task_id": "7"})

    text = out.getvalue()
    assert text.endswith("\n") and text[:-1].isprintable()
    assert len(text.splitlines()) == 1
    if format == "json" and value != "\ud800":
        assert json.loads(text)["error"] == value


def test_an_error_is_told_with_its_traceback_and_stays_one_record() -> None:
    def fail() -> None:
        try:
            raise ValueError("bad\n2027-01-31T09:00:00.000Z INFO forged")
        except ValueError:
            log.exception("task.failed")

    text, as_json = lines("text"), io.StringIO()
    fail()
    logs.configure("info", "json", as_json)
    fail()

    first, *rest = text.getvalue().splitlines()
    assert first.endswith("ERROR task.failed")
    assert rest and all(line.startswith("    ") for line in rest)
    assert "ValueError: bad" in record(as_json)["traceback"]


@pytest.mark.parametrize("format", ["text", "json"])
def test_payload_result_and_secrets_are_withheld_though_someone_logs_them(format: str) -> None:
    out = lines(format)
    canary = "canary-4711"
    names = ("payload", "result", "headers", "progress", "authorization", "password")
    withheld = {name: {"pin": canary} for name in names}
    log.info("task.dead", extra={**withheld, "body": canary.encode(), "task_id": "7"})

    assert canary not in out.getvalue()
    assert "<11 bytes>" in out.getvalue()


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_long_value_is_cut(format: str) -> None:
    out = lines(format)
    log.info("task.failed", extra={"error": "x" * 100_000})

    assert len(out.getvalue()) < 800


def test_lines_of_a_handler_carry_the_trace_of_its_task() -> None:
    out = lines("json")
    with trace.enter(PARENT):
        logging.getLogger("shop.mail").warning("sent")

    line = record(out)
    assert (line["trace_id"], line["span_id"]) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert line["logger"] == "shop.mail"


def test_the_level_holds_for_redsched_and_other_libraries_only_warn() -> None:
    out = lines("text", level="debug")
    log.debug("mine")
    logging.getLogger("other").info("theirs")

    assert out.getvalue().endswith("DEBUG mine\n")
    assert "theirs" not in out.getvalue()


def test_configuring_twice_does_not_write_twice() -> None:
    lines("text")
    out = lines("text")
    log.info("once")

    assert len(out.getvalue().splitlines()) == 1


def test_an_integer_beyond_64_bits_is_still_told() -> None:
    out = lines("json")
    log.info("odd", extra={"n": 2**70, "queue": "otp"})

    assert str(2**70) in out.getvalue()
    assert record(out)["queue"] == "otp"


class OfATask:
    queue, id, type, attempt = "otp", "order-42:remind", "otp.send", 2


def test_what_an_application_logs_at_info_is_shown_in_its_runs_and_its_lifespan_with_the_task() -> None:
    out = lines("json")
    shop = logging.getLogger("shop.orders")

    def in_run() -> None:
        current_run.begin(OfATask())
        shop.info("sent %s", "it", extra={"type": "its own"})
        shop.debug("not shown")

    def in_lifespan() -> None:
        current_run.begin_application()
        shop.info("connected")

    shop.info("imported")
    contextvars.copy_context().run(in_run)
    contextvars.copy_context().run(in_lifespan)
    shop.info("imported")

    sent, connected = (json.loads(line) for line in out.getvalue().splitlines())
    assert (sent["event"], sent["logger"], sent["queue"]) == ("sent it", "shop.orders", "otp")
    assert (sent["task_id"], sent["type"], sent["attempt"]) == ("order-42:remind", "its own", 2)
    assert connected["event"] == "connected" and "task_id" not in connected


def test_a_logger_that_was_given_a_level_is_shown_everywhere_and_a_higher_level_shows_less() -> None:
    shop, orders = logging.getLogger("shop"), logging.getLogger("shop.orders")
    out = lines("json")
    shop.setLevel("INFO")
    try:
        orders.info("imported")
    finally:
        shop.setLevel(logging.NOTSET)
    assert record(out)["event"] == "imported"

    def in_run() -> None:
        current_run.begin(OfATask())
        orders.info("sent")
        orders.warning("late")

    out = lines("json", level="warning")
    contextvars.copy_context().run(in_run)
    assert record(out)["event"] == "late"
