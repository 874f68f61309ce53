"""A handler's signature is its payload's schema."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import functools
import re
import types
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
import pytest

from redsched import App, Context, Exponential, InvalidSchedule, InvalidSetting, InvalidTask, Task
from redsched.engine.handler import Handler
from redsched.engine.payload_types import PayloadMismatch


class Address(msgspec.Struct):
    city: str
    zip: int = 0


@dataclasses.dataclass
class Order:
    id: str
    lines: list[int]
    ship_to: Address | None = None


class Channel(enum.Enum):
    SMS = "sms"
    MAIL = "mail"


def arguments(function: Any, payload: str) -> dict[str, Any]:
    return Handler(function).arguments(payload.encode())


def refusal(function: Any, payload: str) -> str:
    with pytest.raises(PayloadMismatch) as caught:
        arguments(function, payload)
    return str(caught.value)


def test_an_object_becomes_keyword_arguments() -> None:
    def handler(phone: str, code: int) -> None: ...

    assert arguments(handler, '{"phone":"+49","code":7}') == {"phone": "+49", "code": 7}


def test_a_default_is_left_to_the_function() -> None:
    def handler(phone: str, code: int = 7, *, urgent: bool = False) -> None: ...

    assert arguments(handler, '{"phone":"+49"}') == {"phone": "+49"}
    assert arguments(handler, ' {"phone":"+49","urgent":true}') == {"phone": "+49", "urgent": True}


@pytest.mark.parametrize(
    ("payload", "found"), [("5", 5), ("null", None), ("[1]", [1]), ('"text"', "text"), ("1.5", 1.5)]
)
def test_any_other_value_is_the_one_positional(payload: str, found: Any) -> None:
    def handler(value: Any, other: str = "") -> None: ...

    assert arguments(handler, payload) == {"value": found}


def test_null_calls_a_handler_that_needs_nothing() -> None:
    def handler(ctx: Context, value: int = 3) -> None: ...

    assert arguments(handler, "null") == {}
    assert arguments(handler, "{}") == {}
    assert arguments(handler, "4") == {"value": 4}


def test_an_optional_value_may_be_null_and_one_that_is_not_may_not() -> None:
    def handler(a: int | None, b: str) -> None: ...

    assert arguments(handler, '{"a":null,"b":"x"}') == {"a": None, "b": "x"}
    assert refusal(handler, '{"a":1,"b":null}') == "Expected `str`, got `null` - at `$.b`"
    assert refusal(handler, '{"b":"x"}') == "Object missing required field `a`"


def test_further_fields_go_to_a_keyword_catch_all_and_nowhere_else() -> None:
    def open_handler(a: int, **rest: Any) -> None: ...

    def closed_handler(a: int) -> None: ...

    assert arguments(open_handler, '{"a":1,"b":{"c":[2]}}') == {"a": 1, "b": {"c": [2]}}
    assert arguments(closed_handler, '{"a":1,"b":2}') == {"a": 1}


def test_the_context_is_found_by_its_annotation_whatever_its_name_and_place() -> None:
    def handler(a: int, run: Context) -> None: ...

    assert Handler(handler).context_name == "run"
    assert arguments(handler, '{"a":1}') == {"a": 1}
    assert arguments(handler, "1") == {"a": 1}
    assert arguments(handler, '{"a":1,"run":{}}') == {"a": 1}


def test_nested_types_are_decoded_and_their_faults_have_a_path() -> None:
    def handler(order: Order, channel: Channel, at: datetime, kind: Literal["new", "old"] = "new") -> None: ...

    rest = ',"channel":"sms","at":"2027-01-31T09:00:00Z"}'
    found = arguments(handler, '{"order":{"id":"o1","lines":[1,2],"ship_to":{"city":"Ulm"}}' + rest)

    assert found["order"] == Order("o1", [1, 2], Address("Ulm"))
    assert found["channel"] is Channel.SMS
    assert found["at"].isoformat() == "2027-01-31T09:00:00+00:00"
    assert refusal(handler, '{"order":{"id":"o","lines":[1,"x"]}' + rest) == (
        "Expected `int`, got `str` - at `$.order.lines[1]`"
    )
    assert refusal(handler, '{"order":{"id":"o","lines":[],"ship_to":{}}' + rest) == (
        "Object missing required field `city` - at `$.order.ship_to`"
    )


def test_constraints_of_annotated_types_hold() -> None:
    def handler(n: Annotated[int, msgspec.Meta(ge=1, le=9)]) -> None: ...

    assert arguments(handler, '{"n":9}') == {"n": 9}
    assert refusal(handler, '{"n":10}') == "Expected `int` <= 9 - at `$.n`"


@pytest.mark.parametrize(
    "payload", ["", "{", "nonsense", '{"a":1}trailing', "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")]
)
def test_what_is_no_json_is_a_mismatch(payload: str) -> None:
    def handler(a: int) -> None: ...

    refusal(handler, payload)


def test_bytes_that_are_no_utf8_and_endless_nesting_are_mismatches() -> None:
    def handler(a: Any) -> None: ...

    for payload in (b'{"a":"\xff\xfe"}', b"[" * 100_000, b'{"a":' * 100_000):
        with pytest.raises(PayloadMismatch):
            Handler(handler).arguments(payload)


def test_a_value_for_a_handler_of_several_parameters_is_a_mismatch() -> None:
    def handler(a: int, b: int) -> None: ...

    assert refusal(handler, "5") == "Expected a JSON object with 2 or more fields - at `$`"


def test_parameters_without_a_name_or_without_an_end_are_refused_at_registration() -> None:
    def endless(*values: int) -> None: ...

    def nameless(value: int, /) -> None: ...

    for function in (endless, nameless):
        with pytest.raises(TypeError, match=r"parameter 'values?' cannot be given by its name"):
            Handler(function)


class Callable:
    async def __call__(self, a: int) -> None: ...

    async def method(self, a: int) -> None: ...

    def plain(self, a: int) -> None: ...


async def with_prefix(prefix: str, a: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "is_async"),
    [
        (Callable(), True),
        (Callable().method, True),
        (Callable().plain, False),
        (functools.partial(with_prefix, "x"), True),
        (lambda a: a, False),
    ],
)
def test_methods_partials_and_callable_objects_are_handlers_too(function: Any, is_async: bool) -> None:
    handler = Handler(function)

    assert handler.is_async is is_async
    assert handler.arguments(b'{"a":1}')["a"] == 1


def test_a_registered_function_stays_a_plain_function() -> None:
    app = App()

    @app.task("add")
    def add(a: int, b: int = 1) -> int:
        return a + b

    assert add(2) == 3
    assert list(app.tasks) == ["add"]


def test_a_type_makes_tasks_with_its_defaults_which_options_override() -> None:
    app = App()
    retry = Exponential(base="1s")

    @app.task("otp.send", queue="otp", timeout="30s", max_attempts=5, retry=retry, expires_in="2m")
    def send(phone: str) -> None: ...

    kind = app.tasks["otp.send"]
    made = Task(
        type="otp.send",
        payload=1,
        queue="otp",
        timeout=timedelta(seconds=30),
        max_attempts=5,
        retry=retry,
        expires_in="2m",
    )
    assert kind.task(1) == made
    assert kind.task(1, queue="other", max_attempts=1, expires_at=2_000_000_000_000) == msgspec.structs.replace(
        made, queue="other", max_attempts=1, expires_in=None, expires_at=2_000_000_000_000
    )


def test_options_that_cannot_be_used_are_refused_where_they_are_written() -> None:
    app = App()

    for options in ({"timeout": "soon"}, {"max_attempts": 0}, {"retry": [timedelta(-1)]}, {"queue": "no queue"}):
        with pytest.raises(InvalidTask):
            app.task("x", **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidTask):
        app.task("no name")


def test_a_type_has_one_handler() -> None:
    app = App()
    app.task("x")(print_nothing)

    with pytest.raises(ValueError, match="has a handler already"):
        app.task("x")


def print_nothing() -> None: ...


def test_the_queues_are_those_of_its_types_in_their_order() -> None:
    app = App()
    for name, queue in (("a", "two"), ("b", "one"), ("c", "two")):
        app.task(name, queue=queue)(print_nothing)

    assert app.queues == ("two", "one")


def test_an_app_is_loaded_from_where_it_is_named() -> None:
    assert App.load("redsched.builtin:app") is App.load("redsched.builtin")

    for where in ("no.such.module:app", "redsched.builtin:nothing", "redsched.builtin:log"):
        with pytest.raises(InvalidSetting):
            App.load(where)


def test_a_type_carries_its_schedule() -> None:
    app = App()
    more = {"overlap": "buffer_one", "payload": {"month": True}, "jitter": "5s"}
    app.task(
        "statement.send",
        queue="mail",
        timeout="5s",
        max_attempts=2,
        cron="0 9 L * *",
        time_zone="Asia/Kolkata",
        schedule=more,
    )(print_nothing)
    app.task("beat", every="30s", schedule={"id": "heart"})(print_nothing)
    app.task("plain")(print_nothing)

    statement, beat = app.schedules
    assert (statement.id, statement.cron, statement.time_zone) == ("statement.send", "0 9 L * *", "Asia/Kolkata")
    assert (statement.overlap, statement.jitter) == ("buffer_one", "5s")
    assert (statement.task.type, statement.task.queue, statement.task.payload) == (
        "statement.send",
        "mail",
        {"month": True},
    )
    assert (statement.task.timeout, statement.task.max_attempts) == ("5s", 2)
    assert (beat.id, beat.every, beat.task.type) == ("heart", "30s", "beat")


def test_a_schedule_that_cannot_be_used_is_refused_where_it_is_written() -> None:
    app = App()

    for options in (
        {"cron": "0 25 * * *"},
        {"cron": "0 9 * * *", "time_zone": "Mars"},
        {"every": "10ms"},
        {"every": "5s", "schedule": {"nothing": 1}},
        {"schedule": {"overlap": "skip"}},
    ):
        with pytest.raises(InvalidSchedule):
            app.task("x", **options)  # type: ignore[arg-type]


def numbers(a: int) -> Iterator[int]:
    yield a


async def later(a: int) -> AsyncIterator[int]:
    yield a


class Steps:
    def __call__(self, a: int) -> Iterator[int]:
        yield a

    async def later(self, a: int) -> AsyncIterator[int]:
        yield a

    @staticmethod
    def apart(a: int) -> Iterator[int]:
        yield a


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (numbers, "numbers"),
        (later, "later"),
        (functools.partial(numbers, 1), "numbers"),
        (functools.partial(functools.partial(later), a=1), "later"),
        (Steps(), "Steps.__call__"),
        (functools.partial(Steps()), "Steps.__call__"),
        (Steps().later, "Steps.later"),
        (Steps.apart, "Steps.apart"),
        (vars(Steps)["apart"], "Steps.apart"),
        (functools.cache(numbers), "numbers"),
    ],
)
def test_a_generator_function_is_refused_at_registration_by_its_name(function: Any, name: str) -> None:
    app = App()

    with pytest.raises(TypeError, match=f"{re.escape(name)} is a generator function.*replace its yields"):
        app.task("numbers")(function)

    assert app.tasks == {}


def test_a_decorator_that_runs_a_generator_to_its_end_makes_a_handler() -> None:
    def run_all(function: Any) -> Any:
        @functools.wraps(function)
        def run(**arguments: Any) -> list[int]:
            return list(function(**arguments))

        return run

    assert Handler(run_all(numbers)).function(a=2) == [2]


def test_a_generator_that_asyncio_awaits_makes_a_handler() -> None:
    @types.coroutine
    def old_style(a: int) -> Any:
        yield from asyncio.sleep(0).__await__()
        return a

    assert arguments(old_style, '{"a":1}') == {"a": 1}


@pytest.mark.parametrize("kind", ["text/plain", "application/xml; charset=utf-8", "application/octet-stream", "x"])
def test_a_payload_that_is_not_json_is_bytes(kind: str) -> None:
    def plain(body: bytes) -> None: ...

    def anything(body, context: Context = None) -> None: ...  # type: ignore[no-untyped-def, assignment]

    def text(body: str) -> None: ...

    def two(body: bytes, more: int) -> None: ...

    for payload in (b"<order/>", b'{"a":1}', b"null", b"\xff\x00", b""):
        assert Handler(plain).arguments(payload, kind) == {"body": payload}
        assert Handler(anything).arguments(payload, kind) == {"body": payload}
        with pytest.raises(PayloadMismatch, match="Expected `str`, got `bytes`"):
            Handler(text).arguments(payload, kind)
        with pytest.raises(PayloadMismatch, match="a handler of one parameter"):
            Handler(two).arguments(payload, kind)


@pytest.mark.parametrize("kind", [None, "", "application/json", "Application/JSON; charset=utf-8", "text/x+json"])
def test_a_payload_of_a_kind_of_json_is_read_as_json(kind: str | None) -> None:
    def handler(a: int) -> None: ...

    assert Handler(handler).arguments(b'{"a":1}', kind) == {"a": 1}
