"""Tasks that come after others, that wait for a confirmation, and what is paused."""

from __future__ import annotations

import json

import pytest

from redsched.wire import protocol
from tests.support.lua_queue import DAY, HOUR, NOW, Queue

HOLD = {"hold": {"token": "t", "within": 30_000}}


def settle_all(queue: Queue, outcome: str = "complete", *, now: int = NOW) -> list[str]:
    """Promote, claim and end what there is; the ids."""
    queue.promote(now=now)
    started = queue.claim(now=now).tasks
    for task in started:
        queue.settle(task, outcome, "7" if outcome == "complete" else "why", now=now)
    return [task.id for task in started]


def test_a_child_runs_when_its_parents_have_completed_and_has_their_results(queue: Queue) -> None:
    queue.plan("a", {})
    queue.plan("b", {}, due=NOW + 1000)
    queue.plan("c", {"after": {"ids": ["a", "q/b"]}}, due="+500")
    assert (queue.task("c")["state"], queue.task("c")["blocked"]) == ("held", "parents")

    assert settle_all(queue) == ["a"]
    queue.attend()
    assert queue.task("c")["state"] == "held"
    assert settle_all(queue, now=NOW + 1000) == ["b"]
    queue.attend(now=NOW + 1000)

    assert queue.places()["due"] == {"c": NOW + 1500}
    page = queue.send(protocol.kin(queue.keys, "c", "parents"))
    assert page.next_cursor is None
    found = sorted((one.id, one.state, one.result) for one in page.items)
    assert found == [("a", "completed", 7), ("b", "completed", 7)]
    assert [one.id for one in queue.send(protocol.kin(queue.keys, "a", "children")).items] == ["c"]


@pytest.mark.parametrize(
    ("on", "otherwise", "state"),
    [
        ("success", "cancel", "cancelled"),
        ("success", "skip", "skipped"),
        ("success", "run", "scheduled"),
        ("success", "wait", "held"),
        ("failure", "cancel", "scheduled"),
        ("either", "cancel", "scheduled"),
    ],
)
def test_a_parent_fails(queue: Queue, on: str, otherwise: str, state: str) -> None:
    queue.plan("a", {})
    queue.plan("b", {"after": {"ids": ["a"], "on": on, "otherwise": otherwise}}, due="+500")

    settle_all(queue, "dead")
    queue.attend()

    assert queue.task("b")["state"] == state
    if state in ("cancelled", "skipped"):
        assert queue.task("b")["reason"] == "after q/a dead"


def test_the_reason_names_the_parent_that_failed_though_another_completed_before(queue: Queue) -> None:
    queue.plan("a", {})
    queue.plan("b", {}, due=NOW + 1000)
    queue.plan("c", {"after": {"ids": ["a", "b"]}})

    settle_all(queue)
    queue.attend()
    settle_all(queue, "dead", now=NOW + 1000)
    queue.attend(now=NOW + 1000)

    assert queue.task("c")["reason"] == "after q/b dead"


def test_a_child_that_was_to_run_on_failure_is_skipped_where_all_went_well(queue: Queue) -> None:
    queue.plan("a", {})
    queue.plan("b", {"after": {"ids": ["a"], "on": "failure"}})

    settle_all(queue)
    queue.attend()

    assert queue.task("b")["state"] == "skipped"


def test_a_child_that_waits_runs_once_its_dead_parent_was_revived(queue: Queue) -> None:
    queue.plan("a", {})
    queue.plan("b", {"after": {"ids": ["a"], "otherwise": "wait"}})
    settle_all(queue, "dead")
    queue.attend()
    queue.run("revive", [queue.keys.due], [NOW, 0, "a"])

    assert settle_all(queue) == ["a"]
    queue.attend()

    assert settle_all(queue) == ["b"]


def test_the_end_of_the_first_calls_off_the_whole_chain(queue: Queue) -> None:
    queue.plan("a", {})
    for before, name in ("ab", "bc", "cd"):
        queue.plan(name, {"after": {"ids": [before]}})

    queue.run("cancel", [queue.keys.due], [NOW, "", "a"])
    for _ in range(3):
        queue.attend()

    assert [queue.task(name)["state"] for name in "bcd"] == ["cancelled"] * 3


def test_a_parent_that_has_ended_before_counts(queue: Queue) -> None:
    queue.plan("a", {})
    settle_all(queue)
    queue.plan("b", {"after": {"ids": ["a"]}})
    queue.attend()

    assert settle_all(queue) == ["b"]


def test_a_parent_without_retention_is_kept_until_its_children_know(queue: Queue) -> None:
    queue.plan("a", {}, retention_ms=0)
    queue.plan("b", {"after": {"ids": ["a"]}})

    settle_all(queue)
    assert queue.task("a")["state"] == "completed"
    queue.attend()

    assert settle_all(queue) == ["b"]


def test_a_task_that_is_not_there_cannot_be_a_parent(queue: Queue) -> None:
    words = (1, "b", 0, 3, "type", "t", "payload", "{}", "conditions", '{"after":{"ids":["nobody"]}}')

    assert "RS_INVALID 1 conditions name a task that is not there" in queue.refused("enqueue", 0, *words)


def test_nothing_is_left_of_a_family_after_the_sweep(queue: Queue) -> None:
    queue.plan("a", {"cancel_on": ["x"]})
    queue.plan("b", {"after": {"ids": ["a"]}, "fifo": True, "unique": {"key": "u"}}, key="k")
    settle_all(queue)
    queue.attend()
    settle_all(queue)
    for at in (2 * HOUR, 4 * HOUR):
        queue.run("sweep", [queue.keys.due], [NOW + at, 500, 100, 100])
        queue.attend(now=NOW + at)

    left = {key.removeprefix(queue.key("")).partition(":")[0] for key in queue.dump()}
    expected = {"events", "forgotten", "indexed", "meta", "queues", "ready", "stats", "sweeps"}
    assert left - {"claimed", "mover"} == expected  # those two expire


def test_a_child_of_many_is_told_of_them_in_small_calls(queue: Queue) -> None:
    names = [f"p{at}" for at in range(30)]
    queue.enqueue(*((name, 0, {}) for name in names))
    queue.plan("join", {"after": {"ids": names}})
    for _ in range(4):
        settle_all(queue)
    calls = 0
    while queue.task("join")["state"] == "held":
        assert queue.attend(limit=10).done <= 32
        calls += 1

    assert calls >= 4
    assert settle_all(queue) == ["join"]


def confirm(queue: Queue, action: str, token: str = "t", *, now: int = NOW) -> str:
    """Confirm or abandon task a."""
    return queue.send(protocol.confirm(queue.keys, ["a"], token, action=action), now=now)["a"]


def test_a_task_is_held_until_it_is_confirmed_and_its_delay_counts_from_there(queue: Queue) -> None:
    queue.plan("a", HOLD, due="+1000")
    assert queue.places() == {"held": {"a": NOW + 30_000}}
    assert confirm(queue, "confirm", "wrong") == "refused"

    assert confirm(queue, "confirm", now=NOW + 5000) == "confirmed"

    assert queue.places() == {"due": {"a": NOW + 6000}}
    assert confirm(queue, "confirm", now=NOW + 5000) == "confirmed"
    assert confirm(queue, "abandon", now=NOW + 5000) == "refused"


def test_a_task_that_is_abandoned_never_runs(queue: Queue) -> None:
    queue.plan("a", HOLD)

    assert confirm(queue, "abandon") == "abandoned"
    assert (queue.task("a")["state"], queue.task("a")["reason"]) == ("cancelled", "abandoned")
    assert confirm(queue, "confirm") == "cancelled"


def test_a_held_task_that_runs_by_now_is_asked_to_stop_not_abandoned(queue: Queue) -> None:
    queue.plan("a", {"hold": {"token": "t", "within": 1_000, "then": "run"}})
    queue.attend(now=NOW + 1_000)
    queue.promote(now=NOW + 1_000)
    assert [task.id for task in queue.claim(now=NOW + 1_000).tasks] == ["a"]

    assert confirm(queue, "abandon", now=NOW + 1_001) == "requested"

    assert queue.task("a")["state"] == "running"
    assert confirm(queue, "abandon", now=NOW + 1_002) == "requested"


def test_children_are_shown_in_pages(queue: Queue) -> None:
    queue.plan("p", {}, due=NOW + HOUR)
    for child in ("a", "b", "c"):
        queue.plan(child, {"after": {"ids": ["p"]}})

    first = queue.send(protocol.kin(queue.keys, "p", "children", limit=2))
    rest = queue.send(protocol.kin(queue.keys, "p", "children", cursor=first.next_cursor, limit=2))

    assert [[one.id for one in page.items] for page in (first, rest)] == [["a", "b"], ["c"]]
    assert rest.next_cursor is None


def test_a_task_that_nobody_confirms_expires_by_itself(queue: Queue) -> None:
    queue.plan("a", HOLD)

    queue.attend(now=NOW + 30_000)
    queue.promote(now=NOW + 30_000)

    assert (queue.task("a")["state"], queue.task("a")["reason"]) == ("expired", "not confirmed")
    assert confirm(queue, "confirm", now=NOW + 30_000) == "expired"


def test_more_parents_come_while_it_is_still_to_be_confirmed(queue: Queue) -> None:
    queue.plan("p", {})
    queue.plan("p2", {})
    queue.plan("a", {**HOLD, "after": {"ids": ["p"]}})
    assert queue.send(protocol.follow(queue.keys, "a", ["p2"])) == "followed"
    confirm(queue, "confirm")
    assert queue.task("a")["blocked"] == "parents"
    assert queue.send(protocol.follow(queue.keys, "a", ["p2"])) == "refused"

    settle_all(queue)
    queue.attend()

    assert settle_all(queue) == ["a"]


def pause(queue: Queue, what: str = "queue", until: int | None = None) -> None:
    """Pause something now."""
    queue.send(protocol.pause(queue.keys, what, reason="maintenance", until=until))


@pytest.mark.parametrize("what", ["queue", "type:t", "key:k"])
def test_nothing_of_what_is_paused_starts_until_it_is_resumed(queue: Queue, what: str) -> None:
    queue.seed("ready", key="k")
    queue.promote()
    pause(queue, what)
    queue.seed("due", due=NOW + 1, key="k")
    queue.seed("other", due=NOW + 1, key="else", type="u")

    queue.promote(now=NOW + 1)
    started = [task.id for task in queue.claim(now=NOW + 1).tasks]

    assert started == ([] if what == "queue" else ["other"])
    assert queue.task("due")["blocked"] == f"pause:{what}"
    ((stop,), _) = queue.send(protocol.paused([queue.keys]), now=NOW + 1)
    assert (stop.reason, stop.waiting) == ("maintenance", 3 if what == "queue" else 2)

    assert queue.send(protocol.resume(queue.keys, what), now=NOW + 5)
    queue.attend(now=NOW + 5)
    queue.promote(now=NOW + 5)
    tasks = queue.claim(now=NOW + 5).tasks

    assert [(task.id, task.due_at) for task in tasks][:2] == [("ready", NOW), ("due", NOW + 1)]
    assert not queue.send(protocol.resume(queue.keys, what))
    told = [event for event in queue.events() if event.split()[0] in ("paused", "resumed")]
    assert told == [f"paused {what} reason=maintenance", f"resumed {what}"]


def test_a_task_that_goes_on_does_not_say_any_more_why_it_was_held(queue: Queue) -> None:
    queue.plan("confirmed", {"hold": {"token": "t", "within": HOUR}}, due="+1000")
    assert queue.task("confirmed")["delay_ms"] == "1000"
    pause(queue)
    queue.seed("aside")
    queue.promote()
    assert queue.task("aside")["blocked"] == "pause:queue"

    queue.send(protocol.confirm(queue.keys, ["confirmed"], "t", action="confirm"))
    queue.send(protocol.resume(queue.keys, "queue"))
    queue.attend()

    assert queue.places()["due"] == {"confirmed": NOW + 1000, "aside": NOW}
    assert not (queue.task("confirmed") | queue.task("aside")).keys() & {"blocked", "delay_ms"}


def test_a_pause_without_an_end_that_follows_another_is_not_looked_at_for_ever(queue: Queue) -> None:
    pause(queue)
    queue.seed("a")
    queue.promote()
    queue.send(protocol.resume(queue.keys, "queue"))
    pause(queue)

    found = queue.attend(now=NOW + 1)

    assert (found.next_look, queue.task("a")["blocked"]) == (None, "pause:queue")


def test_all_that_is_paused_in_several_queues_is_told_at_once(queue: Queue) -> None:
    queues = [queue, queue.other("r")]
    for one in queues:
        queue.send(protocol.pause(one.keys, "type:t", reason=f"in {one.name}", until=None))

    found = queue.run("paused", [one.keys.due for one in queues], [NOW])

    assert [(stop[0], stop[4]) for stop in found] == [(1, b"in q"), (2, b"in r")]


def test_a_pause_that_has_ended_by_itself_is_forgotten_and_told_once(queue: Queue) -> None:
    pause(queue, "queue", until=NOW + 5)
    queue.seed("a")
    queue.promote()

    for now in (NOW + 5, NOW + 6):
        queue.attend(now=now)

    assert queue.redis.exists(queue.key("paused:q")) == 0
    assert queue.events().count("resumed queue") == 1


def test_a_pause_ends_by_itself(queue: Queue) -> None:
    pause(queue, until=NOW + HOUR)
    queue.seed("a")
    queue.promote()
    assert queue.attend().next_look == NOW + HOUR

    queue.attend(now=NOW + HOUR)

    assert queue.events().count("resumed queue") == 1
    assert settle_all(queue, now=NOW + HOUR) == ["a"]


def test_expiry_and_quarantine_go_on_while_a_queue_is_paused(queue: Queue) -> None:
    pause(queue)
    queue.seed("late", expires_at=NOW + 1000)
    queue.seed("over", expires_at=NOW - 1)
    queue.redis.zadd(queue.keys.due, {"bad id": NOW})
    queue.broken.add("bad id")

    queue.promote()
    assert queue.places()["quarantine"] == {"bad id:bad id": NOW}
    assert queue.task("over")["state"] == "expired"
    queue.attend(now=NOW + 1000)
    queue.promote(now=NOW + 1000)

    assert queue.task("late")["state"] == "expired"


def test_a_task_that_a_pause_holds_can_be_cancelled_and_leaves_nothing(queue: Queue) -> None:
    pause(queue)
    queue.seed("a")
    queue.promote()

    queue.run("cancel", [queue.keys.due], [NOW, "", "a"])
    queue.check()

    assert queue.key("stopped:q:queue") not in queue.dump()


def test_what_waits_far_away_is_no_work(queue: Queue) -> None:
    queue.plan("a", {"wait_for": {"all": ["x"], "within": DAY}})

    found = queue.attend()

    assert (found.done, found.next_look) == (0, NOW + DAY)


def test_a_key_of_a_wrong_type_makes_one_task_dead_and_delays_nobody(real_queue: Queue) -> None:
    queue = real_queue
    for key in ("line:q:k", "listeners:x", "unique:q:u", "digest:q:d", "paused:q"):
        queue.redis.rpush(queue.key(key), "mine")
    conditions = ({"fifo": True}, {"cancel_on": ["x"]}, {"unique": {"key": "u"}}, {"digest": {"key": "d"}}, {})
    for at, one in enumerate(conditions):
        queue.seed(f"t{at}", conditions=json.dumps(one), key="k")
    queue.seed("good", due=NOW + 1)
    queue.redis.zadd(queue.key("agenda"), {"hold/q": NOW, "hold/no name": NOW, "what/ever": NOW, "nothing": NOW})

    reply = queue.run("promote", [queue.keys.due], [NOW + 1, 100, "m"])
    assert reply[2] == 5  # the digest took its key and waits for others
    assert queue.redis.hget(queue.keys.task("good"), "state") == "ready"
    assert queue.redis.hget(queue.keys.task("t0"), "state") == "dead"
    queue.redis.rpush(queue.key("held:q"), "mine")
    queue.run("attend", [queue.key("agenda")], [NOW + 1, 64])
    looks = queue.redis.zrange(queue.key("agenda"), 0, -1, withscores=True)
    assert looks == [
        ("hold/q", NOW + 60_001),
        ("what/ever", NOW + 60_001),  # a newer redsched may know what that is
        (f"digest/q/t3/{NOW + 1}", NOW + 61_001),
    ]


def test_a_child_that_comes_while_others_are_told_of_an_end_is_told_too(queue: Queue) -> None:
    queue.seed("parent")
    for name in ("c", "d", "e"):
        queue.plan(name, {"after": {"ids": ["parent"]}})
    queue.promote()
    (parent,) = queue.claim().tasks
    queue.settle(parent, "complete")
    queue.attend(limit=2)

    queue.plan("b", {"after": {"ids": ["parent"]}})
    for _ in range(5):
        queue.attend()
    queue.promote()

    assert sorted(task.id for task in queue.claim().tasks) == ["b", "c", "d", "e"]


def test_the_reason_of_a_child_names_the_parent_that_failed_though_another_completed_first(queue: Queue) -> None:
    for name in ("well", "failed"):
        queue.seed(name)
    queue.plan("child", {"after": {"ids": ["well", "failed"]}})
    queue.promote()
    failed, well = sorted(queue.claim().tasks, key=lambda task: task.id)
    queue.settle(well, "complete")
    queue.attend()
    queue.settle(failed, "dead")
    queue.attend()

    assert queue.task("child")["reason"] == "after q/failed dead"
