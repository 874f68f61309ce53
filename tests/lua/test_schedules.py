"""put_schedule, due_schedules, pause_schedule, resume_schedule, drop_schedule and show_schedules."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from tests.support.lua_queue import DAY, HOUR, NOW, Queue, raised
from tests.support.timetable import FIELDS, HOURLY, NEVER, Timetable, decision

SPEC = json.dumps(HOURLY)
FRESH = {
    "spec": SPEC, "queue": "q", "rev": "1", "created_at": str(NOW), "changed_at": str(NOW), "task:type": "t",
    "task:payload": "{}",
}  # fmt: skip


def whole(times: Timetable, schedule_id: str = "s") -> dict[str, str]:
    """Every field."""
    found: dict[str, str] = times.redis.hgetall(times.queue.key(f"schedule:{schedule_id}"))
    return found


def put_words(schedule_id: str = "s", spec: str = SPEC, mode: str = "", **fields: str) -> list[str]:
    """The words of put_schedule after the time."""
    return [schedule_id, mode, spec, *(word for pair in (FIELDS | fields).items() for word in pair)]


def test_a_new_schedule_is_looked_at_at_once(times: Timetable) -> None:
    assert times.call("put_schedule", *put_words()) == ["created", 1, NOW]

    assert whole(times) == FRESH
    assert times.looks() == {"s": 0}
    assert times.queue.events() == ["schedule_put s word=created"]
    assert times.queue.places() == {}


def test_the_same_again_changes_nothing(times: Timetable) -> None:
    times.put(priority="high")
    before = times.queue.dump()

    assert times.put(now=NOW + HOUR, priority="high") == ["unchanged", 1]
    assert times.put(now=NOW + HOUR, mode="create") == ["exists", 1]

    assert times.queue.dump() == before


def test_another_time_is_planned_anew_and_other_fields_keep_the_slot(times: Timetable) -> None:
    times.planned(NOW + HOUR)

    assert times.put(now=NOW + 1, priority="high") == ["updated", 2]
    assert times.hash() == {"rev": "2", "slot": str(NOW + HOUR), "task:priority": "high"}
    assert times.looks() == {"s": 0}

    assert times.put(spec={"max_runs": 5, "description": "other"}, now=NOW + 2) == ["updated", 3]
    assert times.hash() == {"rev": "3", "slot": str(NOW + HOUR)}, "the priority was not given again"
    assert whole(times)["changed_at"] == str(NOW), "its times are the same"

    assert times.put(spec={"cron": "1 * * * *"}, now=NOW + 2) == ["updated", 4]
    assert times.hash() == {"rev": "4"}
    assert whole(times)["changed_at"] == str(NOW + 2)
    assert whole(times)["created_at"] == str(NOW)
    assert times.events() == ["schedule_put s word=created", *["schedule_put s word=updated"] * 3]


def test_another_queue_is_a_change(times: Timetable) -> None:
    times.planned(NOW + HOUR)

    assert Timetable(times.queue.other("r")).put() == ["updated", 2]

    assert whole(times)["queue"] == "r"
    assert times.hash() == {"rev": "2", "slot": str(NOW + HOUR)}


def test_a_dry_put_answers_and_writes_nothing(times: Timetable) -> None:
    assert times.put(mode="dry") == ["created", 1]
    assert times.queue.dump() == {times.queue.key("meta"): {"virtual_clock": "1"}}
    times.put()
    before = times.queue.dump()

    assert times.put(mode="dry") == ["unchanged", 1]
    assert times.put(mode="dry", key="k") == ["updated", 2]

    assert times.queue.dump() == before


def test_a_put_for_one_revision_changes_no_other(times: Timetable) -> None:
    assert times.put(mode="=1") == ["changed", 0]
    assert times.put(mode="=0") == ["created", 1]
    before = times.queue.dump()

    assert times.put(mode="=2", key="k") == ["changed", 1]
    assert times.queue.dump() == before
    assert times.put(mode="=1", key="k") == ["updated", 2]


def test_a_schedule_is_looked_at_when_asked_and_keeps_its_slot(times: Timetable) -> None:
    times.planned(NOW + HOUR)

    assert times.put(mode="replan") == ["updated", 2]

    assert times.hash() == {"rev": "2", "slot": str(NOW + HOUR)}
    assert times.looks() == {"s": 0}


def former(times: Timetable) -> list[tuple[int, int, Any]]:
    """The earlier definitions with slots that are to be made or counted: since, until, cron."""
    listed = json.loads(times.hash().get("former", "[]"))
    return [(int(one["since"]), int(one["until"]), json.loads(one["spec"])["cron"]) for one in listed]


def test_a_slot_that_has_come_stays_with_the_definition_that_named_it(times: Timetable) -> None:
    times.planned(NOW + 5)

    times.put(spec={"cron": "1 * * * *"}, now=NOW + 7)
    assert former(times) == [(NOW, NOW + 7, "0 * * * *")]
    assert times.hash()["slot"] == str(NOW + 5)

    times.put(spec={"cron": "2 * * * *"}, now=NOW + 9)  # nobody has planned those of the definition between
    assert former(times) == [(NOW, NOW + 7, "0 * * * *"), (NOW + 7, NOW + 9, "1 * * * *")]

    assert times.fire(f"^{NOW + 7}:", slots=[NOW + 5], now=NOW + 10) == ["1"]
    assert former(times) == [(NOW + 7, NOW + 9, "1 * * * *")]
    assert "slot" not in times.hash()
    assert times.looks() == {"s": 0}

    assert times.fire(f"^{NOW + 9}:{NOW + HOUR}", now=NOW + 10) == ["0"]
    assert former(times) == []
    assert times.hash("s", "open", "recent") == {"rev": "3", "slot": str(NOW + HOUR), "fired": "1"}


def test_a_definition_that_was_never_planned_keeps_the_slots_of_its_time(times: Timetable) -> None:
    times.put()
    times.put(spec={"cron": "1 * * * *"})
    assert former(times) == [], "no time has gone by"

    times.put(spec={"cron": "2 * * * *"}, now=NOW + 1)
    assert former(times) == [(NOW, NOW + 1, "1 * * * *")]


def test_of_definitions_changed_too_often_the_oldest_is_counted_as_missed(times: Timetable) -> None:
    times.planned(NOW + 5)
    for number in range(1, 13):
        times.put(spec={"cron": f"{number} * * * *"}, now=NOW + 9 + number)

    assert [cron for _, _, cron in former(times)] == [f"{number} * * * *" for number in range(2, 12)]
    assert times.hash("s", "former") == {"rev": "13", "missed": "2"}
    assert times.events().count(f"slot_missed s reason=changed too often to count all n=1 slot={NOW + 5}") == 1


def test_one_that_could_not_be_used_goes_on_when_it_is_put_again(times: Timetable) -> None:
    times.put()
    times.fire("malformed", why="soon is no duration")
    assert times.hash("s", "paused_at") == {"rev": "1", "paused": "malformed: soon is no duration"}

    assert times.put(now=NOW + 1) == ["updated", 2]

    assert times.hash() == {"rev": "2", "resumed": str(NOW + 1)}
    assert times.looks() == {"s": 0}
    assert times.events()[-2:] == ["schedule_resumed s", "schedule_put s word=updated"]


def test_a_paused_schedule_stays_so_when_it_is_changed(times: Timetable) -> None:
    times.planned(NOW + HOUR)
    times.call("pause_schedule", "s", "why", 0)

    times.put(key="k")

    assert times.hash("s", "paused_at") == {"rev": "2", "slot": str(NOW + HOUR), "task:key": "k", "paused": "why"}
    assert times.looks() == {"s": NEVER}


def test_one_that_has_ended_begins_again_with_other_times_only(times: Timetable) -> None:
    times.planned(NOW)
    times.run(NOW, "none")
    assert times.looks() == {"s": NEVER}

    times.put(key="k")
    assert times.hash("s", "recent", "open", "fired") == {"rev": "2", "ended": str(NOW), "task:key": "k"}
    assert times.looks() == {"s": NEVER}

    times.put(spec={"description": "other"}, key="k")
    assert times.looks() == {"s": NEVER}

    times.put(spec={"max_runs": 2}, key="k")
    assert "ended" not in times.hash()
    assert times.looks() == {"s": 0}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (put_words("no id"), "id must be 1 to 100 of [A-Za-z0-9._@+-] and begin with a letter or digit"),
        (put_words("a" * 101), "id must be 1 to 100 of [A-Za-z0-9._@+-] and begin with a letter or digit"),
        (put_words("a:b"), "id must be 1 to 100 of [A-Za-z0-9._@+-] and begin with a letter or digit"),
        (put_words(spec=""), "spec must be a JSON object of at most 64 KiB"),
        (put_words(spec="[1"), "spec must be a JSON object of at most 64 KiB"),
        (put_words(spec="{}"), "spec must be a JSON object of at most 64 KiB"),
        (put_words(spec='"x"'), "spec must be a JSON object of at most 64 KiB"),
        (put_words(spec=json.dumps({"a": "x" * 65_530})), "spec must be a JSON object of at most 64 KiB"),
        (put_words(spec='{"overlap":"often"}'), "overlap is unknown"),
        (put_words(spec='{"overlap":7}'), "overlap is unknown"),
        (put_words(spec='{"after_completion":"5m"}'), "after_completion must be ms"),
        (put_words(spec='{"after_completion":-1}'), "after_completion must be ms"),
        (put_words(spec='{"max_runs":0}'), "max_runs must be 1 or more"),
        (put_words(spec='{"every":"1h"}'), "every must be a list of {every, phase}, in ms"),
        (put_words(spec='{"every":["1h"]}'), "every must be a list of {every, phase}, in ms"),
        (put_words(spec='{"every":[{"every":999}]}'), "every must be a list of {every, phase}, in ms"),
        (put_words(spec='{"every":[{"every":1e999}]}'), "every must be a list of {every, phase}, in ms"),
        (put_words(spec='{"every":[{"every":5000,"phase":"1s"}]}'), "every must be a list of {every, phase}, in ms"),
        (put_words(priority="urgent"), "priority must be high, normal or low"),
        (put_words(state="ready"), "fields hold one that is unknown"),
        (put_words(type="two words"), "type must be 1 to 100 of [A-Za-z0-9._@+-]"),
        (put_words(expires_at="5"), "expires_at must be ms since the epoch or +ms"),
        (put_words(expires_at=str(NOW + DAY)), "expires_at must be +ms"),
        (put_words(expires_at="+0"), "expires_at must be +ms"),
        (put_words(retry="often"), "retry is no policy"),
        (["s", "", SPEC, "payload", "{}"], "type is required"),
        (["s", "", SPEC, "type", "t"], "payload is required"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_written(queue: Queue, words: list[str], error: str) -> None:
    assert queue.refused("put_schedule", NOW, *words) == f"RS_INVALID 1 {error}"


def test_the_longest_id_and_spec_are_taken(times: Timetable) -> None:
    spec = json.dumps({"a": "x" * (65_536 - len('{"a": ""}'))})
    assert len(spec) == 65_536

    assert times.put("a" * 100, spec) == ["created", 1]
    assert times.put("b", {"every": [{"every": 1_000, "phase": 0}], "after_completion": 0, "max_runs": 1}) == [
        "created",
        1,
    ]


def test_due_schedules_are_told_with_all_their_fields_earliest_first(times: Timetable) -> None:
    for name in ("b", "a", "later", "paused"):
        times.put(name)
    times.redis.zadd(times.queue.key("schedules"), {"b": NOW - 1, "a": NOW, "later": NOW + 1, "paused": NEVER})
    times.redis.zadd(times.queue.key("schedules"), {"ghost": NOW - 2})
    before = times.queue.dump()

    now, following, calendars, *found = times.call("due_schedules", 10)

    assert (now, following, calendars) == (NOW, NOW + 1, 0)
    assert found[0] == ["ghost"]
    assert [words[0] for words in found[1:]] == ["b", "a"]
    assert dict(zip(found[1][1::2], found[1][2::2], strict=True)) == FRESH
    assert times.queue.dump() == before


def test_due_schedules_are_bounded_and_say_that_there_are_more(times: Timetable) -> None:
    for name in "abc":
        times.put(name)

    assert [times.call("due_schedules", limit)[1] for limit in (2, 3)] == [NOW, -1]
    assert [len(times.call("due_schedules", limit)) - 3 for limit in (0, 2, 600)] == [1, 2, 3]


def test_nothing_to_look_at_is_an_empty_answer(times: Timetable) -> None:
    assert times.call("due_schedules", 10) == [NOW, -1, 0]


def test_a_paused_schedule_makes_nothing_until_it_is_resumed(times: Timetable) -> None:
    times.planned(NOW)
    assert times.call("pause_schedule", "s", "", 0, now=NOW - 9) == "paused"
    assert times.hash() == {"rev": "1", "slot": str(NOW), "paused": "paused", "paused_at": str(NOW - 9)}
    assert times.looks() == {"s": NEVER}

    assert times.run(NOW) == ["paused"]
    assert times.tasks() == {}
    assert times.looks() == {"s": NEVER}

    assert times.call("resume_schedule", "s", now=NOW + 5) == "resumed"
    assert times.hash() == {"rev": "1", "slot": str(NOW), "resumed": str(NOW + 5)}
    assert times.looks() == {"s": 0}
    assert times.call("resume_schedule", "s") == "active"
    assert times.events()[1:] == ["schedule_paused s reason=paused", "schedule_resumed s"]


def test_a_pause_with_an_end_is_over_at_the_first_look_after_it(times: Timetable) -> None:
    times.planned(NOW)
    assert times.call("pause_schedule", "s", "lunch", NOW + HOUR) == "paused"
    assert times.looks() == {"s": NOW + HOUR}

    assert times.fire(NOW + 2 * HOUR, slots=[NOW], now=NOW + HOUR - 1) == ["paused"]
    assert times.looks() == {"s": NOW + HOUR}
    assert times.tasks() == {}

    assert times.fire(NOW + 2 * HOUR, missed=1, why="paused 1", now=NOW + HOUR) == ["0"]
    assert times.hash() == {"rev": "1", "slot": str(NOW + 2 * HOUR), "resumed": str(NOW + HOUR), "missed": "1"}
    assert times.looks() == {"s": NOW + 2 * HOUR}
    assert times.events()[1:] == [
        "schedule_paused s reason=lunch",
        "schedule_resumed s",
        f"slot_missed s reason=paused 1 n=1 slot={NOW}",
    ]


def test_a_pause_again_has_another_reason_and_end(times: Timetable) -> None:
    times.put()
    times.call("pause_schedule", "s", "a", NOW + HOUR)

    for until in (5, "soon", NOW, NOW + 1, 10**13):
        with pytest.raises(redis.ResponseError, match="RS_INVALID 1 until "):
            times.call("pause_schedule", "s", "b", until, now=NOW + 1)
    assert times.call("pause_schedule", "s", "x" * 300, 0, now=NOW + 1) == "paused"

    assert times.hash() == {"rev": "1", "paused": "x" * 200, "paused_at": str(NOW + 1)}
    assert times.looks() == {"s": NEVER}


def test_one_that_has_ended_stays_so_when_it_is_resumed(times: Timetable) -> None:
    times.planned(NOW)
    times.run(NOW, "none")
    times.call("pause_schedule", "s", "", 0)

    assert times.call("resume_schedule", "s") == "resumed"

    assert times.hash()["ended"] == str(NOW)
    assert times.looks() == {"s": NEVER}


def test_one_that_has_ended_and_whose_pause_ends_is_not_looked_at_again(times: Timetable) -> None:
    times.planned(NOW)
    times.run(NOW, "none")
    times.call("pause_schedule", "s", "", NOW + HOUR)
    assert times.looks() == {"s": NOW + HOUR}

    assert times.fire("none", now=NOW + HOUR) == ["stale"]

    assert times.looks() == {"s": NEVER}


def test_a_schedule_that_is_dropped_is_gone_and_its_tasks_stay(times: Timetable) -> None:
    times.planned(NOW)
    times.run(NOW)
    times.put("other")

    assert times.call("drop_schedule", "s", "none", "no id") == ["dropped", "missing", "missing"]

    assert times.looks() == {"other": 0}
    assert whole(times) == {}
    assert times.tasks() == {f"s@{NOW}": "ready"}
    assert times.events()[-1] == "schedule_dropped s"
    for verb, args in (("pause_schedule", ("s", "", 0)), ("resume_schedule", ("s",))):
        assert times.call(verb, *args) == "missing"


def test_a_drop_takes_a_thousand(times: Timetable) -> None:
    times.put("last")

    assert times.call("drop_schedule", *["none"] * 1_000, "last") == ["missing"] * 1_000

    assert times.looks() == {"last": 0}


def shown(words: list[Any]) -> tuple[str, dict[str, str], list[str]]:
    """One schedule of show_schedules."""
    return words[0], dict(zip(words[1][::2], words[1][1::2], strict=True)), words[2]


def test_shown_schedules_have_their_fields_and_their_last_runs(times: Timetable) -> None:
    times.planned(NOW, {"overlap": "allow_all"})
    times.run(NOW)
    times.run(NOW + HOUR)
    times.queue.claim(1, now=NOW + HOUR + 7)
    times.redis.hset(times.queue.key("schedule:s"), "recent", f"5/6 {times.hash()['recent']}")

    now, cursor, one, other = times.call("show_schedules", "", 10, "s", "none")

    assert (now, cursor, other) == (NOW, "", ["none", [], []])
    name, fields, runs = shown(one)
    assert (name, fields) == ("s", whole(times))
    assert runs == [
        "5/6",
        "gone",
        "",
        "",
        f"{NOW}/{NOW}",
        "running",
        str(NOW + HOUR + 7),
        str(NOW),
        f"{NOW + HOUR}/{NOW + HOUR}",
        "ready",
        "",
        str(NOW + HOUR),
    ]


def test_pages_of_schedules_come_in_the_order_in_which_they_are_looked_at(times: Timetable) -> None:
    for number, name in enumerate("cab"):
        times.put(name)
        times.redis.zadd(times.queue.key("schedules"), {name: NOW + number})
    times.redis.zadd(times.queue.key("schedules"), {"ghost": NOW + 9})

    found: list[str] = []
    cursor = ""
    for _ in range(3):
        _, cursor, *page = times.call("show_schedules", cursor, 2)
        found += [words[0] for words in page]

    assert found == ["c", "a", "b", "ghost"]
    assert cursor == ""


def test_only_the_last_ten_runs_are_remembered(times: Timetable) -> None:
    times.planned(NOW, {"overlap": "allow_all"})
    for number in range(12):
        times.run(NOW + number * HOUR)

    assert times.hash()["recent"].split() == [f"{NOW + n * HOUR}/{NOW + n * HOUR}" for n in range(2, 12)]
    assert times.hash()["open"].split() == [str(NOW + n * HOUR) for n in range(12)]
    assert times.hash()["fired"] == "12"


@pytest.mark.parametrize("verb", ["due_schedules", "show_schedules", "drop_schedule", "pause_schedule"])
def test_the_key_must_be_that_of_the_schedules(queue: Queue, verb: str) -> None:
    args = {"due_schedules": (10,), "show_schedules": ("", 10), "drop_schedule": ("s",), "pause_schedule": ("s", "", 0)}

    assert queue.refused(verb, NOW, *args[verb]).startswith(raised(queue, "RS_KEYS"))


def test_without_a_virtual_clock_the_server_decides_what_time_it_is(times: Timetable) -> None:
    times.redis.hdel(times.queue.key("meta"), "virtual_clock")

    assert times.queue.refused("fire", NOW, *decision(times.queue)).startswith(raised(times.queue, "RS_CLOCK"))
    word, rev, now = times.call("put_schedule", *put_words(), now=0)

    assert (word, rev) == ("created", 1)
    assert abs(now - times.redis.time()[0] * 1_000) < 5_000
