"""Schedules that somebody wrote by hand: no script fails on them for good, and none holds up the others."""

from __future__ import annotations

from typing import Any

import pytest

from redsched.wire import doctor
from tests.support.lua_queue import HOUR, NOW, Queue
from tests.support.timetable import FIELDS, NEVER, Timetable, decision

NEXT = NOW + HOUR
GOOD = {
    "spec": '{"cron":"* * * * *"}',
    "queue": "q",
    "rev": "1",
    "task:type": "t",
    "task:payload": "{}",
    "slot": str(NOW),
}
BYTES = b"\xff\xfe"
NUMBERS = ["", "x", "-5", "nan", "inf", "1e300", "0x10", "9" * 400, "\u0661", " 7", "1.5"]
SPECS = [
    "", "x", "[]", "[1]", "null", "5", '"a"', "{", "[" * 2_000, '{"overlap":{}}', '{"overlap":null}', '{"overlap":5}',
    '{"every":5}', '{"every":[5]}', '{"every":["1h"]}', '{"every":[null]}', '{"every":{}}', '{"every":[[]]}',
    '{"every":[{"every":"x"}]}', '{"every":[{"every":0}]}', '{"every":[{"every":-1000}]}', '{"every":[{"every":nan}]}',
    '{"every":[{"every":1e999}]}', '{"every":[{"every":1000,"phase":nan}]}', '{"every":[{"every":1000,"phase":{}}]}',
    '{"every":[{"every":1000,"phase":-1e999}]}', '{"after_completion":"x"}', '{"after_completion":nan}',
    '{"after_completion":-1e999}', '{"after_completion":{}}', '{"max_runs":"x"}', '{"max_runs":nan}',
    '{"max_runs":{}}', '{"max_runs":-1}', '{"pause_on_failure":"yes"}', '{"every":[{"every":1e300}]}',
]  # fmt: skip


def spoilt(times: Timetable, **fields: Any) -> None:
    """A schedule as somebody wrote it, beside a good one."""
    named = GOOD | {name.replace("task_", "task:"): value for name, value in fields.items()}
    times.redis.hset(times.queue.key("schedule:bad"), mapping={k: v for k, v in named.items() if v is not None})
    times.redis.zadd(times.queue.key("schedules"), {"bad": NOW - 1})


def live(times: Timetable) -> None:
    """Every verb on both; each answers, the good one fires, and the bad one is not looked at again at once."""
    times.planned(NOW)
    words = times.call("due_schedules", 10)
    assert [found[0] for found in words[3:]] == ["bad", "s"]
    read = dict(zip(words[3][1::2], words[3][2::2], strict=True))
    for following in ("every", "=", "", str(NEXT), "none"):
        now = NOW + 1
        bad = decision(
            times.queue,
            "bad",
            following,
            slots=[NOW],
            number=1,
            rev=read.get("rev", ""),
            slot=read.get("slot", ""),
        )
        answers = times.call("fire", *bad, *decision(times.queue, "s", NEXT, slots=[NOW]), now=now)
        assert len(answers) == 2
        look = times.looks().get("bad", NEVER)
        assert look > now or answers[0] == "stale", f"{following}: {answers} and looked at again at {look}"
        read = {name: value for name, value in times.redis.hgetall(times.queue.key("schedule:bad")).items()}
    assert times.tasks()[f"s@{NOW}"] == "ready"
    times.call("show_schedules", "", 10)
    times.call("show_schedules", "", 10, "bad")
    for verb, *args in (
        ("trigger", "bad", "allow_all", ""),
        ("trigger", "bad", "", "", NOW),
        ("pause_schedule", "bad", "x", 0),
        ("resume_schedule", "bad"),
        ("pause_schedule", "bad", "x", NOW + 1),
        ("show_schedules", "", 10, "bad"),
    ):
        times.call(verb, *args)
    assert times.put("bad") == ["updated", pytest.approx(1, abs=1e15)]
    assert times.call("drop_schedule", "bad") == ["dropped"]
    assert times.looks() == {"s": NEXT}


@pytest.mark.parametrize("spec", SPECS, ids=range(len(SPECS)))
def test_a_spec_that_is_none_holds_nobody_up(times: Timetable, spec: str) -> None:
    spoilt(times, spec=spec)

    live(times)


@pytest.mark.parametrize("value", NUMBERS, ids=range(len(NUMBERS)))
def test_numbers_that_are_none_hold_nobody_up(times: Timetable, value: str) -> None:
    spoilt(
        times,
        rev=value,
        slot=value,
        fired=value,
        missed=value,
        skipped=value,
        dropped=value,
        triggered=value,
        backfills=value,
        backfilled=value,
        created_at=value,
        changed_at=value,
        resumed=value,
        spec='{"cron":"* * * * *","max_runs":1000}',
    )

    live(times)


@pytest.mark.parametrize("value", [*NUMBERS, "5"], ids=range(len(NUMBERS) + 1))
def test_a_pause_whose_end_is_no_time_lasts_or_is_over(times: Timetable, value: str) -> None:
    spoilt(times, paused="x", paused_until=value, paused_at=value)

    live(times)


@pytest.mark.parametrize(
    "name", ["rev", "slot", "spec", "queue", "open", "buffer", "recent", "paused", "ended", "fired"]
)
def test_bytes_that_are_no_text_hold_nobody_up(times: Timetable, name: str) -> None:
    spoilt(times, **{name: BYTES})

    live(times)


@pytest.mark.parametrize("name", ["spec", "queue", "rev", "slot", "task:type", "task:payload"])
def test_a_field_that_is_missing_holds_nobody_up(times: Timetable, name: str) -> None:
    spoilt(times, **{name: None})
    if name == "queue":  # it is then the default queue, whose movers have it
        times = Timetable(times.queue.other("default"))
        times.put("s")

    live(times)


@pytest.mark.parametrize("queue_name", ["no name", "", "x" * 101, "a:b", "{a}"])
def test_a_queue_that_is_none_is_the_default_one(times: Timetable, queue_name: str) -> None:
    spoilt(times, queue=queue_name)

    assert times.fire(NEXT, "bad", slots=[NOW]) == ["stale"]

    times = Timetable(times.queue.other("default"))
    assert times.fire(NEXT, "bad", slots=[NOW]) == ["1"]
    assert times.tasks() == {f"bad@{NOW}": "ready"}
    assert times.call("pause_schedule", "bad", "", 0) == "paused"
    assert times.call("resume_schedule", "bad") == "resumed"
    assert times.call("trigger", "bad", "allow_all", "")[:2] == ["done", 1]


@pytest.mark.parametrize("name", ["open", "buffer", "recent"])
@pytest.mark.parametrize(
    "text",
    ["/ // /5 5/ a/b", "x" * 70_000, "x " * 50_000, "a/5 " * 50_000, "{}:*/1", "a:b/1 no\tname/2", "@/1 -/2"],
    ids=range(7),
)
def test_lists_that_are_none_hold_nobody_up(times: Timetable, name: str, text: str) -> None:
    spoilt(times, **{name: text})

    live(times)


def test_what_waits_under_a_name_that_is_no_id_makes_no_task(times: Timetable) -> None:
    spoilt(times, buffer=f"{'x' * 130}/5 {{a}}/6 {NOW - 1}/{NOW - 1}")

    assert times.fire(NEXT, "bad") == ["0"]

    assert times.tasks() == {f"bad@{NOW - 1}": "ready"}


def test_only_what_a_producer_may_write_reaches_a_task(times: Timetable) -> None:
    fields = {f"task:no{number}": "x" for number in range(9_000)}
    fields |= {"task:state": "dead", "task:entry": "low/1-1", "task:token": "1.a", "task:attempt": "9", "task:": "x"}
    spoilt(times, **fields)

    assert times.fire(NEXT, "bad", slots=[NOW]) == ["1"]

    assert times.queue.task(f"bad@{NOW}") == FIELDS | {
        "created_at": str(NOW),
        "due_at": str(NOW),
        "state": "ready",
        "entry": "normal/1",
        "schedule": "bad",
        "slot": str(NOW),
    }


@pytest.mark.parametrize("value", ["x", "", "nan", "+x", "+-1", "inf"])
def test_fields_of_tasks_that_cannot_be_used_make_dead_letters_at_most(times: Timetable, value: str) -> None:
    spoilt(
        times, **{f"task:{name}": value for name in ("expires_at", "priority", "max_attempts", "timeout_ms", "retry")}
    )

    assert times.fire(NEXT, "bad", slots=[NOW]) == ["1"]
    times.queue.claim()

    assert set(times.tasks()) == {f"bad@{NOW}"}


def test_a_schedule_whose_key_is_no_hash_leaves_the_set(times: Timetable) -> None:
    queue = times.queue
    queue.redis.set(queue.key("schedule:bad"), "mine")
    queue.redis.zadd(queue.key("schedules"), {"bad": NOW - 1})

    def call(verb: str, *args: Any) -> Any:
        return queue.run(verb, [queue.key("schedules")], [NOW, *args])

    assert call("due_schedules", 10)[3:] == [[b"bad"]]
    assert call("pause_schedule", "bad", "", 0) == b"missing"
    assert call("resume_schedule", "bad") == b"missing"
    assert call("show_schedules", "", 10)[2:] == [[b"bad", [], []]]
    assert queue.run("trigger", [queue.keys.due], [NOW, "bad", "", ""]) == [b"missing", 0]
    assert queue.run("fire", [queue.keys.due], [NOW, *decision(queue, "bad", "none", rev="", slot="")]) == [b"gone"]
    assert times.looks() == {}
    assert queue.redis.get(queue.key("schedule:bad")) == "mine"
    queue.redis.delete(queue.key("schedule:bad"))


@pytest.mark.parametrize("score", [-1e308, float("-inf"), 0.5, 1e308, float("inf")])
def test_a_score_that_is_no_time_is_looked_at_or_left_alone(times: Timetable, score: float) -> None:
    spoilt(times)
    times.redis.zadd(times.queue.key("schedules"), {"bad": score})

    words = times.call("due_schedules", 10)

    assert words[1] == -1
    assert [found[0] for found in words[3:]] == (["bad"] if score < NOW else [])


def test_words_of_a_mover_that_are_none_end_the_call(times: Timetable) -> None:
    times.planned(NOW)
    for n in ("-5", "nan", "inf", "x", "1e9", "1001", ""):
        times.call("fire", 1, "s", "9", "", "=", "x", "x", "", n)
    times.call("fire", 1, "s")
    times.call("fire", 1, "s", "1", str(NOW), "=", "", "nan", "", 3, NOW)

    assert times.hash()["rev"] == "1"


# --- the doctor


def look(queue: Queue, *names: str) -> dict[str, str]:
    """The rules that keys break, as ``inspect`` of those keys or, without names, of the whole set tells."""
    what, words = ("keys", [name.encode() for name in names]) if names else ("schedules", [])
    found = queue.send(doctor.inspect(queue.keys, what, names=words))
    assert found.looked == len(names) or not names
    return {fault.name.decode(): fault.rule for fault in found.faults}


def test_a_schedule_in_no_set_and_one_that_is_nothing_but_a_member_are_found_and_mended(times: Timetable) -> None:
    queue = times.queue
    for name in ("good", "lost", "asleep", "paused", "over", "waits"):
        times.put(name)
    queue.redis.zrem(queue.key("schedules"), "lost")
    queue.redis.zadd(queue.key("schedules"), {"ghost": NOW, "asleep": NEVER, "over": NEVER, "waits": NEVER})
    queue.redis.hset(queue.key("schedule:over"), "ended", NOW)
    queue.redis.hset(queue.key("schedule:waits"), mapping={"ended": NOW, "buffer": f"{NOW}/{NOW}"})
    times.call("pause_schedule", "paused", "", 0)
    faults = {
        "schedule:lost": "unscheduled",
        "schedule:ghost": "no_schedule",
        "schedule:asleep": "never_looked_at",
        "schedule:waits": "never_looked_at",
    }

    assert look(queue, *(f"schedule:{name}" for name in ("good", "over", "paused", "none"))) == {}
    assert look(queue, *faults) == faults
    assert look(queue) == {name: rule for name, rule in faults.items() if rule != "unscheduled"}

    targets = [*faults, "schedule:good", "schedule:none", "schedule:over", "schedule:paused"]
    mended = queue.send(doctor.repair(queue.keys, [("key", name.encode()) for name in targets]))
    assert mended == ["scheduled", "dropped", "scheduled", "scheduled", *["well"] * 4]

    assert look(queue) == look(queue, *targets) == {}
    assert times.looks() == {"good": 0, "lost": 0, "asleep": 0, "waits": 0, "over": NEVER, "paused": NEVER}
    assert queue.events()[-4:] == [
        "repaired schedule:lost kind=key now=scheduled",
        "repaired schedule:ghost kind=key now=dropped",
        "repaired schedule:asleep kind=key now=scheduled",
        "repaired schedule:waits kind=key now=scheduled",
    ]


def test_a_member_that_is_no_name_is_mended_too(times: Timetable) -> None:
    times.redis.zadd(times.queue.key("schedules"), {"no name": 5, "": 6})

    assert look(times.queue) == {"schedule:no name": "no_schedule", "schedule:": "no_schedule"}
    repair = doctor.repair(times.queue.keys, [("key", b"schedule:no name"), ("key", b"schedule:")])
    assert times.queue.send(repair) == ["dropped", "dropped"]
    assert times.looks() == {}


def test_keys_of_schedules_have_a_type_and_no_end(times: Timetable) -> None:
    queue = times.queue
    times.put()
    times.call("put_calendar", "de", "[]")
    for name in ("schedule:s", "schedules", "calendars"):
        queue.redis.expire(queue.key(name), 100)

    assert look(queue, "schedule:s", "schedules", "calendars") == dict.fromkeys(
        ("schedule:s", "schedules", "calendars"), "key_ttl"
    )
    repair = doctor.repair(queue.keys, [("key", b"schedule:s"), ("key", b"schedules"), ("key", b"calendars")])
    assert queue.send(repair) == ["kept"] * 3

    for name in ("schedules", "calendars", "schedule:b"):
        queue.redis.delete(queue.key(name))
        queue.redis.set(queue.key(name), "mine")
    call = doctor.repair(
        queue.keys, [("key", name) for name in (b"schedule:s", b"schedules", b"calendars", b"schedule:b")]
    )
    args = [NOW, *call.args[1:]]
    assert call.read(queue.run("repair", call.keys, args)) == ["well", "aside", "aside", "aside"]
    assert call.read(queue.run("repair", call.keys, args)) == ["scheduled", "well", "well", "well"]
    assert times.looks() == {"s": 0}
    aside = [queue.key(f"aside:{name}") for name in ("schedules", "calendars", "schedule:b")]
    assert queue.redis.mget(aside) == ["mine"] * 3
    queue.redis.delete(*aside)


def test_the_set_of_schedules_has_pages(times: Timetable) -> None:
    times.redis.zadd(times.queue.key("schedules"), {f"g{number}": number for number in range(25)})

    names: list[bytes] = []
    cursor, pages = b"", 0
    while cursor or not pages:
        page = times.queue.send(doctor.inspect(times.queue.keys, "schedules", cursor=cursor, limit=10))
        names += [fault.name for fault in page.faults]
        cursor, pages = page.cursor, pages + 1

    assert names == [f"schedule:g{number}".encode() for number in range(25)]
    assert pages == 3


def test_a_schedule_is_put_where_a_key_that_is_no_hash_was(times: Timetable) -> None:
    times.redis.set(times.queue.key("schedule:s"), "mine")

    assert times.put() == ["created", 1]

    assert times.hash()["rev"] == "1"
