"""How much one call does at most, in units that do not depend on the machine; what is left is done by the next ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from redsched.wire import doctor, protocol, schedules, scripts
from redsched.wire.claims import Bell
from redsched.wire.keys import CellKeys, queue_keys
from tests.support.lua_queue import DAY, HOUR, NOW, Queue

ENDED = {"state": "completed", "type": "t", "finished_at": NOW - HOUR}
MOST_UNITS = 600  # of a call that drains; a plain task is one


def tied(number: int) -> dict[str, Any]:
    """Conditions that enter a task in 32 facts, a line and a lock."""
    return {
        "cancel_on": [f"c{number}.{at}" for at in range(16)],
        "wait_for": {"any": [f"w{number}.{at}" for at in range(16)]},
        "fifo": True,
        "unique": {"key": f"u{number}"},
    }


def test_a_sweep_of_several_queues_does_a_part_of_each_and_says_that_there_is_more(queue: Queue) -> None:
    names = ["q", "r", "s"]
    for name in names:
        for at in range(300):
            queue.redis.hset(queue.key(f"task:{name}:t{at}"), mapping=ENDED)
        queue.redis.zadd(queue.key(f"finished:{name}"), {f"t{at}": NOW - 1 for at in range(300)})
    call = protocol.sweep([queue_keys(queue.cell, name) for name in names])

    first = queue.send(call)

    left = [queue.redis.zcard(queue.key(f"finished:{name}")) for name in names]
    assert first.more and MOST_UNITS - 3 <= first.removed <= MOST_UNITS
    assert all(0 < count < 300 for count in left)
    assert not queue.send(call).more
    assert queue.redis.keys(queue.key("task:*")) == []


def test_a_sweep_removes_fewer_of_those_that_are_entered_in_much(queue: Queue) -> None:
    for at in range(100):
        fields = ENDED | {"bound": "p", "key": "k", "conditions": json.dumps(tied(at))}
        queue.redis.hset(queue.keys.task(f"t{at}"), mapping=fields)
        queue.enter(f"t{at}")
    queue.redis.zadd(queue.keys.index("finished"), {f"t{at}": NOW - 1 for at in range(100)})

    swept = queue.send(protocol.sweep([queue.keys]))

    assert swept.more and 20 < swept.removed < 60
    assert [queue.send(protocol.sweep([queue.keys])).more for _ in range(3)][-1] is False


def test_a_promote_judges_fewer_of_those_that_are_entered_in_much(queue: Queue) -> None:
    for at in range(60):
        queue.seed(f"t{at}", key=f"k{at}", conditions=json.dumps(tied(at)))

    promoted = queue.promote(limit=500)

    assert promoted.queues[0].next_due is not None and promoted.queues[0].next_due <= NOW
    assert 15 <= promoted.moved < 30
    assert sum(queue.promote(limit=500).moved for _ in range(3)) == 60 - promoted.moved


def test_a_promote_looks_at_fewer_tasks_with_many_parents(queue: Queue) -> None:
    queue.enqueue(*((f"p{at}", NOW + HOUR, {}) for at in range(400)))
    after = json.dumps({"after": {"ids": [f"p{at}" for at in range(400)]}})
    for at in range(10):
        queue.seed(f"t{at}", conditions=after)

    moved = [queue.promote(limit=500).moved for _ in range(4)]

    assert moved == [3, 3, 3, 1]


def test_promote_gives_each_queue_its_share_of_the_work(queue: Queue) -> None:
    other = queue.other("r")
    for at in range(60):
        queue.seed(f"t{at}", key=f"k{at}", conditions=json.dumps(tied(at)))
    for at in range(100):
        other.seed(f"t{at}")
    call = protocol.promote([queue.keys, other.keys], mover="m", limit=500)

    first = queue.send(call)

    assert 0 < first.queues[0].moved < 60
    assert first.queues[1].moved == 100


def test_a_claim_starts_payloads_of_a_mebibyte_and_one_more(queue: Queue) -> None:
    for at in range(12):
        queue.ready(f"t{at}", payload=json.dumps("x" * 250_000))

    claimed = [queue.claim(10) for _ in range(3)]

    assert [(len(one.tasks), one.more) for one in claimed] == [(5, True), (5, True), (2, False)]


def test_a_claim_begins_with_a_task_that_is_larger_than_its_bound(queue: Queue) -> None:
    for at in range(2):
        queue.ready(f"t{at}", payload=json.dumps("x" * 2_000_000))

    assert [len(queue.claim(10).tasks) for _ in range(3)] == [1, 1, 0]


def test_a_claim_looks_at_fewer_tasks_whose_tests_read_much(queue: Queue) -> None:
    for at in range(60):
        queue.redis.set(queue.key(f"fact:f{at}"), json.dumps({"pad": f"{at}" * 8_000, "m": 1}))
        queue.ready(f"t{at}", conditions=json.dumps({"only_if": {"fact": f"f{at}", "field": "m", "equals": 1}}))

    claimed = queue.claim(100)

    assert claimed.more and 0 < len(claimed.tasks) < 10


def test_a_bell_that_a_claim_did_not_answer_is_left_to_the_next_one(queue: Queue) -> None:
    for at in range(6):
        queue.ready(f"t{at}", payload=json.dumps("x" * 500_000))
    entries = [f"normal/{entry}" for entry, _ in queue.redis.xrange(queue.keys.stream("normal"))]
    bells = [Bell("q", entry, f"t{at}") for at, entry in enumerate(entries)]

    first = queue.claim(10, bells=bells)

    assert [one.id for one in first.tasks] == ["t0", "t1", "t2"] and first.more
    assert [one.id for one in queue.claim(10).tasks] == ["t3", "t4", "t5"]


def test_a_reap_takes_back_fewer_of_those_that_end_with_much_to_leave(queue: Queue) -> None:
    plan = json.dumps({"cancel_on": [f"c{at}" for at in range(16)], "fifo": True})
    for at in range(120):
        queue.seed(f"t{at}", key=f"k{at}", conditions=plan, expires_at=NOW + 100)
    while queue.promote(limit=500).moved:
        pass
    while queue.claim(100).tasks:
        pass

    reaped = [queue.reap(limit=500, now=NOW + HOUR).moved for _ in range(2)]

    assert 80 < reaped[0] < 90 and sum(reaped) == 120


def test_attend_tells_fewer_listeners_that_are_entered_in_much_and_goes_on(real_queue: Queue) -> None:
    for at in range(60):
        real_queue.plan(f"t{at}", tied(at) | {"cancel_on": ["paid", *(f"c{at}.{n}" for n in range(15))]}, key=f"k{at}")
    real_queue.emit("paid", ttl="1d")

    first = real_queue.attend(limit=500)

    assert first.next_look is not None and first.next_look <= NOW
    assert 20 < len(real_queue.places()["finished"]) < 60
    while (more := real_queue.attend(limit=500)).done:
        assert more.next_look is None or more.next_look <= NOW + HOUR
    assert len(real_queue.places()["finished"]) == 60


def test_attend_tells_fewer_children_that_are_entered_in_much_and_goes_on(real_queue: Queue) -> None:
    real_queue.plan("p", {}, due=NOW + HOUR)
    for at in range(60):
        real_queue.plan(
            f"t{at}", {"cancel_on": tied(at)["cancel_on"], "fifo": True, "after": {"ids": ["p"]}}, key=f"k{at}"
        )
    real_queue.send(protocol.cancel(real_queue.keys, ["p"]))

    real_queue.attend(limit=500)

    assert 20 < len(real_queue.places()["finished"]) < 61
    while real_queue.attend(limit=500).done:
        pass
    assert len(real_queue.places()["finished"]) == 61


def test_ingest_takes_fewer_large_entries_and_says_that_some_are_left(queue: Queue) -> None:
    for at in range(40):
        fields = {"id": f"t{at}", "type": "t", "payload": json.dumps("x" * 250_000)}
        queue.redis.xadd(queue.key("inbox:q"), fields)

    taken = [queue.send(protocol.ingest([queue.keys], limit=500))[0] for _ in range(3)]

    assert [(one.created, one.left) for one in taken] == [(20, 20), (20, 0), (0, 0)]


def test_ingest_says_of_each_queue_that_it_did_not_reach_that_something_is_left(queue: Queue) -> None:
    for name in ("q", "r"):
        for at in range(3):
            queue.redis.xadd(queue.key(f"inbox:{name}"), {"id": f"{name}{at}", "type": "t", "payload": "1"})

    taken = queue.send(protocol.ingest([queue.keys, queue.other("r").keys], limit=2))

    assert [(one.created, one.left) for one in taken] == [(2, 1), (0, 3)]


def test_due_schedules_are_told_without_long_payloads_and_no_more_than_a_call_may_carry(queue: Queue) -> None:
    spec = json.dumps({"every": [{"every": 60_000}], "pad": "x" * 60_000})
    for at in range(300):
        fields = {"spec": spec, "queue": "q", "rev": 1, "task:type": "t", "task:payload": "x" * 10_000}
        queue.redis.hset(queue.key(f"schedule:s{at}"), mapping=fields)
        queue.redis.zadd(queue.key("schedules"), {f"s{at}": 0})

    looked = queue.send(schedules.due_schedules(CellKeys(queue.cell), 500))

    assert looked.next_look == NOW and 80 < len(looked.schedules) < 160
    assert looked.schedules[0].fields.keys() == {"spec", "queue", "rev", "task:type"}


@pytest.mark.parametrize("fault", ["", "left", "child"])
def test_the_doctor_judges_a_child_of_many_in_parts(real_queue: Queue, fault: str) -> None:
    queue = real_queue
    for at in range(0, 1_000, 250):
        queue.enqueue(*((f"p{at + n}", NOW + HOUR, {}) for n in range(250)))
    queue.plan("c", {"after": {"ids": [f"p{at}" for at in range(500)]}, "hold": {"token": "t", "within": DAY}})
    queue.send(protocol.follow(queue.keys, "c", [f"p{at}" for at in range(500, 1_000)]))
    key = queue.key("parents:q:c")
    if fault == "left":
        queue.redis.hset(key, ":left", 7)
    if fault == "child":
        queue.redis.delete(queue.key("children:q:p777"))

    pages, cursor = [], b"parts"
    while cursor:
        call = doctor.inspect(queue.keys, "keys", cursor=cursor, names=[b"parents:q:c"])
        pages.append(call.read(queue.run("inspect", call.keys, [NOW, *call.args[1:]])))
        cursor = pages[-1].cursor and b"parts " + pages[-1].cursor.split(b" ", 2)[2]

    assert len(pages) == 4 or fault == "child"
    assert [one.rule for page in pages for one in page.faults] == ["parents"] * bool(fault)


def test_a_search_for_a_circle_asks_once_of_each_of_many_parents_that_others_share(real_queue: Queue) -> None:
    queue = real_queue
    queue.enqueue(*((f"p{at}", NOW + HOUR, {}) for at in range(60)))
    after = json.dumps({"after": {"ids": [f"p{at}" for at in range(60)]}})
    for at in range(60):
        queue.enqueue((f"m{at}", NOW + HOUR, {"conditions": after}))
    queue.enqueue(("x", NOW + HOUR, {}), ("y", NOW + HOUR, {"conditions": json.dumps({"after": {"ids": ["x"]}})}))
    words = [NOW, 1, "conditions", json.dumps({"after": {"ids": [f"m{at}" for at in range(60)]}}), "x"]
    before = commands(queue)

    assert queue.run("update", [queue.keys.due], words) == [b"updated"]

    assert commands(queue) - before < 1_200


def commands(queue: Queue) -> int:
    """How many commands the server has carried out, those of scripts included."""
    return sum(stat["calls"] for stat in queue.redis.info("commandstats").values())


def test_a_promote_without_budget_left_still_looks_at_one_bad_score_and_one_lost_entry(real_queue: Queue) -> None:
    queue = real_queue
    queue.ready("lost")
    ((_, ((entry, _),)),) = queue.redis.xreadgroup("workers", "dead-reader", {queue.keys.ready: ">"}, count=1)
    queue.redis.execute_command("XCLAIM", queue.keys.ready, "workers", "dead-reader", 0, entry, "IDLE", 5_000)
    asked = {"conditions": json.dumps({"unless": {"fact": "x"}, "cancel_on": [f"e{at}" for at in range(15)]})}
    queue.enqueue(*((f"t{at}", NOW + 1, asked) for at in range(62)))
    queue.emit("x")
    queue.redis.zadd(queue.keys.due, {"timeless": 5e12})
    queue.broken.add("timeless")

    moved = queue.promote(limit=500, now=NOW + 2).moved

    places = queue.places()
    assert moved < 62 and places["due"], "the budget ends before the tasks"
    assert places["quarantine"] == {"bad time:timeless": NOW + 2}
    assert queue.pending() == 0
    assert places["ready"] == {"normal": ["lost"]}


def test_a_promote_counts_a_task_with_conditions_as_eight(queue: Queue) -> None:
    asked = {"conditions": json.dumps({"unless": {"fact": "x"}})}
    queue.enqueue(*((f"t{at}", NOW + 1, asked) for at in range(3)))

    assert [queue.promote(limit=16, now=NOW + 1).moved for _ in range(2)] == [2, 1]


# The stopwatch: beside the units, a call that drains stops after 2.5 ms. Here it shows what a test says.

WATCH = """local os, LOOKS = {}, 0
function os.clock() LOOKS = LOOKS + 1 return LOOKS * STEP / 1e6 end
"""
WATCH_BY_TIME = """local os, server, LOOKS = {}, redis, 0
local redis = setmetatable({call = function(command, ...)
  if command ~= 'TIME' then return server.call(command, ...) end
  LOOKS = LOOKS + 1
  return {'1800000000', tostring(LOOKS * STEP)}
end}, {__index = server})
"""


def by_the_watch(queue: Queue, verb: str, keys: list[str], *args: Any, step: int, watch: str = WATCH) -> Any:
    """The reply of a verb under a stopwatch that goes on by so many microseconds whenever it is looked at."""
    queue.redis.hdel(queue.key("meta"), "virtual_clock")  # with it nobody looks
    text = watch.replace("STEP", str(step)) + scripts.script(verb)
    return queue.raw.execute_command("EVAL", text, len(keys), *keys, 0, *args)


def due_long_ago(queue: Queue, count: int = 300) -> None:
    """So many tasks; the clock is the server's."""
    for at in range(count):
        queue.seed(f"t{at}", due=1_600_000_000_000 + at)


def test_a_call_stops_at_the_first_look_at_the_stopwatch_that_is_past_its_time(real_queue: Queue) -> None:
    moved = []
    for step in (2_500, 2_501):
        due_long_ago(real_queue)
        moved.append(by_the_watch(real_queue, "promote", [real_queue.keys.due], 300, "m", step=step)[2])
        real_queue.redis.delete(*real_queue.redis.keys(real_queue.key("*")))

    assert moved[1] > 0
    assert moved[0] - moved[1] == 16  # exactly 2.5 ms are not past it, so it goes on until the next look


def test_queues_that_share_a_call_share_its_time(real_queue: Queue) -> None:
    queues = [real_queue, real_queue.other("r")]
    for queue in queues:
        due_long_ago(queue)

    reply = by_the_watch(real_queue, "promote", [queue.keys.due for queue in queues], 500, "m", step=200)

    moved = [reply[2], reply[5]]
    assert min(moved) > 50 and sum(moved) < 300


def test_a_call_does_one_thing_however_late_the_stopwatch_says_that_it_is(real_queue: Queue) -> None:
    nobody = (1, "nobody", "1", "0", "none", "", 0, "", 0)
    fired = by_the_watch(real_queue, "fire", [real_queue.keys.due], *nobody, *nobody, step=3_000, watch=WATCH_BY_TIME)

    assert fired == [b"gone", b"later"]
