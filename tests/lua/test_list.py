"""list: pages of the tasks in one place."""

from __future__ import annotations

from typing import Any

import pytest

from redsched.model.duration import instant
from redsched.model.views import Page
from redsched.wire import protocol
from tests.support.acts import hold
from tests.support.lua_queue import HOUR, LEASE, NOW, Queue


def page(queue: Queue, state: str, cursor: str | None = None, limit: int = 50, type_: str | None = None) -> Page:
    """One page."""
    return queue.send(protocol.list_tasks(queue.keys, state=state, cursor=cursor, limit=limit, type_=type_))


def every(queue: Queue, state: str, limit: int, type_: str | None = None) -> list[str]:
    """The ids of all pages, in order."""
    found: list[str] = []
    cursor = None
    for _ in range(100):
        one = page(queue, state, cursor, limit, type_)
        assert len(one.items) <= limit
        found += [item.id for item in one.items]
        cursor = one.next_cursor
        if cursor is None:
            return found
    raise AssertionError("the pages never end")


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 50])
def test_pages_of_scheduled_tasks_hold_each_task_once_earliest_first(queue: Queue, limit: int) -> None:
    for number, due in enumerate((5, 5, 5, 5, 7, 9, 9)):
        queue.seed(f"a{number}", due=NOW + due)

    assert every(queue, "scheduled", limit) == [f"a{number}" for number in range(7)]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 50])
def test_pages_of_finished_tasks_are_latest_first(queue: Queue, limit: int) -> None:
    for task_id, at in (("a", 1), ("b", 2), ("c", 2), ("d", 3)):
        queue.settle(queue.running(task_id), "complete", now=NOW + at)

    assert every(queue, "finished", limit) == ["d", "c", "b", "a"]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 50])
def test_pages_of_ready_tasks_are_in_the_order_of_priority(queue: Queue, limit: int) -> None:
    for number, priority in enumerate(("low", "low", "high", "normal", "normal")):
        queue.ready(f"a{number}", priority=priority)

    assert every(queue, "ready", limit) == ["a2", "a3", "a4", "a0", "a1"]


def test_a_page_shows_the_fields_that_people_look_for(queue: Queue) -> None:
    queue.seed("a", due=NOW + HOUR, priority="low", key="k", tags='["x"]', created_at=NOW, expires_at=NOW + 2 * HOUR)

    (item,) = page(queue, "scheduled").items

    assert (item.id, item.queue, item.state, item.type, item.priority, item.key, item.tags) == (
        "a",
        "q",
        "scheduled",
        "t",
        "low",
        "k",
        ["x"],
    )
    assert (item.due_at, item.created_at, item.expires_at) == (
        instant(NOW + HOUR),
        instant(NOW),
        instant(NOW + 2 * HOUR),
    )


def test_each_state_has_its_list(queue: Queue) -> None:
    hold(queue, "held")
    queue.settle(queue.running("completed"), "complete")
    queue.settle(queue.running("dead"), "dead", "why")
    queue.running("running")
    queue.seed("cancelled")
    queue.send(protocol.cancel(queue.keys, ["cancelled"]))
    queue.ready("expired", expires_at=NOW)
    queue.ready("ready")
    queue.seed("scheduled", due=NOW + HOUR)

    for state in ("held", "completed", "dead", "running", "cancelled", "expired", "ready", "scheduled"):
        assert [item.id for item in page(queue, state).items] == [state]
        assert page(queue, state).items[0].state == state
    assert {item.id for item in page(queue, "finished").items} == {"completed", "cancelled", "expired"}
    assert page(queue, "skipped").items == []
    assert page(queue, "running").items[0].lease_until == instant(NOW + LEASE)
    assert page(queue, "dead").items[0].reason == "why"


def test_only_tasks_of_a_type_are_listed_and_the_cursor_goes_on(queue: Queue) -> None:
    for number in range(6):
        queue.seed(f"a{number}", due=NOW + number + 1, type="even" if number % 2 == 0 else "odd")

    assert every(queue, "scheduled", 2, "even") == ["a0", "a2", "a4"]
    assert every(queue, "scheduled", 50, "none") == []


def test_what_is_in_quarantine_is_told_with_its_reason(queue: Queue) -> None:
    queue.redis.zadd(queue.keys.due, {"a:b c": NOW, "old": NOW - HOUR, "past": -1})
    queue.broken |= {"a:b c", "old", "past"}
    queue.promote()

    items = page(queue, "quarantined").items

    assert {(item.id, item.reason, item.state) for item in items} == {
        ("a:b c", "bad id", "quarantined"),
        ("old", "missing", "quarantined"),
        ("past", "bad time", "quarantined"),
    }
    assert items[0].finished_at == instant(NOW)
    assert sorted(every(queue, "quarantined", 1)) == ["a:b c", "old", "past"]


def test_a_task_that_left_between_two_pages_is_no_trouble(queue: Queue) -> None:
    for number in range(4):
        queue.seed(f"a{number}", due=NOW + number + 1)
    first = page(queue, "scheduled", limit=2)
    queue.redis.zrem(queue.keys.due, "a1")
    queue.redis.delete(queue.keys.task("a1"))

    assert [item.id for item in page(queue, "scheduled", first.next_cursor).items] == ["a2", "a3"]


def test_garbage_is_passed_over(queue: Queue) -> None:
    queue.seed("a", due=NOW + 1, attempt="x", created_at="y", tags="{")
    queue.broken |= {"ghost", "string", "a b"}
    queue.redis.set(queue.keys.task("string"), "mine")
    queue.redis.zadd(queue.keys.due, {"ghost": 5, "string": "inf", "a b": NOW})

    assert [item.id for item in page(queue, "scheduled").items] == ["a"]
    assert every(queue, "scheduled", 1) == ["a"]


def test_foreign_entries_of_a_stream_are_passed_over(queue: Queue) -> None:
    queue.broken |= {"ghost", ""}
    queue.redis.xadd(queue.keys.ready, {"id": "ghost"})
    queue.redis.xadd(queue.keys.ready, {"no": "id"})

    assert every(queue, "ready", 1) == []


@pytest.mark.parametrize(
    "cursor",
    [
        "nonsense",
        "x 1",
        "1",
        "normal/1",
        "nan 1",
        "high/9-9 3",
        "low/99999999999999999999-0",
        "1 99999999999999999999",
        " 5",
        "5 ",
        "inf 0",
        "-inf 0",
    ],
)
def test_a_cursor_that_no_page_answered_is_no_trouble(queue: Queue, cursor: str) -> None:
    queue.seed("a", due=NOW + 1)
    queue.ready("b")

    for place in ("due", "ready"):
        assert queue.run("list", [queue.keys.due], [place, cursor, 5, "", ""])


def test_an_empty_queue_has_an_empty_page(queue: Queue) -> None:
    for state in ("scheduled", "ready", "finished", "quarantined"):
        assert page(queue, state) == Page([], None)


def test_a_place_that_is_none_is_refused(queue: Queue) -> None:
    assert queue.refused("list", "nowhere", "", 5, "", "") == "RS_INVALID 1 place is unknown"


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (5_000, 1_000)])
def test_a_limit_is_kept_within_its_bounds(real_queue: Queue, asked: Any, given: int) -> None:
    real_queue.enqueue(*((f"t{number}", NOW + 5, {}) for number in range(1_000)))
    real_queue.enqueue(("last", NOW + 5, {}))

    assert len(real_queue.run("list", [real_queue.keys.due], ["due", "", asked, "", ""])) == given + 1


def test_a_cursor_beyond_the_longest_place_in_a_stream_is_none(queue: Queue) -> None:
    queue.ready("a", priority="high")
    nines = "9" * 15

    for at, ids in ((f"{nines}-{nines}", []), (f"{nines}9-1", [b"a"]), (f"1-{nines}9", [b"a"])):
        reply = queue.run("list", [queue.keys.due], ["ready", f"high/{at}", 50, "", ""])
        assert [task[0] for task in reply[1:]] == ids
