"""replan_schedules: which schedules are looked at after a change of the calendars or another release of tzdata."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from tests.support.lua_queue import HOUR, NOW, Queue
from tests.support.timetable import NEVER, Timetable

CLOSED = {"cron": "0 9 * * *", "exclude": {"calendars": ["de"]}}
DAILY = {"cron": "0 9 * * *"}
BEAT = {"every": [{"every": 60_000}]}


def planned(times: Timetable, **specs: Any) -> None:
    for name, spec in specs.items():
        times.put(name, json.dumps(spec))
        times.fire(NOW + HOUR, name)


def test_a_change_of_the_calendars_concerns_those_that_name_one(times: Timetable) -> None:
    planned(times, closed=CLOSED, daily=DAILY, beat=BEAT, rule={"calendar": [{"hour": 9, "holidays": ["de"]}]})
    assert times.call("replan_schedules", 0, "2026c", "") == ["", 3], "nobody has planned by a release before"
    for name in ("closed", "daily", "rule"):
        times.fire(NOW + HOUR, name)

    assert times.call("replan_schedules", 1, "2026c", "") == ["", 2]

    assert times.looks() == {"closed": 0, "rule": 0, "daily": NOW + HOUR, "beat": NOW + HOUR}
    assert times.call("replan_schedules", 1, "2026c", "") == ["", 0], "once is enough"


def test_another_release_concerns_those_that_a_clock_on_a_wall_names(times: Timetable) -> None:
    planned(times, daily=DAILY, beat=BEAT, rule={"rrule": ["FREQ=DAILY"]})
    times.put("off", json.dumps(DAILY))
    times.call("pause_schedule", "off", "", 0)
    times.call("replan_schedules", 0, "2026c", "")
    for name in ("daily", "rule"):
        times.fire(NOW + HOUR, name)

    assert times.call("replan_schedules", 0, "2026d", "") == ["", 2]

    assert times.looks() == {"daily": 0, "rule": 0, "beat": NOW + HOUR, "off": NEVER}


def test_many_take_several_calls_and_each_is_looked_at(real_queue: Queue) -> None:
    times = Timetable(real_queue)
    names = [f"s{number}" for number in range(400)]
    planned(times, s0=DAILY)
    written, look = times.redis.hgetall(times.queue.key("schedule:s0")), times.looks()["s0"]
    for name in names[1:]:  # as the first one was
        times.redis.hset(times.queue.key(f"schedule:{name}"), mapping=written)
        times.redis.zadd(times.queue.key("schedules"), {name: look})

    cursor, found, calls = "", 0, 0
    while cursor or not calls:
        cursor, n = times.call("replan_schedules", 0, "2026c", cursor)
        found, calls = found + n, calls + 1

    assert found == 400 and calls > 2
    assert set(times.looks().values()) == {0}


def test_what_is_told_when_the_next_slot_is_planned_is_kept(times: Timetable) -> None:
    times.put()
    times.fire(f"{NOW + HOUR}~2026c/")
    assert times.hash() == {"rev": "1", "slot": str(NOW + HOUR), "last": "2026c/"}

    times.fire(f"^{NOW}:{NOW + 2 * HOUR}~2026c/2027-01-15T09:00:00")
    assert times.hash() == {"rev": "1", "slot": str(NOW + 2 * HOUR), "last": "2026c/2027-01-15T09:00:00"}

    times.put(spec={"cron": "5 * * * *"})
    assert times.hash() == {"rev": "2"}, "other times begin anew"


def slots(times: Timetable, *names: str) -> list[str]:
    return [times.redis.hget(times.queue.key(f"schedule:{name}"), "slot") for name in names]


def test_the_next_slot_is_searched_for_from_the_change_of_the_calendars_or_the_last_look_on(times: Timetable) -> None:
    chain = {"random": {"least": 1_000, "most": 9_000}, "exclude": {"calendars": ["de"]}}
    planned(times, seen=CLOSED, late=CLOSED, off=CLOSED, daily=DAILY, chain=chain)
    times.call("put_calendar", "de", "[]", now=NOW + 5)
    times.put("new", json.dumps(CLOSED), now=NOW + 9)
    times.fire(NOW + HOUR, "new", now=NOW + 9)
    times.call("pause_schedule", "off", "", 0)
    times.fire(NOW + HOUR, "late", now=NOW + 6, slots=[NOW + 6])
    times.fire(NOW + HOUR, "seen", now=NOW + 7)
    names = ("seen", "late", "off", "daily", "chain", "new")
    assert slots(times, *names) == [str(NOW + HOUR)] * 6

    assert times.call("replan_schedules", 1, "2026c", "", now=NOW + 10) == ["", 5]

    # a look that made nothing may not have known the change
    wanted = [NOW + 6, NOW + 7, NOW + 6, NOW + HOUR, NOW + HOUR, NOW + 10]
    assert slots(times, *names) == [str(at) for at in wanted]
    assert times.redis.hgetall(times.queue.key("calendars")) == {"de": "[]", ":changes": "1", ":planned": "1/2026c"}
    times.fire(NOW + HOUR, "seen", now=NOW + 20)
    times.call("put_calendar", "de", "", now=NOW + 12)
    assert times.call("replan_schedules", 2, "2026c", "", now=NOW + 21)[0] == ""
    assert slots(times, "seen", "off") == [str(NOW + 21), str(NOW + 6)], "only what follows the last look"


def test_a_change_that_comes_while_others_are_planned_anew_is_not_forgotten(times: Timetable) -> None:
    planned(times, closed=CLOSED)
    times.call("put_calendar", "de", "[]", now=NOW + 5)
    times.call("put_calendar", "de", "", now=NOW + 6)

    assert times.call("replan_schedules", 1, "2026c", "") == ["", 1]
    assert times.redis.hget(times.queue.key("calendars"), ":since") == str(NOW + 5)
    assert times.call("replan_schedules", 2, "2026c", "")[0] == ""
    assert times.redis.hget(times.queue.key("calendars"), ":since") is None


def test_other_times_after_a_change_of_the_calendars_keep_the_slots_that_it_added(times: Timetable) -> None:
    planned(times, closed=CLOSED)
    times.call("put_calendar", "de", "[]", now=NOW + 5)

    times.put("closed", json.dumps(BEAT), now=NOW + 50)

    found = times.hash("closed")
    assert found["slot"] == str(NOW + 6)
    assert json.loads(found["former"]) == [{"since": str(NOW), "until": str(NOW + 50), "spec": json.dumps(CLOSED)}]


@pytest.mark.parametrize(("words", "field"), [(("x", "r", ""), "changes"), ((1, "r", "a b"), "cursor")])
def test_what_cannot_be_used_is_refused(times: Timetable, words: tuple[Any, ...], field: str) -> None:
    with pytest.raises(redis.ResponseError, match=f"RS_INVALID 1 {field} "):
        times.call("replan_schedules", *words)
