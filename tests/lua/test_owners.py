"""Owners of schedules: an application of which the newest version with a live worker decides, or who applies a file."""

from __future__ import annotations

from typing import Any

import pytest

from redsched.wire import task_types
from redsched.wire.keys import CellKeys
from redsched.wire.schedules import keep_schedules
from tests.support.halted import each_stop
from tests.support.lua_queue import NOW, Queue
from tests.support.timetable import MINUTE, NEVER, Timetable

LIVE = 90_000
WRONG: list[tuple[tuple[str, ...], str]] = [
    (("a b", "1", "pause"), "owner"), (("shop", "x", "pause"), "version"), (("shop", "1", "all"), "mode"),
    (("shop", "1", "dry", *["a"] * 1_001), "id"),
]  # fmt: skip


def lives(queue: Queue, version: str | None, app: str = "shop", *, now: int = NOW, started: int = 5) -> None:
    """A worker of this version lives."""
    queue.send(task_types.put_types(CellKeys(queue.cell), app, version, f"w{version}", started), now=now)


def put(times: Timetable, schedule_id: str, version: str = "1", owner: str = "shop", **more: Any) -> Any:
    """Put a schedule for an owner: the word and the revision."""
    return times.put(schedule_id, owner=owner, owner_version=version, **more)


def keep(times: Timetable, version: str, *ids: str, owner: str = "shop", mode: str = "pause", now: int = NOW) -> Any:
    """Say which schedules an owner has: the version that rules and the others."""
    return times.call("keep_schedules", owner, version, mode, *ids, now=now)


def paused(times: Timetable, schedule_id: str) -> str | None:
    """Why a schedule is paused."""
    return times.redis.hget(times.queue.key(f"schedule:{schedule_id}"), "paused") or None


def test_what_the_code_of_the_ruling_version_has_not_any_more_is_paused_and_goes_on_when_it_is_back(
    times: Timetable,
) -> None:
    lives(times.queue, "1")
    for name in ("a", "b"):
        assert put(times, name) == ["created", 1]
    times.put("by-hand")
    put(times, "others", owner="mail")

    lives(times.queue, "2")
    assert put(times, "a", "2") == ["unchanged", 1]
    assert keep(times, "2", "a") == ["2", "b"]

    assert [paused(times, name) for name in ("a", "b", "by-hand", "others")] == [None, "left out of shop 2", None, None]
    assert times.redis.zscore(times.queue.key("schedules"), "b") == NEVER
    assert "schedule_paused b reason=left out of shop 2" in times.queue.events()
    assert keep(times, "2", "a") == ["2"]  # it is paused already

    lives(times.queue, "2", started=0)
    assert put(times, "b", "1")[0] == "updated" and paused(times, "b") is None
    assert times.redis.zscore(times.queue.key("schedules"), "b") == 0


def test_an_older_version_neither_puts_nor_pauses_while_a_worker_of_a_newer_one_lives(times: Timetable) -> None:
    lives(times.queue, "2")
    put(times, "a", "2", spec={"cron": "5 * * * *"})
    lives(times.queue, "1")

    assert put(times, "a", "1") == ["newer", 1]
    assert keep(times, "1") == ["2"] and paused(times, "a") is None

    assert put(times, "a", "1", now=NOW + LIVE)[0] == "updated"
    assert keep(times, "1", now=NOW + LIVE) == ["", "a"]


def test_another_worker_of_an_older_version_does_not_let_go_what_the_ruling_one_left_out(times: Timetable) -> None:
    lives(times.queue, "1")
    put(times, "gone")
    lives(times.queue, "2")
    assert keep(times, "2") == ["2", "gone"]

    lives(times.queue, "1.1")

    assert put(times, "gone", "1.1") == ["newer", 1]
    lives(times.queue, "3")
    lives(times.queue, "2", started=0)
    assert keep(times, "3") == ["3"]  # it is paused already
    assert put(times, "gone", "1.1") == ["newer", 1]
    assert put(times, "new", "1.1") == ["newer", 0]
    assert paused(times, "gone") == "left out of shop 2"


def test_a_version_that_only_stopped_is_not_newer(times: Timetable) -> None:
    lives(times.queue, "2")
    put(times, "a", "2")
    lives(times.queue, "2", started=0)
    lives(times.queue, "1")

    assert put(times, "a", "1", spec={"cron": "5 * * * *"}) == ["updated", 2]
    assert times.redis.hget(times.queue.key("schedule:a"), "owner_version") == "1"


def test_a_schedule_of_a_live_application_is_not_anothers(times: Timetable) -> None:
    lives(times.queue, "1")
    put(times, "a")

    assert put(times, "a", "9", owner="mail") == ["other", 1]
    assert put(times, "a", "9", owner="mail", now=NOW + LIVE) == ["unchanged", 1]
    assert times.redis.hgetall(times.queue.key("schedule:a"))["owner"] == "mail"
    assert keep(times, "1", now=NOW + LIVE) == [""]  # it is not the first one's any more
    assert times.redis.smembers(times.queue.key("owned:shop")) == set()


def test_a_put_by_hand_leaves_the_owner_as_it_is(times: Timetable) -> None:
    put(times, "a")
    assert times.put("a", {"cron": "5 * * * *"}) == ["updated", 2]
    assert times.redis.hget(times.queue.key("schedule:a"), "owner") == "shop"


def test_what_people_paused_or_what_has_ended_stays_as_it_is(times: Timetable) -> None:
    put(times, "a")
    times.call("pause_schedule", "a", "holiday", 0)
    put(times, "b")
    times.redis.hset(times.queue.key("schedule:b"), "ended", NOW)

    assert keep(times, "1") == [""]
    assert paused(times, "a") == "holiday"
    assert put(times, "a") == ["unchanged", 1] and paused(times, "a") == "holiday"


def test_the_others_are_dropped_where_that_is_asked_and_only_told_of_in_a_dry_run(times: Timetable) -> None:
    for name in ("a", "b", "c"):
        put(times, name, "-", owner="file")
    times.call("drop_schedule", "c")

    before = times.queue.dump()
    assert keep(times, "-", "a", owner="file", mode="dry") == ["", "b"]
    assert times.queue.dump() == before
    assert keep(times, "-", "a", owner="file", mode="drop") == ["", "b"]
    assert times.redis.zrange(times.queue.key("schedules"), 0, -1) == ["a"]
    assert times.redis.smembers(times.queue.key("owned:file")) == {"a"}


def test_a_call_takes_a_hundred(times: Timetable) -> None:
    for number in range(120):
        put(times, f"s{number:03}")
    assert keep(times, "1")[1:] == [f"s{number:03}" for number in range(100)]
    assert keep(times, "1")[1:] == [f"s{number:03}" for number in range(100, 120)]


def test_an_owner_has_at_most_1000(times: Timetable) -> None:
    times.redis.sadd(times.queue.key("owned:shop"), *[f"s{number}" for number in range(1_000)])
    with pytest.raises(Exception, match="owner has 1000 schedules already"):
        put(times, "one-more")


def test_a_stop_half_way_leaves_what_the_same_call_goes_on_with(queue: Queue) -> None:
    def act(here: Queue) -> Any:
        times = Timetable(here)
        for name in ("a", "b"):
            put(times, name)
            assert times.fire(NOW + MINUTE, name) == ["0"]
        return keep_schedules(CellKeys(here.cell), "shop", "1", "pause", [])

    for here, call in each_stop(queue, act):
        here.send(call)

        assert [paused(Timetable(here), name) for name in ("a", "b")] == ["left out of shop 1"] * 2


def test_what_cannot_be_an_owner_or_a_version_is_refused(times: Timetable) -> None:
    for field, value in (("owner", "a b"), ("owner_version", "1.x")):
        with pytest.raises(Exception, match=f"RS_INVALID 1 {field} "):
            times.put("a", **{"owner": "shop", field: value})
    for words, field in WRONG:
        with pytest.raises(Exception, match=f"RS_INVALID 1 {field} "):
            times.call("keep_schedules", *words)


def test_a_thousand_schedules_may_stay(times: Timetable) -> None:
    for name in ("stays", "goes"):
        put(times, name)

    assert keep(times, "1", "stays", *(f"s{number}" for number in range(999))) == ["", "goes"]


def test_an_owner_is_told_what_another_version_of_it_changed_and_nothing_is_written(times: Timetable) -> None:
    lives(times.queue, "1")
    for name in ("mine", "left-out", "changed", "taken"):
        put(times, name)
    times.put("by-hand")
    lives(times.queue, "2")
    put(times, "changed", "2")
    assert keep(times, "2", "changed", "taken", "mine") == ["2", "left-out"]
    times.queue.send(task_types.put_types(CellKeys(times.queue.cell), "shop", "2", "w2", 0))  # it ends
    put(times, "taken", owner="mail")
    before = times.queue.dump()

    told = keep(times, "1", "mine", "left-out", "changed", "taken", "by-hand", "nobody", mode="changed")

    assert (told[0], sorted(told[1:])) in [("1", ["changed", "left-out"]), ("", ["changed", "left-out"])]
    assert times.queue.dump() == before
    lives(times.queue, "3")
    assert keep(times, "1", "left-out", mode="changed") == ["3"]
