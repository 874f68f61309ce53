"""Every way in which a run can end, each on a worker process as a user starts it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from redsched import Explicit
from tests.support.workers import Site, site_on


@pytest.fixture(scope="module", params=["valkey", "redis", "redis8"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A store with one worker, shared by the tests of this file: a misbehaving handler must not harm the others."""
    with site_on(request, request.param, tmp_path_factory.mktemp("outcomes")) as found:
        found.worker("--concurrency", "16")
        yield found


def from_now(moment: datetime | None) -> float:
    """Seconds until then."""
    assert moment is not None
    return (moment - datetime.now(UTC)).total_seconds()


def test_a_returned_value_completes_the_task_and_is_kept_as_its_result(site: Site) -> None:
    view = site.run("add", {"a": 2, "b": 3})

    assert (view.state, view.result, view.attempt, view.error) == ("completed", {"sum": 5}, 1, None)


def test_the_one_positional_takes_a_payload_that_is_no_object(site: Site) -> None:
    assert site.run("add", 41).result == {"sum": 42}


def test_an_exception_retries_by_the_policy_and_a_later_run_completes(site: Site) -> None:
    view = site.run("fail", {"times": 2}, retry=Explicit(["10ms", "20ms"]))

    assert (view.state, view.result, view.attempt) == ("completed", "sent", 3)
    assert [(a.attempt, a.outcome) for a in view.history or ()] == [(1, "retry"), (2, "retry")]


def test_a_task_that_keeps_failing_is_dead_with_its_history_once_its_attempts_are_spent(site: Site) -> None:
    view = site.run("fail", max_attempts=3, retry=Explicit(["10ms"]))

    assert (view.state, view.reason, view.attempt) == ("dead", "attempts", 3)
    assert view.error == "ConnectionError: the provider is down"
    assert "raise ConnectionError" in (view.traceback or "")
    assert [(a.attempt, a.outcome, a.error) for a in view.history or ()] == [
        (attempt, "retry", "ConnectionError: the provider is down") for attempt in (1, 2, 3)
    ]
    assert site.ledger.of(view.id) == ["started"] * 3


@pytest.mark.parametrize("kind", ["retry", "raise retry"])
def test_a_retry_with_its_own_delay_does_not_ask_the_policy(site: Site, kind: str) -> None:
    view = site.run("outcome", {"kind": kind}, retry=Explicit(["1ms"]), until_state="scheduled")

    assert (view.attempt, view.error) == (1, "not yet")
    assert 3_500 < from_now(view.due_at) <= 3_600


@pytest.mark.parametrize("kind", ["snooze", "raise snooze"])
def test_a_snooze_gives_the_attempt_back(site: Site, kind: str) -> None:
    view = site.run("outcome", {"kind": kind}, max_attempts=1, until_state="scheduled")

    assert (view.attempt, view.history) == (0, None)
    assert 3_500 < from_now(view.due_at) <= 3_600


def test_a_snoozed_task_runs_again_as_the_same_attempt(site: Site) -> None:
    view = site.run("snooze.once", max_attempts=1)

    assert (view.state, view.attempt) == ("completed", 1)
    assert [run.attempt for run in site.ledger.runs() if run.id == view.id] == [1, 1]


@pytest.mark.parametrize("kind", ["dead", "raise dead"])
def test_a_rejected_task_is_dead_at_once(site: Site, kind: str) -> None:
    view = site.run("outcome", {"kind": kind})

    assert (view.state, view.reason, view.error, view.attempt) == ("dead", "no_such_phone", "550 unknown", 1)


@pytest.mark.parametrize("kind", ["cancelled", "raise cancelled"])
def test_a_handler_can_stop_its_task(site: Site, kind: str) -> None:
    view = site.run("outcome", {"kind": kind})

    assert (view.state, view.reason, view.error) == ("cancelled", "by itself", None)


@pytest.mark.parametrize("type_", ["outcome", "outcome.sync"])
def test_a_returned_completed_carries_its_result(site: Site, type_: str) -> None:
    assert site.run(type_, {"kind": "completed"}).result == {"n": 1}


@pytest.mark.parametrize("type_", ["outcome", "outcome.sync"])
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("exit", "SystemExit: 3"),
        ("stop iteration", "StopIteration"),
        ("leaked cancel", "Cancelled"),
        ("unprintable", "Unprintable"),
        ("negative delay", "ValueError"),
        ("endless snooze", "is longer than a year"),
    ],
)
def test_whatever_a_handler_does_its_task_fails_and_the_worker_goes_on(
    site: Site, type_: str, kind: str, error: str
) -> None:
    view = site.run(type_, {"kind": kind}, max_attempts=1)

    assert (view.state, view.reason) == ("dead", "attempts")
    assert error in (view.error or "")
    assert site.run("add", 1).state == "completed"


def test_an_outcome_of_the_wrong_types_is_written_as_text(site: Site) -> None:
    view = site.run("outcome", {"kind": "error that is no text"})

    assert (view.state, view.reason, view.error) == ("dead", "odd", "550")


def test_a_result_that_json_cannot_hold_is_dropped_and_the_task_completes(site: Site) -> None:
    view = site.run("outcome", {"kind": "unwritable result"})

    assert (view.state, view.result) == ("completed", None)


def test_a_coroutine_function_behind_a_decorator_is_awaited(site: Site) -> None:
    view = site.run("wrapped")

    assert (view.result, site.ledger.of(view.id)) == ("awaited", ["started"])


@pytest.mark.parametrize("type_", ["sleep", "sleep.sync"])
def test_a_run_beyond_its_time_limit_is_stopped_and_retried(site: Site, type_: str) -> None:
    view = site.run(type_, {"seconds": 20}, timeout="100ms", max_attempts=2, retry=Explicit(["10ms"]))

    assert (view.state, view.reason, view.attempt) == ("dead", "attempts", 2)
    assert view.error == "TimeLimit: ran longer than its time limit of 100ms"
    assert site.ledger.of(view.id)[:2] == ["started", "started"]


def test_what_a_handler_returns_when_it_is_stopped_counts(site: Site) -> None:
    view = site.run("swallow", timeout="50ms")

    assert (view.state, view.result) == ("completed", "what there was")


def test_a_payload_that_does_not_fit_is_dead_at_once_with_the_path_of_the_bad_field(site: Site) -> None:
    view = site.run("typed", {"phone": "+49", "codes": [1, "x"]}, max_attempts=5)

    assert (view.state, view.reason, view.attempt) == ("dead", "payload", 1)
    assert view.error == "Expected `int`, got `str` - at `$.codes[1]`"
    assert site.ledger.of(view.id) == []


def test_a_payload_that_is_no_json_is_dead_at_once(site: Site) -> None:
    site.store.redis.hset(site.store.key("task:default:raw-1"), mapping={"type": "typed", "payload": "{nonsense"})
    site.store.redis.zadd(site.store.key("due:default"), {"raw-1": 0})

    view = site.until_state("raw-1")

    assert (view.state, view.reason) == ("dead", "payload")


def test_a_task_past_its_start_by_never_starts(site: Site) -> None:
    site.store.redis.hset(
        site.store.key("task:default:late"), mapping={"type": "note", "payload": "1", "expires_at": "1700000000000"}
    )
    site.store.redis.zadd(site.store.key("due:default"), {"late": 0})
    view = site.until_state("late")

    assert (view.state, view.attempt) == ("expired", 0)
    assert site.ledger.of(view.id) == []


def test_a_type_without_a_handler_goes_back_for_a_while_and_uses_no_attempt(site: Site) -> None:
    before = site.store.now_ms() / 1_000
    view = site.run("nobody.knows", until_state="scheduled")
    after = site.store.now_ms() / 1_000

    assert view.attempt == 0
    assert view.due_at is not None and before + 5 <= view.due_at.timestamp() <= after + 5


def test_cancelling_a_running_task_reaches_its_handler(site: Site) -> None:
    made = site.client.enqueue("until.cancelled")
    site.until_state(made.id, "running")

    assert site.client.cancel(made.id, reason="paid") == {made.id: "requested"}
    view = site.until_state(made.id)

    assert (view.state, view.reason) == ("cancelled", "paid")
    assert site.ledger.of(made.id) == ["started", "cancelled, requested True"]


def test_cancelling_reaches_a_plain_function_too(site: Site) -> None:
    made = site.client.enqueue("until.cancelled.sync")
    site.until_state(made.id, "running")
    site.client.cancel(made.id, reason="paid")

    assert site.until_state(made.id).state == "cancelled"


@pytest.mark.parametrize("type_", ["until.cancelled", "until.cancelled.sync"])
def test_progress_is_visible_while_the_task_runs(site: Site, type_: str) -> None:
    made = site.client.enqueue(type_)
    site.until_state(made.id, "running")
    view = site.until(lambda: next((v for v in site.views([made.id]) if v.progress is not None), None))

    assert (view.state, view.progress) == ("running", {"step": "waiting"})
    assert view.lease_until is not None and 0 < from_now(view.lease_until) <= 30
    assert view.worker in site.consumers()
    site.client.cancel(made.id)
    site.until_state(made.id)


def test_blocking_progress_on_the_event_loop_is_an_error_not_a_deadlock(site: Site) -> None:
    view = site.run("progress.blocking", max_attempts=1)

    assert view.error == "RuntimeError: progress_sync would wait for itself here: await progress"


def test_plain_functions_run_in_threads_at_the_same_time(site: Site) -> None:
    ids = site.enqueue("meet.sync", 4)

    assert [site.until_state(task_id).state for task_id in ids] == ["completed"] * 4


TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


@pytest.mark.parametrize("type_", ["traced", "traced.sync"])
def test_headers_and_the_trace_reach_the_handler(site: Site, type_: str) -> None:
    view = site.run(type_, headers={"tenant": "acme"}, traceparent=TRACEPARENT)

    assert view.result == {"trace": TRACEPARENT, "given": TRACEPARENT, "headers": {"tenant": "acme"}}
    assert site.run(type_).result == {"trace": None, "given": None, "headers": {}}


def test_a_handler_is_told_what_it_runs(site: Site) -> None:
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    view = site.run("about", due=due, expires_in="1h", max_attempts=7)

    assert view.result["due_at"] == due.isoformat()
    assert view.expires_at is not None and view.result["expires_at"] == view.expires_at.isoformat()
    assert {name: view.result[name] for name in ("id", "queue", "type", "attempt", "max_attempts")} == {
        "id": view.id,
        "queue": "default",
        "type": "about",
        "attempt": 1,
        "max_attempts": 7,
    }


def test_a_task_that_a_foreign_client_wrote_with_two_commands_runs(site: Site) -> None:
    site.store.redis.hset(site.store.key("task:default:order-42:remind"), mapping={"type": "add", "payload": '{"a":1}'})
    site.store.redis.zadd(site.store.key("due:default"), {"order-42:remind": site.store.now_ms() + 50})

    assert site.until_state("order-42:remind").result == {"sum": 2}
