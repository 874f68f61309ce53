"""``redsched.testing.TestClient``: what tests of an application see of tasks, time and runs, with each server."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from redsched import (
    App,
    Client,
    Context,
    Fixed,
    InvalidSetting,
    Reject,
    Retry,
    RetryLater,
    SnoozeFor,
    Task,
    TaskNotFound,
)
from redsched.steps.bulk import Filter
from redsched.testing import RunFailed, TestClient, TooManyRuns
from tests.support.app_clients import START, Make

HOUR = timedelta(hours=1)


@pytest.fixture
def app() -> App:
    """Tasks of every way to end."""
    app = App("shop")

    @app.task("echo")
    async def echo(value: Any = None) -> Any:
        return value

    @app.task("fail", retry=Fixed(delay="10s"), max_attempts=3)
    def fail(text: str = "no") -> None:
        raise ValueError(text)

    @app.task("slow", timeout="10ms")
    async def slow() -> None:
        await asyncio.Event().wait()

    @app.task("choose")
    async def choose(ctx: Context, end: str) -> Any:
        if end == "lazy":
            return choose(ctx, "lazy")
        if ctx.attempt == 1 and end == "later":
            raise RetryLater("not yet", delay=timedelta(minutes=5))
        if end == "reject":
            raise Reject("no such order")
        if end == "snooze":
            raise SnoozeFor(timedelta(days=1))
        if end == "retry" and ctx.attempt == 1:
            return Retry("not yet", delay=timedelta(minutes=5))
        return None

    return app


def task(app: App, type: str, payload: Any = None, **options: Any) -> Task:
    """One with the defaults of its type."""
    return app.tasks[type].task(payload, **options)


def ends(client: TestClient) -> list[tuple[str, str, str, int]]:
    """The runs so far: id, outcome, what became of the task, and the seconds since START."""
    return [(run.id, run.outcome, run.state, int((run.at - START).total_seconds())) for run in client.runs]


def test_it_is_a_client_and_no_class_of_tests(make: Make, app: App) -> None:
    assert isinstance(make(app), Client)
    assert TestClient.__test__ is False


def test_time_stands_still_until_the_test_moves_it(make: Make, app: App) -> None:
    client = make(app)
    client.enqueue("echo", 7, id="a", delay="1h")
    assert (client.now, client.run_due()) == (START, [])

    assert client.advance("59m59s") == []
    (run,) = client.advance(seconds=1)

    assert client.runs == [run]
    assert (run.id, run.type, run.queue, run.payload, run.result, run.attempt) == ("a", "echo", "default", 7, 7, 1)
    assert (run.outcome, run.state, run.at, client.now) == ("completed", "completed", START + HOUR, START + HOUR)


def test_tasks_run_in_the_order_of_their_due_times_each_at_its_own(make: Make, app: App) -> None:
    client = make(app)
    for task_id, delay in (("c", "3h"), ("a", "1h"), ("b", "2h"), ("z", "25h")):
        client.enqueue("echo", id=task_id, delay=delay, queue=f"q-{task_id}")

    client.advance("1d")

    assert [(run.id, run.at - START) for run in client.runs] == [("a", HOUR), ("b", 2 * HOUR), ("c", 3 * HOUR)]
    assert client.now == START + timedelta(days=1)


def test_a_failed_run_is_retried_by_its_policy_until_it_is_dead(make: Make, app: App) -> None:
    client = make(app)
    client.enqueue_many([task(app, "fail", id="f")])

    client.advance("1m")

    assert ends(client) == [
        ("f", "failed", "scheduled", 0),
        ("f", "failed", "scheduled", 10),
        ("f", "failed", "dead", 20),
    ]
    assert [run.attempt for run in client.runs] == [1, 2, 3]
    assert isinstance(client.runs[0].exception, ValueError)
    assert client.runs[0].error == "ValueError: no"
    assert client.task("f").state == "dead"


def test_a_handler_chooses_its_end(make: Make, app: App) -> None:
    client = make(app, raise_errors=True)  # a chosen end is no error
    for end in ("later", "reject", "retry", "snooze"):
        client.enqueue_many([task(app, "choose", {"end": end}, id=end)])

    client.advance("1h")

    assert sorted(ends(client)) == [
        ("later", "completed", "completed", 300),
        ("later", "failed", "scheduled", 0),
        ("reject", "dead", "dead", 0),
        ("retry", "completed", "completed", 300),
        ("retry", "failed", "scheduled", 0),
        ("snooze", "snoozed", "scheduled", 0),
    ]


def test_a_run_past_its_time_limit_is_a_failed_attempt(make: Make, app: App) -> None:
    client = make(app)
    client.enqueue_many([task(app, "slow", id="s")])

    (run,) = client.run_due()

    assert (run.outcome, run.state) == ("timeout", "scheduled")
    assert run.error == "TimeLimit: ran longer than its time limit of 10ms"


def test_a_payload_that_does_not_fit_is_a_dead_letter_and_the_handler_does_not_run(make: Make, app: App) -> None:
    client = make(app)
    client.enqueue("choose", {"end": 5}, id="p")

    (run,) = client.run_due()

    assert (run.outcome, run.state, run.exception) == ("dead", "dead", None)
    assert run.error == "Expected `str`, got `int` - at `$.end`"


def test_errors_are_raised_where_the_test_asks_for_it_and_settled_all_the_same(make: Make, app: App) -> None:
    client = make(app, raise_errors=True)
    client.enqueue_many([task(app, "fail", {"text": "broken"}, id="f")])
    client.enqueue("choose", {"end": 5}, id="p", delay="2s")
    client.enqueue_many([task(app, "slow", id="s", delay="3s")])
    client.enqueue("echoo", id="u", delay="4s")

    with pytest.raises(ValueError, match=r"^broken$"):
        client.run_due()
    client.enqueue_many([task(app, "choose", {"end": "lazy"}, id="l", delay="1s")])
    with pytest.raises(RunFailed, match="returned a coroutine: nothing was run"):
        client.advance("1s")
    for task_id, text in (
        ("p", "got `int`"),
        ("s", "time limit of 10ms"),
        ("u", "no handler of this type; it has cho"),
    ):
        with pytest.raises(RunFailed, match=text) as raised:
            client.advance("1s")
        assert raised.value.run.id == task_id

    assert client.task("f").state == "scheduled"
    assert client.now == START + timedelta(seconds=4)


def test_a_type_without_a_handler_is_told_once_and_costs_no_time(make: Make, app: App) -> None:
    client = make(app)
    client.enqueue("echoo", id="u")

    client.advance("10m")

    assert ends(client) == [("u", "unhandled", "scheduled", 0)]
    assert client.stats(["default"])[0].totals.get("promoted", 0) == 0  # a worker would have looked again and again
    assert client.runs[0].error == "app 'shop' has no handler of this type; it has choose, echo, fail, slow"


def test_what_is_enqueued_by_a_handler_runs_at_its_own_time(make: Make, app: App) -> None:
    client = make(app)

    @app.task("plain")
    def plain() -> None:
        client.enqueue("coroutine", id="c")

    @app.task("coroutine")
    async def coroutine() -> None:
        await client.aio.enqueue("echo", id="e", delay="1h")

    client.enqueue("plain", id="p", delay="1h")

    client.advance("1d")

    assert ends(client) == [
        ("p", "completed", "completed", 3_600),
        ("c", "completed", "completed", 3_600),
        ("e", "completed", "completed", 7_200),
    ]


def test_coroutines_run_in_the_thread_of_the_test_on_one_event_loop(make: Make, app: App) -> None:
    client, seen = make(app), []
    database = sqlite3.connect(":memory:")  # refuses other threads

    @app.task("where")
    async def where() -> None:
        database.execute("SELECT 1")
        seen.append((threading.get_ident(), asyncio.get_running_loop()))

    client.enqueue("where")
    client.enqueue("where", delay="1h")
    client.run_due()
    client.advance("1h")
    database.close()

    assert seen[0] == seen[1]
    assert seen[0][0] == threading.get_ident()


def test_conditions_are_decided_as_in_production(make: Make, app: App) -> None:
    client = make(app)
    client.enqueue("echo", id="skipped", delay="1h", unless="paid:1")
    client.enqueue("echo", id="cancelled", delay="1h", cancel_on="paid:1")
    client.enqueue("echo", id="waits", wait_for="paid:1")
    client.chain([Task(type="echo", id="first", payload=1), Task(type="echo", id="second")])
    client.advance("59m")
    assert [run.id for run in client.runs] == ["first", "second"]

    client.emit("paid", "1", {"amount": 5}, ttl="2h")
    assert client.facts() == {"paid:1": {"amount": 5}}
    client.advance("1m")

    assert [run.id for run in client.runs] == ["first", "second", "waits"]
    assert [client.task(task_id).state for task_id in ("skipped", "cancelled")] == ["skipped", "cancelled"]


def test_facts_locks_and_finished_tasks_last_as_long_as_in_production(make: Make, app: App) -> None:
    client = make(app)
    client.enqueue("echo", id="a")
    client.enqueue("echo", id="b", delay="3h", unless="paid:1")
    client.emit("paid", "1", ttl="2h")
    client.run_due()

    client.advance("59m")
    assert client.task("a").state == "completed"
    client.advance("2h1m")

    assert client.facts() == {}
    assert client.runs[-1].id == "b"
    with pytest.raises(TaskNotFound):
        client.task("a")


def test_a_hold_that_nobody_confirms_expires(make: Make, app: App) -> None:
    client = make(app)
    kept, lost = client.hold("echo", id="kept", within="30s"), client.hold("echo", id="lost", within="30s")
    client.advance("29s")
    client.confirm(kept.id, kept.token)

    client.advance("1s")

    assert [run.id for run in client.runs] == ["kept"]
    assert client.task(lost.id).state == "expired"


def test_what_is_due_and_what_will_be(make: Make, app: App) -> None:
    client = make(app)
    for task_id, queue, delay in (("c", "q", "2h"), ("b", "default", "1h"), ("a", "q", "0s")):
        client.enqueue("echo", id=task_id, queue=queue, delay=delay)

    assert [view.id for view in client.due()] == ["a"]
    assert [view.id for view in client.due("1h")] == ["a", "b"]
    assert [view.id for view in client.due(timedelta(days=1))] == ["a", "b", "c"]
    client.advance("1h")
    assert client.due() == []


def test_the_clock_can_move_without_anything_running(make: Make, app: App) -> None:
    client = make(app)
    client.enqueue("echo", id="a", delay="1h")

    assert client.advance("1d", run=False) == []
    assert [view.id for view in client.due()] == ["a"]

    client.run_due()
    assert ends(client) == [("a", "completed", "completed", 86_400)]


def test_schedules_of_the_app_fire_at_their_times(make: Make) -> None:
    app = App()

    @app.task("report", cron="0 9 * * *", time_zone="Europe/Berlin")
    async def report() -> None: ...

    client = make(app)
    client.advance_to(datetime(2027, 1, 17, 8, tzinfo=UTC))

    assert [run.at.isoformat() for run in client.runs] == ["2027-01-16T08:00:00+00:00", "2027-01-17T08:00:00+00:00"]
    assert make(app, schedules=False).advance("3d") == []


def test_a_schedule_catches_up_by_its_policy_after_a_time_without_a_mover(make: Make, app: App) -> None:
    client = make(app)

    @app.task("tick", every="1h", schedule={"catch_up": "latest", "catch_up_window": "1d"})
    async def tick() -> None: ...

    client = make(app)
    client.advance("5h30m", run=False)

    assert [run.at for run in client.run_due()] == [START + 5.5 * HOUR]
    assert [run.at for run in client.advance("1h")] == [START + 6 * HOUR]


def test_inline_runs_what_is_due_within_the_call_that_wrote_it(make: Make, app: App) -> None:
    client = make(app, inline=True)

    @app.task("outer")
    def outer() -> None:
        client.enqueue("echo", id="inner")
        assert client.task("inner").state == "ready"  # it runs when this one has ended

    client.enqueue("outer", id="o")
    client.enqueue("echo", id="later", delay="1h")
    client.enqueue("echo", id="waits", wait_for="go:1")
    assert [run.id for run in client.runs] == ["o", "inner"]

    client.emit("go", "1")
    client.reschedule("later", due=0)

    assert [run.id for run in client.runs] == ["o", "inner", "waits", "later"]


def test_a_task_that_enqueues_itself_for_ever_is_an_error(make: Make, app: App) -> None:
    client = make(app, max_runs=5)

    @app.task("again")
    def again() -> None:
        client.enqueue("again")

    client.enqueue("again")

    with pytest.raises(TooManyRuns, match=r"5 handlers ran by 2027-01-15T08:00:00\+00:00, and more is due"):
        client.run_due()
    assert len(client.runs) == 5
    assert client.stats(["default"])[0].ready == 1


def test_ages_and_bulk_calls_go_by_the_clock_of_the_test(make: Make, app: App) -> None:
    client = make(app)
    client.enqueue("choose", {"end": "reject"}, id="r")
    client.run_due()
    client.advance("2h")

    assert client.bulk("drop", where=Filter(older_than="3h")).matched == 0
    assert client.bulk("drop", where=Filter(older_than="1h")).changed == 1


def test_a_raw_producer_and_an_inbox_are_served(make: Make, app: App) -> None:
    client = make(app)
    send, prefix = client.transport.command, client.cell_keys.prefix
    send("HSET", f"{prefix}task:raw:r", "type", "echo", "payload", "1")
    send("ZADD", f"{prefix}due:raw", int(START.timestamp() * 1_000) + 60_000, "r")
    send("XADD", f"{prefix}inbox:box", "*", "id", "i", "type", "echo", "payload", "2")

    client.advance("1h")

    assert [(run.id, run.queue, run.payload) for run in client.runs] == [("i", "box", 2), ("r", "raw", 1)]


@pytest.mark.parametrize(
    ("act", "problem"),
    [
        (lambda client: client.advance(), "one of both"),
        (lambda client: client.advance("1h", hours=1), "one of both"),
        (lambda client: client.advance(hours=-1), "must not be negative; the clock has not moved"),
        (lambda client: client.advance("soon"), "is no duration"),
        (lambda client: client.advance_to(START - HOUR), "is before 2027-01-15T08:00:00"),
        (lambda client: client.advance_to(datetime(2027, 2, 1)), "has no time zone"),
    ],
)
def test_a_time_that_cannot_be_is_refused(app: App, act: Callable[[TestClient], object], problem: str) -> None:
    with TestClient(app, start=START) as client:
        with pytest.raises((TypeError, ValueError), match=problem):
            act(client)
        assert client.now == START


def test_a_handler_cannot_move_the_clock(app: App) -> None:
    with TestClient(app, raise_errors=True) as client:

        @app.task("impatient")
        def impatient() -> None:
            client.clock.now_ms  # reading it is fine
            asyncio.run(client._stage.run_due())

        client.enqueue("impatient")
        with pytest.raises(RuntimeError, match="a handler runs"):
            client.run_due()


def test_an_unknown_kind_of_server_and_a_start_without_a_zone_are_refused(app: App) -> None:
    with pytest.raises(InvalidSetting, match="'redis' is not memory or embedded"):
        TestClient(app, server="redis")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="start has no time zone"):
        TestClient(app, start=datetime(2027, 1, 1))


def test_two_clients_on_one_server_share_nothing(make: Make, app: App) -> None:
    one, other = make(app), make(app)
    one.enqueue("echo", id="a")

    assert other.run_due() == []
    assert other.queues() == []
    assert [run.id for run in one.run_due()] == ["a"]
