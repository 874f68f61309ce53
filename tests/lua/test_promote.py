"""promote: what becomes of due ids, the good and the ugly ones."""

from __future__ import annotations

import time

import pytest

from redsched.wire import protocol, scripts
from redsched.wire.mover import Moved
from tests.support.lua_queue import HOUR, KEEP_DEAD, NOW, Queue

SEED = {"type": "t", "payload": "{}"}


def test_due_ids_become_ready_oldest_first_and_others_stay(queue: Queue) -> None:
    queue.seed("b", due=NOW)
    queue.seed("a", due=NOW - 5)
    queue.seed("later", due=NOW + 1)

    promoted = queue.promote()

    assert (promoted.now, promoted.acting, promoted.moved) == (NOW, True, 2)
    assert promoted.queues == [Moved("q", 2, NOW + 1, None)]
    assert queue.places() == {"due": {"later": NOW + 1}, "ready": {"normal": ["a", "b"]}}
    assert queue.task("a") == SEED | {"state": "ready", "entry": "normal/1", "due_at": str(NOW - 5)}
    assert queue.totals() == {"promoted": 2}
    assert queue.events() == []


@pytest.mark.parametrize("score", [0, 0.5])
def test_a_score_of_zero_means_now(queue: Queue, score: float) -> None:
    queue.write("a", due=score, type="t", payload="{}")

    queue.promote()

    assert queue.task("a")["due_at"] == str(NOW)


def test_a_fraction_of_a_millisecond_in_a_due_time_is_dropped(queue: Queue) -> None:
    queue.write("a", due=NOW - 0.25, type="t", payload="{}")

    queue.promote()

    assert queue.task("a")["due_at"] == str(NOW - 1)


def test_each_priority_has_its_stream(queue: Queue) -> None:
    for priority in ("low", "high", "normal"):
        queue.seed(priority, priority=priority)

    queue.promote()

    assert queue.places() == {"ready": {"high": ["high"], "normal": ["normal"], "low": ["low"]}}


def test_an_empty_queue_has_no_next_due_time(queue: Queue) -> None:
    assert queue.promote().queues == [Moved("q", 0, None, None)]
    assert queue.places() == {}


def test_the_limit_is_shared_by_the_queues(queue: Queue) -> None:
    other = queue.other("r")
    for number in range(3):
        queue.seed(f"a{number}")
        other.seed(f"b{number}")

    promoted = queue.send(protocol.promote([queue.keys, other.keys], mover="m", limit=4))

    assert [(moved.queue, moved.moved, moved.next_due) for moved in promoted.queues] == [("q", 2, NOW), ("r", 2, NOW)]
    assert other.places()["ready"] == {"normal": ["b0", "b1"]}


@pytest.mark.parametrize("busy", [0, 1])
def test_what_one_queue_leaves_of_the_limit_another_may_use(queue: Queue, busy: int) -> None:
    both = [queue, queue.other("r")]
    both[1 - busy].seed("a")
    for number in range(9):
        both[busy].seed(f"b{number}")

    promoted = queue.send(protocol.promote([one.keys for one in both], mover="m", limit=8))

    assert [moved.moved for moved in promoted.queues] == ([7, 1] if busy == 0 else [1, 7])


def test_a_call_moves_no_more_than_five_hundred(real_queue: Queue) -> None:
    real_queue.redis.zadd(real_queue.keys.due, {f"t{number:04}": NOW for number in range(501)})
    for number in range(501):
        real_queue.redis.hset(real_queue.keys.task(f"t{number:04}"), mapping=SEED)

    assert real_queue.promote(limit=10_000).moved == 500

    assert real_queue.places()["due"] == {"t0500": NOW}


def test_it_tells_when_the_next_lease_ends(queue: Queue) -> None:
    queue.running("a")

    assert queue.promote().queues == [Moved("q", 0, None, NOW + 30_000)]


def test_the_first_mover_acts_and_the_others_stand_by(queue: Queue) -> None:
    acting, told = queue.key("mover"), f"one {scripts.BUILD}"

    assert queue.promote(mover="one").acting
    assert queue.redis.get(acting) in (told, None)  # None: the second is over
    assert queue.redis.pttl(acting) in (-2, *range(1, 1_001))
    queue.redis.set(acting, told, px=60_000)
    assert not queue.promote(mover="two").acting
    assert queue.promote(mover="one").acting


@pytest.mark.parametrize("older", ["old", f"old {scripts.BUILD - 1}", "no mover at all"])
def test_a_newer_build_takes_over_from_an_older_one(queue: Queue, older: str) -> None:
    queue.redis.set(queue.key("mover"), older)

    assert queue.promote(mover="new").acting
    queue.redis.set(queue.key("mover"), f"newer {scripts.BUILD + 1}")
    assert not queue.promote(mover="new").acting


def test_a_standby_promotes_too(queue: Queue) -> None:
    queue.promote(mover="one")
    queue.seed("a")

    assert queue.promote(mover="two").moved == 1


def test_a_task_past_its_start_by_is_expired(queue: Queue) -> None:
    queue.seed("a", due=NOW - 10, expires_at=NOW)
    queue.seed("b", due=NOW - 10, expires_at=NOW + 1)

    assert queue.promote().moved == 2

    assert queue.places() == {"ready": {"normal": ["b"]}, "finished": {"a": NOW + HOUR}}
    assert queue.task("a") == SEED | {"expires_at": str(NOW), "state": "expired", "finished_at": str(NOW)}
    assert queue.events() == ["expired a"]
    assert queue.totals() == {"expired": 1, "promoted": 1}


def test_an_expired_task_keeps_to_its_retention(queue: Queue) -> None:
    queue.seed("a", expires_at=NOW, retention_ms=0)
    queue.seed("b", expires_at=NOW, retention_ms=5_000)

    queue.promote()

    assert queue.places() == {"finished": {"b": NOW + 5_000}}
    assert queue.task("a") == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"type": None},
        {"type": ""},
        {"type": "no good"},
        {"type": "t" * 101},
        {"priority": "urgent"},
        {"priority": ""},
        {"retry": "often"},
        {"retry": "fixed soon"},
        {"retry": ""},
        {"retention_ms": "1h"},
        {"retention_ms": "-1"},
        {"keep": "yes"},
        {"keep": ""},
        {"tags": "urgent"},
        {"tags": "[1]"},
        {"headers": "a=b"},
        {"headers": "[]"},
        {"expires_at": "tomorrow"},
        {"expires_at": "1800000000"},
        {"expires_at": "-1"},
        {"state": "reddy"},
        {"state": ""},
    ],
    ids=str,
)
def test_a_hash_with_unusable_fields_is_dead_and_those_behind_it_go_on(queue: Queue, fields: dict[str, str]) -> None:
    queue.write("bad", due=NOW - 1, **{field: value for field, value in (SEED | fields).items() if value is not None})
    queue.seed("good")

    assert queue.promote().moved == 2

    assert queue.places() == {"ready": {"normal": ["good"]}, "dead": {"bad": NOW + KEEP_DEAD}}
    assert queue.task("bad")["reason"] == "malformed"
    assert queue.events() == ["dead bad reason=malformed"]
    assert queue.totals() == {"dead": 1, "promoted": 1}


def test_a_malformed_task_runs_after_it_was_mended_and_revived(queue: Queue) -> None:
    queue.ready("a", priority="urgent")

    assert queue.send(protocol.update(queue.keys, ["a"], {"priority": "high"}, max_payload=100)) == {"a": "updated"}
    assert queue.send(protocol.revive(queue.keys, ["a"])) == {"a": "revived"}
    queue.promote()

    assert queue.places() == {"ready": {"high": ["a"]}}


def test_an_id_without_a_hash_is_looked_at_again_after_a_second(queue: Queue) -> None:
    queue.broken.add("ghost")
    queue.redis.zadd(queue.keys.due, {"ghost": NOW - 4_999})
    queue.seed("good")

    assert queue.promote().moved == 1

    assert queue.places() == {"due": {"ghost": NOW + 1_000.5}, "ready": {"normal": ["good"]}}
    assert queue.events() == []


def test_a_hash_that_follows_its_id_within_that_second_runs(queue: Queue) -> None:
    queue.redis.zadd(queue.keys.due, {"a": 0})
    queue.broken.add("a")
    queue.promote()
    queue.broken.remove("a")
    queue.redis.hset(queue.keys.task("a"), mapping=SEED)

    assert queue.promote(now=NOW + 1_001).moved == 1

    assert queue.places() == {"ready": {"normal": ["a"]}}
    assert queue.task("a")["due_at"] == str(NOW + 1_000)


@pytest.mark.parametrize("score", [0, NOW, NOW - 4_999])
def test_an_id_that_has_no_hash_at_the_second_look_is_set_aside(queue: Queue, score: int) -> None:
    queue.broken.add("ghost")
    queue.redis.zadd(queue.keys.due, {"ghost": score})
    assert queue.promote().moved == 0

    assert queue.promote(now=NOW + 1_000).moved == 0
    assert queue.promote(now=NOW + 1_001).moved == 1

    assert queue.places() == {"quarantine": {"missing:ghost": NOW + 1_001}}
    assert queue.redis.exists(queue.keys.task("ghost")) == 0
    assert queue.events() == ["quarantined ghost reason=missing"]
    assert queue.totals() == {"quarantined": 1}


def test_an_id_that_was_due_long_ago_and_has_no_hash_is_set_aside_at_once(queue: Queue) -> None:
    queue.broken.add("ghost")
    queue.redis.zadd(queue.keys.due, {"ghost": NOW - 5_000})

    assert queue.promote().moved == 1

    assert queue.places() == {"quarantine": {"missing:ghost": NOW}}


@pytest.mark.parametrize("kind", ["string", "list", "set", "zset", "stream"])
def test_a_key_that_is_no_hash_is_set_aside_and_left_alone(queue: Queue, kind: str) -> None:
    key = queue.keys.task("bad")
    queue.broken.add("bad")
    write = {
        "string": lambda: queue.redis.set(key, "x"),
        "list": lambda: queue.redis.rpush(key, "x"),
        "set": lambda: queue.redis.sadd(key, "x"),
        "zset": lambda: queue.redis.zadd(key, {"x": 1}),
        "stream": lambda: queue.redis.xadd(key, {"x": "1"}),
    }
    write[kind]()
    before = queue.dump()[key]
    queue.redis.zadd(queue.keys.due, {"bad": NOW - 1})
    queue.seed("good")

    assert queue.promote().moved == 2

    assert queue.places() == {"ready": {"normal": ["good"]}, "quarantine": {"wrong type:bad": NOW}}
    assert queue.dump()[key] == before
    assert queue.events() == ["quarantined bad reason=wrong type"]


@pytest.mark.parametrize("score", [NOW // 1_000, NOW * 1_000, -1, 1, "-inf", "+inf", 99_999_999_999, 4_000_000_000_001])
def test_a_score_that_is_no_time_is_set_aside_and_its_task_left_alone(queue: Queue, score: float | str) -> None:
    queue.write("bad", due=score, **SEED)
    queue.broken.add("bad")
    queue.seed("good")
    queue.seed("later", due=NOW + 1)

    assert queue.promote().queues == [Moved("q", 2, NOW + 1, None)]

    assert queue.places() == {
        "due": {"later": NOW + 1},
        "ready": {"normal": ["good"]},
        "quarantine": {"bad time:bad": NOW},
    }
    assert queue.task("bad") == SEED
    assert queue.events() == ["quarantined bad reason=bad time"]


@pytest.mark.parametrize("limit", [1, 10])  # 1: the good one is found from the other end
def test_a_time_in_seconds_that_is_as_long_as_one_in_ms_is_set_aside(queue: Queue, limit: int) -> None:
    for number in range(2):
        queue.write(f"bad{number}", due=NOW // 1_000 + number + 0.25, **SEED, created_at=NOW)
        queue.broken.add(f"bad{number}")
    queue.seed("good", created_at=NOW)

    assert queue.promote(limit=limit).moved == 3

    assert queue.places() == {"ready": {"normal": ["good"]}, "quarantine": {"bad time:bad0": NOW, "bad time:bad1": NOW}}


def test_the_last_time_that_can_be_meant_waits(queue: Queue) -> None:
    queue.seed("a", due=4_000_000_000_000)

    assert queue.promote().queues == [Moved("q", 0, 4_000_000_000_000, None)]


@pytest.mark.parametrize("task_id", ["a b", ":a", "x" * 129, "a\nb", "\u00e9", "{a}", "*", "-a"])
def test_an_id_outside_the_grammar_is_set_aside(queue: Queue, task_id: str) -> None:
    queue.broken.add(task_id)
    queue.redis.zadd(queue.keys.due, {task_id: NOW})
    queue.seed("good")

    queue.promote()

    assert queue.places() == {"ready": {"normal": ["good"]}, "quarantine": {f"bad id:{task_id[:128]}": NOW}}
    told = "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in task_id.encode()[:128])
    assert queue.events() == [f"quarantined {told} reason=bad id"]


def test_an_empty_id_is_set_aside_under_both_builds(queue: Queue) -> None:
    queue.broken.add("")
    queue.redis.zadd(queue.keys.due, {"": NOW})
    queue.seed("good")

    queue.promote()

    assert queue.places() == {"ready": {"normal": ["good"]}, "quarantine": {"bad id:": NOW}}
    assert queue.events() == ["quarantined  reason=bad id"]


def test_the_quarantine_keeps_the_latest_ten_thousand(real_queue: Queue) -> None:
    key = real_queue.keys.index("quarantine")
    for start in range(0, 10_000, 1_000):
        real_queue.redis.zadd(
            key, {f"missing:old{number:05}": NOW - 10_000 + number for number in range(start, start + 1_000)}
        )
    real_queue.redis.zadd(real_queue.keys.due, {"a b": NOW, "c d": NOW})
    real_queue.broken |= {"a b", "c d"}

    real_queue.promote()

    assert real_queue.redis.zcard(key) == 10_000
    assert real_queue.redis.zrange(key, 0, 0) == ["missing:old00002"]
    assert set(real_queue.redis.zrange(key, -2, -1)) == {"bad id:a b", "bad id:c d"}


@pytest.mark.parametrize("state", ["ready", "running", "completed", "dead"])
def test_a_raw_repeat_of_a_known_id_only_leaves_due(queue: Queue, state: str) -> None:
    if state == "ready":
        queue.ready("a")
    elif state == "running":
        queue.running("a")
    else:
        queue.settle(queue.running("a"), "complete" if state == "completed" else "dead", "why")
    before, task = queue.places(), queue.task("a")
    queue.redis.zadd(queue.keys.due, {"a": NOW})

    assert queue.promote().moved == 1

    assert (queue.places(), queue.task("a")) == (before, task)
    assert queue.events()[-1] == f"duplicate a state={state}"


def test_a_ready_stream_that_was_deleted_by_hand_is_made_again(queue: Queue) -> None:
    queue.ready("lost")
    queue.broken.add("lost")
    queue.redis.delete(queue.keys.ready)
    queue.seed("a")

    queue.promote()

    assert queue.places() == {"ready": {"normal": ["a"]}}
    assert [task.id for task in queue.claim().tasks] == ["a"]


def _eventually(queue: Queue, done: str) -> None:
    """Promote until the pending list of the stream is empty: idle time is the server's own, not the test's."""
    deadline = time.monotonic() + 60
    while queue.pending(done):
        assert time.monotonic() < deadline
        time.sleep(0.02)
        queue.promote()


def test_an_entry_that_a_dead_reader_held_is_added_again_after_a_second(queue: Queue) -> None:
    queue.seed("a", priority="low")
    queue.promote()
    stream = queue.keys.stream("low")
    ((_, ((entry, _),)),) = queue.redis.xreadgroup("workers", "dead-reader", {stream: ">"}, count=1)

    queue.promote()
    assert queue.pending("low") == 1, "it is left alone for a second"
    _eventually(queue, "low")

    assert queue.places()["ready"] == {"low": ["a"]}
    assert queue.redis.xrange(stream)[0][0] != entry
    assert [task.id for task in queue.claim().tasks] == ["a"]


def test_a_held_entry_of_a_task_that_is_not_ready_any_more_is_dropped(queue: Queue) -> None:
    queue.ready("a")
    queue.redis.xadd(queue.keys.ready, {"id": "foreign"})
    queue.redis.xadd(queue.keys.ready, {"other": "fields"})
    queue.broken |= {"foreign", ""}
    queue.redis.xreadgroup("workers", "dead-reader", {queue.keys.ready: ">"}, count=10)
    queue.send(protocol.cancel(queue.keys, ["a"]))

    _eventually(queue, "normal")

    assert queue.places() == {"finished": {"a": NOW + HOUR}}


def test_a_good_id_behind_more_bad_ones_than_one_call_looks_at_is_ready_at_once(queue: Queue) -> None:
    queue.redis.zadd(queue.keys.due, {f"bad {number}": NOW - 1_000 for number in range(100)})
    queue.seed("good", due=NOW)
    queue.broken |= {f"bad {number}" for number in range(100)}

    promoted = queue.promote(limit=10)

    assert promoted.moved == 10 + 25  # from both ends
    assert queue.places()["ready"] == {"normal": ["good"]}
    assert len(queue.places()["due"]) == 101 - 35


def test_a_bad_id_that_both_ends_reach_is_set_aside_once(queue: Queue) -> None:
    queue.redis.zadd(queue.keys.due, {f"bad {number}": NOW - 1_000 for number in range(10)})
    queue.seed("good", due=NOW)
    queue.broken |= {f"bad {number}" for number in range(10)}

    queue.promote(limit=5)

    assert queue.places()["ready"] == {"normal": ["good"]}
    assert "due" not in queue.places()
    assert queue.totals() == {"promoted": 1, "quarantined": 10}
    assert queue.events() == ["quarantined bad 0 reason=bad id more=9"]


def test_a_flood_of_bad_ids_is_told_once_a_call_and_reason_and_each_is_kept(queue: Queue) -> None:
    queue.redis.zadd(queue.keys.due, {f"bad {number}": NOW - 1_000 for number in range(200)})
    queue.redis.zadd(queue.keys.due, {f"seconds{number}": 1_800_000_000 + number for number in range(50)})
    queue.broken |= {f"bad {number}" for number in range(200)}

    queue.promote(limit=300)

    assert queue.events() == [
        "quarantined seconds0 reason=bad time more=49",
        "quarantined bad 0 reason=bad id more=199",
    ]
    assert len(queue.places()["quarantine"]) == queue.totals()["quarantined"] == 250
