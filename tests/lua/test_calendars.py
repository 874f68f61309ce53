"""put_calendar and calendars: named lists of dates, and how movers learn that one has changed."""

from __future__ import annotations

import pytest

from tests.support.lua_queue import NOW, Queue, raised
from tests.support.timetable import Timetable

DATES = '["2027-12-25","*-01-01"]'


def changes(times: Timetable) -> int:
    """How often a calendar has changed, as a mover is told."""
    return int(times.call("due_schedules", 1)[2])


def test_a_calendar_is_kept_told_and_removed(times: Timetable) -> None:
    assert times.call("calendars") == []
    assert times.call("put_calendar", "de", DATES) == "put"
    assert times.call("put_calendar", "at", "[]") == "put"
    assert times.call("put_calendar", "de", DATES) == "unchanged"
    assert changes(times) == 2

    found = times.call("calendars")
    assert dict(zip(found[::2], found[1::2], strict=True)) == {"de": DATES, "at": "[]"}
    assert times.queue.dump() == {
        times.queue.key("meta"): {"virtual_clock": "1"},
        times.queue.key("calendars"): {"de": DATES, "at": "[]", ":changes": "2", ":since": str(NOW)},
    }

    assert times.call("put_calendar", "de", "") == "dropped"
    assert times.call("put_calendar", "de", "") == "missing"
    assert times.call("calendars") == ["at", "[]"]
    assert changes(times) == 3


@pytest.mark.parametrize(
    ("name", "dates", "error"),
    [
        ("two words", DATES, "name must be 1 to 100 of [A-Za-z0-9._@+-]"),
        ("", DATES, "name must be 1 to 100 of [A-Za-z0-9._@+-]"),
        (":changes", DATES, "name must be 1 to 100 of [A-Za-z0-9._@+-]"),
        ("de", "[" + " " * 262_143 + "]", "dates are more than 256 KiB"),
        ("de", '["2027-12-25"', "dates must be a JSON list"),
        ("de", '{"a":1}', "dates must be a JSON list"),
        ("de", "x", "dates must be a JSON list"),
    ],
)
def test_what_cannot_be_used_is_refused(queue: Queue, name: str, dates: str, error: str) -> None:
    queue.redis.zadd(queue.key("schedules"), {"s": 0})
    before = queue.dump()

    with pytest.raises(Exception, match=r"must be|are more") as refused:
        queue.run("put_calendar", [queue.key("schedules")], [name, dates])

    assert error in str(refused.value)
    assert queue.dump() == before


def test_the_longest_list_is_taken(times: Timetable) -> None:
    assert times.call("put_calendar", "de", "[" + " " * 262_142 + "]") == "put"


def test_calendars_that_somebody_spoilt_stop_no_look(times: Timetable) -> None:
    times.redis.hset(times.queue.key("calendars"), ":changes", "many")
    assert changes(times) == 0
    assert times.call("put_calendar", "de", DATES) == "put"
    assert changes(times) == 1

    key = times.queue.key("calendars")
    times.redis.delete(key)
    times.redis.set(key, "mine")
    assert plainly(times, "due_schedules", 0, 1)[2] == 0
    assert plainly(times, "calendars") == []
    times.redis.delete(key)


def plainly(times: Timetable, verb: str, *args: object) -> list[object]:
    """A reply where the namespace is not sound."""
    found = times.queue.run(verb, [times.queue.key("schedules")], args)
    return list(found)


def test_the_key_must_be_that_of_the_schedules(queue: Queue) -> None:
    assert queue.refused("calendars").startswith(raised(queue, "RS_KEYS"))
    assert queue.refused("put_calendar", "de", DATES).startswith(raised(queue, "RS_KEYS"))
