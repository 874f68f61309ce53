"""submitted: the same id with another payload is a conflict, whatever has become of the task and of its payload."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha1
from typing import Any

import pytest

from redsched.wire import protocol
from tests.support.acts import append, ingest, update
from tests.support.lua_queue import DAY, HOUR, KEEP_DEAD, NOW, Queue
from tests.support.timetable import Timetable

LATER = NOW + 5_000
KEPT_NOWHERE = "the scripts of fakeredis have no redis.sha1hex"
GIVEN = '{"n":1}'
OTHER = '{"n":2}'


@pytest.fixture(autouse=True)
def _hashes(queue: Queue) -> None:
    if (queue.server, queue.build) == ("fakeredis", "scripts"):
        pytest.skip(KEPT_NOWHERE)


def make(queue: Queue, due: Any = 0, **fields: Any) -> None:
    """The task ``a``."""
    assert queue.enqueue(("a", due, {"payload": GIVEN} | fields)) == ["created"]


def plan(queue: Queue, conditions: dict[str, Any], *, due: Any = 0, **fields: Any) -> None:
    """The same with conditions."""
    assert queue.plan("a", conditions, due=due, payload=GIVEN, **fields) == "created"


def answers(queue: Queue, *payloads: str, now: int = NOW) -> list[str]:
    """What enqueue says of each payload under the same id; nothing may change by it."""
    before = queue.dump()
    found = queue.enqueue(*(("a", LATER, {"payload": payload}) for payload in payloads), now=now)
    assert queue.dump() == before
    return found


def end(queue: Queue, outcome: str, first: Any = "") -> None:
    """Run ``a`` to its end."""
    (started,) = queue.claim().tasks
    queue.settle(started, outcome, first)


def scheduled(queue: Queue) -> None:
    make(queue, LATER)


def ready(queue: Queue) -> None:
    make(queue)


def running(queue: Queue) -> None:
    make(queue)
    queue.claim()


def held(queue: Queue) -> None:
    plan(queue, {"wait_for": {"all": ["x"], "within": HOUR}})


def retried(queue: Queue) -> None:
    make(queue)
    end(queue, "retry", 100)


def completed(queue: Queue) -> None:
    make(queue)
    end(queue, "complete", '"done"')


def completed_and_kept(queue: Queue) -> None:
    make(queue, keep="1")
    end(queue, "complete")


def completed_with_conditions(queue: Queue) -> None:
    plan(queue, {"unless": {"fact": "x"}})
    end(queue, "complete")


def dead(queue: Queue) -> None:
    make(queue)
    end(queue, "dead", "because")


def revived(queue: Queue) -> None:
    dead(queue)
    assert queue.send(protocol.revive(queue.keys, ["a"])) == {"a": "revived"}


def cancelled(queue: Queue) -> None:
    make(queue, LATER)
    queue.send(protocol.cancel(queue.keys, ["a"]))


def skipped(queue: Queue) -> None:
    queue.redis.set(queue.key("fact:x"), "1")
    plan(queue, {"unless": {"fact": "x"}})


def expired(queue: Queue) -> None:
    make(queue, expires_at=NOW)


def digest_that_started(queue: Queue) -> None:
    plan(queue, {"digest": {"key": "k", "size": 2}})
    queue.plan("b", {"digest": {"key": "k", "size": 2}}, payload=OTHER)
    queue.promote()
    queue.claim()
    assert json.loads(queue.task("a")["payload"]) == {"items": [{"n": 1}, {"n": 2}]}


def digest_that_completed(queue: Queue) -> None:
    plan(queue, {"digest": {"key": "k", "size": 1}})
    queue.promote()
    end(queue, "complete")


def member_of_a_digest(queue: Queue) -> None:
    queue.plan("b", {"digest": {"key": "k"}}, payload=OTHER)
    assert queue.plan("a", {"digest": {"key": "k"}}, payload=GIVEN) == "merged b"


def merged_into_a_digest(queue: Queue) -> None:
    queue.plan("b", {"digest": {"key": "k", "size": 2}}, payload=OTHER)
    assert queue.plan("a", {"digest": {"key": "k", "size": 2}}, payload=GIVEN) == "merged b"
    queue.promote()
    end(queue, "complete")
    queue.attend()
    assert queue.task("a")["state"] == "skipped"


def completed_late(queue: Queue) -> None:
    queue.redis.set(queue.key("fact:x"), "7")
    plan(queue, {"late": {"n": {"fact": "x"}}}, keep="1")
    assert queue.task("a")["payload"] == '{"n":7}'


STATES = [
    scheduled, ready, running, held, retried, completed, completed_and_kept, completed_with_conditions, dead, revived,
    cancelled, skipped, expired, digest_that_started, digest_that_completed, member_of_a_digest, merged_into_a_digest,
    completed_late,
]  # fmt: skip


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_the_payload_that_was_submitted_is_existing_and_any_other_a_conflict(
    queue: Queue, state: Callable[[Queue], None]
) -> None:
    state(queue)

    assert answers(queue, GIVEN, OTHER, '{"n":7}') == ["existing", "conflict", "conflict"]


def test_only_ten_digits_of_a_hash_are_kept_of_it(queue: Queue) -> None:
    completed(queue)

    found = queue.redis.hgetall(queue.keys.task("a"))
    assert found["submitted"] == sha1(GIVEN.encode(), usedforsecurity=False).hexdigest()[:10]
    assert "payload" not in found


def test_the_id_of_a_task_whose_retention_is_over_is_free_for_any_payload(queue: Queue) -> None:
    completed(queue)
    queue.send(protocol.sweep([queue.keys]), now=NOW + HOUR)

    assert queue.enqueue(("a", 0, {"payload": OTHER})) == ["created"]


def test_a_request_that_is_repeated_is_answered_as_the_first_time_whatever_its_payload(queue: Queue) -> None:
    make(queue, request="r1")
    end(queue, "complete")

    assert queue.enqueue(("a", 0, {"payload": OTHER, "request": "r1"})) == ["created"]
    assert queue.enqueue(("a", 0, {"payload": OTHER, "request": "r2"})) == ["conflict"]


def test_after_an_update_of_the_payload_the_new_one_is_what_was_submitted(queue: Queue) -> None:
    make(queue)
    assert update(queue, ["a"], payload=OTHER) == ["updated"]
    assert answers(queue, GIVEN, OTHER) == ["conflict", "existing"]

    end(queue, "complete")

    assert answers(queue, GIVEN, OTHER) == ["conflict", "existing"]


def test_an_update_of_another_field_leaves_what_was_submitted(queue: Queue) -> None:
    make(queue)
    update(queue, ["a"], max_attempts=9)

    assert answers(queue, GIVEN, OTHER) == ["existing", "conflict"]


def test_the_payload_of_a_task_that_plain_commands_wrote_is_compared_while_it_is_there(queue: Queue) -> None:
    queue.seed("a", due=NOW, payload=GIVEN)
    queue.promote()
    assert answers(queue, GIVEN, OTHER) == ["existing", "conflict"]

    end(queue, "complete")

    assert answers(queue, GIVEN, OTHER) == ["existing", "existing"]


def test_an_entry_of_an_inbox_conflicts_with_a_task_that_completed_with_another_payload(queue: Queue) -> None:
    append(queue, id="a", type="t", payload=GIVEN)
    ingest(queue)
    end(queue, "complete")

    append(queue, id="a", type="t", payload=GIVEN)
    append(queue, id="a", type="t", payload=OTHER)
    assert (ingest(queue).refused, answers(queue, GIVEN, OTHER)) == (1, ["existing", "conflict"])

    assert list(queue.places()["quarantine"]) == ["inbox conflict:a"]


def test_the_task_of_a_rule_has_the_payload_that_the_rule_made(queue: Queue) -> None:
    rule = {"queue": "q", "id": "a", "fields": {"type": "t", "payload": GIVEN}}
    queue.run("put_rule", [queue.key("rules")], [0, "r", "order", json.dumps(rule)])
    queue.emit("order", "42")
    end(queue, "complete")

    assert answers(queue, GIVEN, OTHER) == ["existing", "conflict"]


def test_the_task_of_a_slot_has_the_payload_of_its_schedule(times: Timetable) -> None:
    times.planned(payload=GIVEN)
    times.run(NOW)
    times.queue.settle(times.queue.claim().tasks[0], "complete")

    slot = f"s@{NOW}"
    assert times.queue.enqueue((slot, 0, {"payload": GIVEN}), (slot, 0, {"payload": OTHER})) == ["existing", "conflict"]


def test_a_dead_letter_keeps_it_as_long_as_it_is_there(queue: Queue) -> None:
    dead(queue)

    assert answers(queue, GIVEN, OTHER, now=NOW + KEEP_DEAD - DAY) == ["existing", "conflict"]
