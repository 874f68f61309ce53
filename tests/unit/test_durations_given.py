"""A duration has a unit wherever Python code gives one; in JSON a bare number means milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from redsched import (
    Again,
    App,
    Client,
    Digest,
    Explicit,
    Exponential,
    Filter,
    Fixed,
    Hold,
    InvalidSchedule,
    InvalidTask,
    Retry,
    Settings,
    Snooze,
    Task,
    Unique,
    WaitFor,
)
from redsched.engine.ending import settlement
from redsched.model.duration import duration_ms, span_ms, span_of
from redsched.model.events import Rule
from redsched.model.fields import FIELDS
from redsched.model.task import Changes
from redsched.model.template import TaskTemplate
from redsched.steps.bulk import check_bulk
from redsched.web.task_body import TaskBody
from redsched.wire.claims import Started
from redsched.wire.task_words import option_words

SPELLINGS = 'is a bare number; write "5s" or timedelta(seconds=5)'
app = App()


@pytest.fixture
def client() -> Client:
    """A client of a server that is not there: what is refused here was never sent."""
    return Client(settings=Settings(redis_url="redis://127.0.0.1:1", retry_for_ms=1))


DOORS: dict[str, tuple[str, Callable[[Client, Any], Any]]] = {
    "delay": ("delay", lambda client, given: client.enqueue("t", delay=given)),
    "timeout": ("timeout", lambda client, given: client.enqueue("t", timeout=given)),
    "retention": ("retention", lambda client, given: client.enqueue("t", retention=given)),
    "expires_in": ("expires_in", lambda client, given: client.enqueue("t", expires_in=given)),
    "a task": ("timeout", lambda client, given: client.enqueue_many([Task(type="t", timeout=given)])),
    "retry": ("retry: delays", lambda client, given: client.enqueue("t", retry=[given])),
    "fixed": ("retry: delay", lambda client, given: client.enqueue("t", retry=Fixed(given))),
    "list": ("retry: delays", lambda client, given: client.enqueue("t", retry=Explicit(["1s", given]))),
    "base": ("retry: base", lambda client, given: client.enqueue("t", retry=Exponential(base=given))),
    "max": ("retry: max", lambda client, given: client.enqueue("t", retry=Exponential(max=given))),
    "wait_for": (
        "conditions.wait_for.within",
        lambda client, given: client.enqueue("t", wait_for=WaitFor(all=["f"], within=given)),
    ),
    "a mapping": (
        "conditions.wait_for.within",
        lambda client, given: client.enqueue("t", wait_for={"all": ["f"], "within": given}),
    ),
    "again": (
        "conditions.otherwise.again",
        lambda client, given: client.enqueue("t", unless="f", otherwise=Again(given)),
    ),
    "unique": (
        "conditions.unique.ttl",
        lambda client, given: client.enqueue("t", unique=Unique(key="k", release="ttl", ttl=given)),
    ),
    "digest": (
        "conditions.digest.grace",
        lambda client, given: client.enqueue("t", digest=Digest(key="k", grace=given)),
    ),
    "held": ("conditions.hold.within", lambda client, given: client.enqueue("t", hold=Hold(token="k", within=given))),
    "hold": ("within", lambda client, given: client.hold("t", within=given)),
    "expect": ("within", lambda client, given: client.expect("paid", "order-42", given, "t")),
    "emit": ("ttl", lambda client, given: client.emit("paid", ttl=given)),
    "reschedule": ("delay", lambda client, given: client.reschedule("a", delay=given)),
    "revive": ("delay", lambda client, given: client.revive("a", delay=given)),
    "requeue": ("delay", lambda client, given: client.requeue("a", delay=given)),
    "update": ("timeout", lambda client, given: client.update("a", timeout=given)),
    "wait": ("timeout", lambda client, given: client.wait("a", given)),
    "a type's timeout": ("timeout", lambda client, given: app.task("a", timeout=given)),
    "a type's retry": ("retry: delays", lambda client, given: app.task("a", retry=[given])),
    "a type's start-by": ("expires_in", lambda client, given: app.task("a", expires_in=given)),
    "a type's interval": ("every", lambda client, given: app.task("a", every=given)),
}  # fmt: skip


@pytest.mark.parametrize("given", [5, 0, 5.0, "5"])
@pytest.mark.parametrize("door", DOORS)
def test_a_bare_number_is_refused_with_the_spellings_to_choose_from(client: Client, door: str, given: Any) -> None:
    field, give = DOORS[door]

    with pytest.raises((InvalidTask, InvalidSchedule)) as refused:
        give(client, given)

    assert str(refused.value).replace(": ", " ").startswith(f"{field} {SPELLINGS}".replace(": ", " "))


@pytest.mark.parametrize("given", ["5s", timedelta(seconds=5), "PT5S"])
def test_text_with_a_unit_and_timedelta_are_taken(given: Any) -> None:
    assert span_ms(given) == 5_000
    assert option_words(Task(type="t", timeout=given), None) == ["timeout_ms", 5_000]


@pytest.mark.parametrize("given", [True, None, [5], {"s": 5}])
def test_what_is_neither_is_refused_by_its_kind(given: Any) -> None:
    with pytest.raises(ValueError, match='must be a duration such as "5s" or timedelta'):
        span_ms(given)


@pytest.mark.parametrize("outcome", [Snooze(5), Retry("busy", delay=5)])  # type: ignore[arg-type]
def test_an_outcome_with_a_bare_number_cannot_be_told(outcome: Any) -> None:
    started = Started("default", "a", 1, 0, "t", b"null", None, None, None, None, 5, None, "1.x")
    with pytest.raises(ValueError, match="is a bare number"):  # which fails the attempt, with this text
        settlement(started, outcome)


def test_what_a_bulk_call_acts_on_is_told_with_a_unit() -> None:
    with pytest.raises(InvalidTask, match=r"where\.older_than: is a bare number"):
        check_bulk("revive", Filter(older_than=5), 10)  # type: ignore[arg-type]


FULL = {
    "type": "t", "retry": [1_000, "2000", "3s"], "timeout": 5_000, "expires_in": "60000", "retention": 0,
    "conditions": {
        "wait_for": {"all": ["f"], "within": 900_000}, "unless": "f", "otherwise": {"again": 1_000, "within": 60_000},
        "unique": {"key": "k", "release": "ttl", "ttl": 1_000}, "hold": {"token": "t", "within": "500"},
    },
}  # fmt: skip


@pytest.mark.parametrize("door", [TaskBody, TaskTemplate])
def test_in_json_a_bare_number_means_milliseconds(door: Any) -> None:
    given = msgspec.json.decode(msgspec.json.encode(FULL), type=door)
    task = given.task(None) if door is TaskBody else given.task()

    words = dict(zip(*[iter(option_words(task, None))] * 2, strict=True))

    conditions = msgspec.json.decode(words.pop("conditions"))
    assert words == {"retry": "list 1000 2000 3000", "timeout_ms": 5_000, "expires_at": "+60000", "retention_ms": 0}
    assert conditions["wait_for"]["within"] == 900_000
    assert conditions["otherwise"] == {"again": 1_000, "within": 60_000}
    assert (conditions["unique"]["ttl"], conditions["hold"]["within"]) == (1_000, 500)


@pytest.mark.parametrize(
    ("retry", "line"),
    [
        ({"kind": "fixed", "delay": 5_000}, "fixed 5000"),
        ({"kind": "exponential", "base": 100, "max": "200"}, "exponential 100 2 200 0.2"),
        ({"kind": "list", "delays": [1, "2", "3s"]}, "list 1 2 3000"),
        ("5000", "fixed 5000"),
    ],
)
def test_and_in_the_retry_policy_of_a_template_or_a_body(retry: Any, line: str) -> None:
    text = msgspec.json.encode({"type": "t", "retry": retry})
    template, body = msgspec.json.decode(text, type=TaskTemplate), msgspec.json.decode(text, type=TaskBody)

    assert option_words(template.task(), None) == option_words(body.task(None), None) == ["retry", line]


def test_a_delay_of_a_rule_is_one_of_json() -> None:
    assert msgspec.convert({"on": "paid", "delay": 700, "task": {"type": "t"}}, Rule).delay == 700


@pytest.mark.parametrize("given", [0, 5, 10**15, "7", " 7 "])
def test_a_number_of_json_means_the_same_as_python_says_it(given: Any) -> None:
    assert span_ms(span_of(given)) == duration_ms(given)


@pytest.mark.parametrize("given", [-1, 10**30, -(10**30)])
def test_a_number_of_json_that_no_timedelta_can_hold_is_still_out_of_range(given: int) -> None:
    with pytest.raises(InvalidTask, match="must not be negative" if given < 0 else "is outside 1..86400000 ms"):
        option_words(Task(type="t", timeout=span_of(given)), None)


def test_every_field_that_is_a_duration_is_tried_here() -> None:
    spans = {field.name for field in FIELDS if field.in_task and field.kind in ("duration", "delay", "start_within")}
    assert spans == {"delay", "timeout", "expires_in", "retention"}
    assert spans - {"delay"} <= Changes.__annotations__.keys()
