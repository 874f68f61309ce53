"""repair: each fault is judged again and mended: in doubt run again, never drop; what cannot be read is set aside."""

from __future__ import annotations

from redsched.wire import doctor
from tests.support.lua_queue import DAY, HOUR, KEEP_DEAD, KEEP_FINISHED, LEASE, NOW, Queue
from tests.support.repairs import lasting, mend


def well(queue: Queue, *ids: str, now: int = NOW) -> bool:
    """Whether a second look finds nothing."""
    call = doctor.inspect(queue.keys, "tasks", names=[task_id.encode() for task_id in ids])
    return call.read(queue.run("inspect", call.keys, [now, *call.args[1:]])).faults == []


def test_what_is_well_is_left_alone(queue: Queue) -> None:
    queue.running("runs")
    queue.ready("ready")
    queue.seed("later", due=NOW + HOUR)
    before = lasting(queue)
    entry = "normal/" + queue.redis.xrange(queue.keys.ready)[0][0]

    answers = mend(
        queue,
        ("task", "runs"),
        ("task", "ready"),
        ("task", "later"),
        ("task", "nobody"),
        ("entry", entry),
        ("entry", "normal/1-1"),
        ("pending", entry),
        ("key", "due:q"),
        ("key", "none"),
    )

    assert answers == ["well"] * 9
    assert lasting(queue) == before


def test_a_scheduled_task_in_no_place_is_due_now(queue: Queue) -> None:
    queue.write("orphan", type="t", payload="{}")

    assert mend(queue, ("task", "orphan")) == ["scheduled"]

    assert queue.places() == {"due": {"orphan": NOW}}
    assert queue.events() == ["repaired orphan kind=task now=scheduled"]
    assert queue.totals()["repaired"] == 1


def test_a_ready_task_without_its_entry_gets_another(queue: Queue) -> None:
    queue.ready("a", priority="high")
    queue.redis.delete(queue.keys.stream("high"))
    queue.redis.zadd(queue.keys.due, {"a": NOW})

    assert mend(queue, ("task", "a")) == ["ready"]

    assert queue.places() == {"ready": {"high": ["a"]}}
    assert [task.id for task in queue.claim().tasks] == ["a"]


def test_a_running_task_without_its_lease_gets_one_and_its_worker_can_still_answer(queue: Queue) -> None:
    started = queue.running("a")
    queue.redis.zrem(queue.keys.index("running"), "a")
    queue.redis.hset(queue.keys.task("a"), "attempt", "7")

    assert mend(queue, ("task", "a")) == ["running"]

    assert queue.places() == {"running": {"a": NOW + LEASE}}
    assert queue.settle(started, "complete") == "completed"


def test_a_running_task_whose_token_cannot_be_read_runs_again(queue: Queue) -> None:
    started = queue.running("a", max_attempts=1)
    queue.redis.hset(queue.keys.task("a"), "token", "nonsense")

    assert mend(queue, ("task", "a")) == ["scheduled"]

    assert queue.places() == {"due": {"a": NOW}}
    assert queue.settle(started, "complete") == "lost"
    queue.redis.hset(queue.keys.task("a"), "attempt", "9")
    assert mend(queue, ("task", "a")) == ["scheduled"]
    assert queue.task("a")["attempt"] == "0"
    queue.promote()
    assert queue.settle(queue.claim().tasks[0], "complete") == "completed"


def test_an_impossible_lease_or_retention_is_cut(queue: Queue) -> None:
    queue.running("a")
    queue.settle(queue.running("done"), "complete")
    queue.settle(queue.running("dead"), "dead", "x")
    queue.redis.zadd(queue.keys.index("running"), {"a": "inf"})
    queue.redis.zadd(queue.keys.index("finished"), {"done": NOW + 400 * DAY})
    queue.redis.zadd(queue.keys.index("dead"), {"dead": NOW + 400 * DAY})

    assert mend(queue, ("task", "a"), ("task", "done"), ("task", "dead")) == ["running", "completed", "dead"]

    assert queue.places() == {
        "running": {"a": NOW + HOUR},
        "finished": {"done": NOW + KEEP_FINISHED},
        "dead": {"dead": NOW + KEEP_DEAD},
    }


def test_where_the_state_cannot_be_read_the_one_place_is_believed(queue: Queue) -> None:
    queue.settle(queue.running("completed"), "complete")
    queue.settle(queue.running("cancelled"), "cancelled", "by itself")
    queue.settle(queue.running("dead"), "dead", "x")
    queue.running("running")
    queue.ready("ready")
    ids = ("completed", "cancelled", "dead", "running", "ready")
    before = queue.places()
    for number, task_id in enumerate(ids):
        if number % 2:
            queue.redis.hset(queue.keys.task(task_id), "state", "nonsense")
        else:
            queue.redis.hdel(queue.keys.task(task_id), "state")

    assert mend(queue, *(("task", task_id) for task_id in ids)) == list(ids)

    assert queue.places() == before
    assert well(queue, *ids)


def test_where_no_place_or_two_have_it_it_runs_again(queue: Queue) -> None:
    for task_id in ("none", "two"):
        queue.running(task_id)
    for task_id in ("none", "two"):
        queue.redis.hset(queue.keys.task(task_id), "state", "nonsense")
    queue.redis.zrem(queue.keys.index("running"), "none")
    queue.redis.zadd(queue.keys.index("dead"), {"two": NOW})

    assert mend(queue, ("task", "none"), ("task", "two")) == ["scheduled"] * 2

    assert queue.places() == {"due": {"none": NOW, "two": NOW}}


def test_a_final_state_that_was_written_by_hand_is_not_believed(queue: Queue) -> None:
    queue.settle(queue.running("b"), "complete")
    queue.seed("a", due=NOW + HOUR, state="completed")
    queue.redis.zrem(queue.keys.index("finished"), "b")

    assert mend(queue, ("task", "a"), ("task", "b")) == ["scheduled", "completed"]

    assert queue.places() == {"due": {"a": NOW + HOUR}, "finished": {"b": NOW + KEEP_FINISHED}}


def test_a_duplicate_due_id_of_a_finished_task_does_not_run_it_again(queue: Queue) -> None:
    queue.settle(queue.running("a"), "complete")
    queue.redis.zadd(queue.keys.due, {"a": NOW})

    assert mend(queue, ("task", "a")) == ["completed"]

    assert queue.places() == {"finished": {"a": NOW + KEEP_FINISHED}}


def test_a_waiting_task_that_cannot_run_becomes_a_dead_letter(queue: Queue) -> None:
    queue.ready("a")
    queue.seed("b", due=NOW + HOUR)
    queue.redis.hdel(queue.keys.task("a"), "type")
    queue.redis.hdel(queue.keys.task("b"), "payload")

    assert mend(queue, ("task", "a"), ("task", "b")) == ["dead", "dead"]

    assert queue.places() == {"dead": {"a": NOW + KEEP_DEAD, "b": NOW + KEEP_DEAD}}
    assert queue.task("a")["reason"] == "malformed"


def test_what_cannot_be_read_is_set_aside(queue: Queue) -> None:
    queue.broken.update(("string", "seconds"))
    queue.redis.set(queue.keys.task("string"), "mine")
    queue.redis.zadd(queue.keys.due, {"two words": NOW, "string": NOW})
    queue.redis.zadd(queue.keys.index("running"), {"ghost": NOW})
    queue.write("seconds", due=NOW // 1_000, type="t", payload="{}")

    ids = ("two words", "string", "ghost", "seconds")
    assert mend(queue, *(("task", task_id) for task_id in ids)) == ["quarantined"] * 4

    aside = {"bad id:two words": NOW, "wrong type:string": NOW, "missing:ghost": NOW, "bad time:seconds": NOW}
    assert queue.places() == {"quarantine": aside}
    assert queue.redis.get(queue.keys.task("string")) == "mine"
    assert mend(queue, *(("task", task_id) for task_id in ids)) == ["well"] * 4


def test_a_hash_no_longer_expires(queue: Queue) -> None:
    queue.seed("a", due=NOW + HOUR)
    queue.redis.expire(queue.keys.task("a"), 100)

    assert mend(queue, ("task", "a")) == ["scheduled"]

    assert queue.redis.ttl(queue.keys.task("a")) == -1
    assert queue.places() == {"due": {"a": NOW + HOUR}}


def test_a_stray_entry_goes_and_what_it_named_in_vain_is_set_aside(queue: Queue) -> None:
    queue.ready("a")
    second, third = (queue.redis.xadd(queue.keys.ready, {"id": task_id}) for task_id in ("a", "nobody"))

    assert mend(queue, ("entry", f"normal/{second}"), ("entry", f"normal/{third}")) == ["dropped", "dropped"]

    assert queue.places() == {"ready": {"normal": ["a"]}, "quarantine": {"missing:nobody": NOW}}


def test_a_pending_entry_that_is_gone_is_acknowledged(real_queue: Queue) -> None:
    queue = real_queue
    queue.ready("a")
    (at,) = (at for at, _ in queue.redis.xrange(queue.keys.ready))
    queue.redis.xreadgroup("workers", "gone", {queue.keys.ready: ">"})
    queue.redis.xdel(queue.keys.ready, at)

    assert mend(queue, ("task", "a"), ("pending", f"normal/{at}")) == ["ready", "dropped"]

    assert queue.pending() == 0
    assert [task.id for task in queue.claim().tasks] == ["a"]


def test_a_key_of_a_wrong_type_is_moved_aside_and_nothing_of_it_is_lost(real_queue: Queue) -> None:
    queue = real_queue
    queue.seed("a", due=NOW + HOUR)
    for _ in range(2):
        queue.redis.delete(queue.keys.due)
        queue.redis.set(queue.keys.due, "mine")
        call = doctor.repair(queue.keys, [("key", b"due:q"), ("task", b"a")])
        assert call.read(queue.run("repair", call.keys, [NOW, *call.args[1:]])) == ["aside", "scheduled"]

    assert queue.places() == {"due": {"a": NOW}}
    assert queue.redis.get(queue.key("aside:due:q")) == queue.redis.get(queue.key(f"aside:due:q:{NOW}")) == "mine"
    queue.redis.delete(queue.key("aside:due:q"), queue.key(f"aside:due:q:{NOW}"))


def test_a_stream_gets_its_group_a_key_loses_its_ttl_and_a_queue_is_listed(real_queue: Queue) -> None:
    queue = real_queue
    queue.seed("b", due=NOW + HOUR)
    queue.ready("a")
    queue.redis.xgroup_destroy(queue.keys.ready, "workers")
    queue.redis.expire(queue.keys.due, 100)
    queue.redis.delete(queue.key("queues"))

    assert mend(queue, ("key", "ready:q"), ("key", "due:q"), ("queue", "")) == ["grouped", "kept", "listed"]

    assert queue.redis.ttl(queue.keys.due) == -1
    assert queue.redis.smembers(queue.key("queues")) == {"q"}
    assert [task.id for task in queue.claim().tasks] == ["a"]


def test_a_run_of_the_last_attempt_goes_on(queue: Queue) -> None:
    started = queue.running("a", max_attempts=1)
    queue.redis.zrem(queue.keys.index("running"), "a")

    assert mend(queue, ("task", "a")) == ["running"]

    assert queue.settle(started, "complete") == "completed"


def test_a_task_that_waits_keeps_the_attempts_that_it_may_have(queue: Queue) -> None:
    queue.write("last", type="t", payload="{}", attempt=5)
    queue.write("beyond", type="t", payload="{}", attempt=6)

    assert mend(queue, ("task", "last"), ("task", "beyond")) == ["scheduled"] * 2

    assert (queue.task("last")["attempt"], queue.task("beyond")["attempt"]) == ("5", "4")


def test_the_worker_of_a_run_that_is_given_up_is_told_that_it_lost(queue: Queue) -> None:
    started = queue.running("a")
    queue.redis.hset(queue.keys.task("a"), "state", "nonsense")
    queue.redis.zadd(queue.keys.index("dead"), {"a": NOW})

    assert mend(queue, ("task", "a")) == ["scheduled"]

    assert queue.settle(started, "complete") == "lost"


def test_a_finished_task_keeps_its_end_and_its_retention(queue: Queue) -> None:
    for task_id in ("a", "b"):
        queue.settle(queue.running(task_id), "complete", now=NOW - 5)
        queue.redis.expire(queue.keys.task(task_id), 100)
    queue.redis.hdel(queue.keys.task("b"), "finished_at")
    queue.redis.zadd(queue.keys.index("finished"), {"a": NOW + 365 * DAY})

    assert mend(queue, ("task", "a"), ("task", "b")) == ["completed"] * 2

    assert (queue.task("a")["finished_at"], queue.task("b")["finished_at"]) == (str(NOW - 5), str(NOW))
    assert queue.places() == {"finished": {"a": NOW + 365 * DAY, "b": NOW - 5 + KEEP_FINISHED}}


def test_a_task_that_was_set_aside_for_its_time_is_scheduled_whatever_it_said(queue: Queue) -> None:
    queue.broken.add("a")
    queue.write("a", due=NOW // 1_000, type="t", payload="{}", state="nonsense")

    assert mend(queue, ("task", "a")) == ["quarantined"]

    assert queue.task("a")["state"] == "scheduled"
    assert well(queue, "a")


def test_what_is_set_aside_is_told_once_and_counted(queue: Queue) -> None:
    queue.redis.zadd(queue.keys.due, {"two words": NOW, "ghost": NOW, "phantom": NOW})
    queue.broken.update(("two words", "ghost", "phantom"))

    mend(queue, *(("task", task_id) for task_id in ("two words", "ghost", "phantom")))

    assert [event for event in queue.events() if event.startswith("quarantined")] == [
        "quarantined two words reason=bad id",
        "quarantined ghost reason=missing more=1",
    ]
    assert queue.totals() == {"repaired": 3, "quarantined": 3}


def test_a_last_run_that_is_given_up_is_run_again(queue: Queue) -> None:
    queue.running("a", max_attempts=1)
    queue.redis.hdel(queue.keys.task("a"), "token")

    assert mend(queue, ("task", "a")) == ["scheduled"]
    queue.promote()

    assert [task.id for task in queue.claim().tasks] == ["a"]
