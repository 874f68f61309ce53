"""inspect: which tasks, entries and keys break a rule; nothing is written."""

from __future__ import annotations

import pytest

from redsched.wire.doctor import Inspected
from tests.support.lua_queue import DAY, HOUR, LEASE, NOW, Queue
from tests.support.repairs import look, rules


def test_tasks_in_their_places_are_well(queue: Queue) -> None:
    queue.running("runs")
    queue.settle(queue.running("done"), "complete")
    queue.settle(queue.running("dead"), "dead", "rejected")
    queue.ready("ready", priority="high")
    queue.seed("later", due=NOW + HOUR)

    ids = ("runs", "done", "dead", "ready", "later", "nobody", "no id")
    assert look(queue, "tasks", *ids) == Inspected(NOW, b"", 7, [])
    for place, members in (("due", 1), ("running", 1), ("finished", 1), ("dead", 1), ("high", 1), ("normal", 0)):
        assert look(queue, place) == Inspected(NOW, b"", members, [])
    assert look(queue, "held").looked == look(queue, "pending/normal").looked == 0
    found = look(queue, "keys", "meta", "events", "due:q", "ready:q:high", "none").faults
    assert [fault.rule for fault in found] == ["epoch"]


def test_a_task_in_no_place_or_in_two_is_found(queue: Queue) -> None:
    for task_id in ("none", "two", "stateless"):
        queue.running(task_id)
    queue.broken.update(("none", "two", "stateless"))
    queue.redis.zrem(queue.keys.index("running"), "none")
    queue.redis.zadd(queue.keys.due, {"two": NOW})
    queue.redis.hdel(queue.keys.task("stateless"), "state")
    queue.write("orphan", type="t", payload="{}")

    assert rules(queue, "none") == {"unindexed"}
    assert rules(queue, "two") == {"misplaced"}
    assert rules(queue, "stateless") == {"unindexed", "misplaced"}
    assert rules(queue, "orphan") == {"unindexed"}
    assert [(fault.name, fault.rule) for fault in look(queue, "due").faults] == [(b"two", "misplaced")]


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({"state": "lost"}, {"unknown_state"}),
        ({"type": "two words"}, {"malformed"}),
        ({"priority": "urgent"}, {"malformed"}),
        ({"attempt": "6"}, {"attempts"}),
        ({"attempt": "x"}, {"malformed"}),
        ({"expires_at": "soon"}, {"malformed"}),
        ({"attempt": "5"}, set()),
        ({"retention_ms": "x"}, set()),
        ({"retry": "sometimes"}, set()),
    ],
)
def test_fields_that_no_script_could_use_are_found(queue: Queue, fields: dict[str, str], broken: set[str]) -> None:
    queue.seed("a", due=NOW + HOUR)
    queue.redis.hset(queue.keys.task("a"), mapping=fields)

    assert rules(queue, "a") == broken


def test_a_running_task_has_the_token_of_its_attempt_and_a_lease(queue: Queue) -> None:
    queue.running("a")
    queue.broken.add("a")
    key = queue.keys.task("a")

    assert rules(queue, "a", now=NOW + LEASE + DAY) == set()  # past its lease: a mover's business
    queue.redis.hset(key, "attempt", "2")
    assert rules(queue, "a") == {"token"}
    queue.redis.hset(key, mapping={"attempt": "9", "token": "9.ab"})
    assert rules(queue, "a") == {"attempts"}
    queue.redis.hset(key, mapping={"attempt": "1", "token": "1.ab"})
    queue.redis.zadd(queue.keys.index("running"), {"a": NOW + HOUR + 1})
    assert rules(queue, "a") == {"lease"}
    queue.redis.hdel(key, "token")
    assert rules(queue, "a") == {"lease", "token"}


def test_scores_that_are_no_times_are_found(queue: Queue) -> None:
    queue.settle(queue.running("done"), "complete")
    for number, score in enumerate(("1800000000", "-1", "inf", "1e15")):
        queue.write(f"bad{number}", due=score, type="t", payload="{}")
    for number, score in enumerate(("0", "100000000000", "4000000000000", NOW + 0.5)):
        queue.write(f"good{number}", due=score, type="t", payload="{}")
    queue.redis.zadd(queue.keys.index("finished"), {"done": "inf"})

    found = look(queue, "due")
    assert found.looked == 8
    assert {(fault.name[:3], fault.rule) for fault in found.faults} == {(b"bad", "bad_time")}
    assert len(found.faults) == 4
    assert rules(queue, "done") == {"retention"}


def test_members_that_name_no_hash_are_found_unless_they_were_set_aside(queue: Queue) -> None:
    queue.broken.update(("string", "two words", "ghost"))
    queue.redis.set(queue.keys.task("string"), "mine")
    queue.redis.zadd(queue.keys.due, {"ghost": NOW - 9_000, "two words": NOW, "string": NOW})

    found = {(fault.name, fault.rule) for fault in look(queue, "due").faults}
    assert found == {(b"ghost", "missing"), (b"two words", "bad_id"), (b"string", "wrong_type")}

    queue.promote()
    assert look(queue, "tasks", "string", "ghost", "two words").faults == []


def test_a_hash_with_a_ttl_is_found_and_its_mark_does_not_change_with_time(queue: Queue) -> None:
    queue.seed("a", due=NOW + HOUR)
    queue.redis.pexpire(queue.keys.task("a"), 50_000)
    first = look(queue, "tasks", "a").faults
    queue.redis.pexpire(queue.keys.task("a"), 40_000)

    assert first == look(queue, "tasks", "a").faults
    assert [fault.rule for fault in first] == ["expiring"]
    queue.redis.zadd(queue.keys.due, {"a": NOW + HOUR + 1})
    assert first != look(queue, "tasks", "a").faults


def test_entries_that_no_ready_task_names_are_found(queue: Queue) -> None:
    queue.ready("a", priority="low")
    queue.broken.update(("a", "nobody", ""))
    stream = queue.keys.stream("low")
    second = queue.redis.xadd(stream, {"id": "a"})
    third = queue.redis.xadd(stream, {"id": "nobody"})
    fourth = queue.redis.xadd(stream, {"x": ""})

    found = look(queue, "low")
    assert found.looked == 4
    assert [(fault.name.decode(), fault.rule) for fault in found.faults] == [
        (f"low/{at}", "stray_entry") for at in (second, third, fourth)
    ]
    assert look(queue, "entries", f"low/{second}", "low/1-1", "nonsense").faults == found.faults[:1]


def test_entries_that_are_pending_and_gone_are_found(real_queue: Queue) -> None:
    queue = real_queue
    for task_id in ("a", "b", "c"):
        queue.ready(task_id)
    queue.broken.update(("b",))
    entries = [at for at, _ in queue.redis.xrange(queue.keys.ready)]
    queue.redis.xreadgroup("workers", "gone", {queue.keys.ready: ">"}, count=2)
    assert look(queue, "normal").faults == []  # pending: a mover takes them over

    queue.redis.xack(queue.keys.ready, "workers", entries[0])  # passed over: the next claim takes it all the same
    queue.redis.xdel(queue.keys.ready, entries[1])

    assert look(queue, "normal").faults == []
    (dangling,) = look(queue, "pending/normal").faults
    assert (dangling.kind, dangling.name.decode()) == ("pending", f"normal/{entries[1]}")
    assert dangling.rule == "dangling_pending"
    assert look(queue, "pendings", f"normal/{entries[1]}", f"normal/{entries[2]}").faults == [dangling]
    assert rules(queue, "b") == {"unindexed"}


def test_keys_of_a_wrong_type_with_a_ttl_or_without_their_group_are_found(real_queue: Queue) -> None:
    queue = real_queue
    queue.redis.set(queue.key("events"), "mine")
    queue.redis.xadd(queue.keys.ready, {"id": "x"})
    queue.redis.xadd(queue.keys.stream("high"), {"id": "x"})
    queue.redis.xgroup_create(queue.keys.stream("high"), "workers", 0)
    queue.redis.xgroup_create(queue.keys.stream("high"), "mine", 0)
    queue.redis.zadd(queue.keys.due, {"a": NOW})
    queue.redis.expire(queue.keys.due, 100)
    queue.redis.hset(queue.key("meta"), "epoch", "e")

    found = look(queue, "keys", "events", "ready:q", "ready:q:high", "due:q", "meta", "claimed:w", "theirs")
    assert found.looked == 7
    assert [(fault.name.decode(), fault.rule) for fault in found.faults] == [
        ("events", "key_type"),
        ("ready:q", "no_group"),
        ("ready:q:high", "foreign_group"),
        ("due:q", "key_ttl"),
    ]


def test_keys_of_types_and_owners_keep_the_rules_of_keys(real_queue: Queue) -> None:
    queue, names = real_queue, ("types", "defaults", "schemas", "apps", "live:shop/1", "owned:shop", "indexed")
    for name in names:
        queue.redis.rpush(queue.key(name), "mine")
    assert [(fault.name.decode(), fault.rule) for fault in look(queue, "keys", *names).faults] == [
        (name, "key_type") for name in names
    ]
    queue.redis.unlink(*map(queue.key, names))
    queue.redis.hset(queue.key("defaults"), "t", "[]")
    queue.redis.expire(queue.key("defaults"), 100)
    assert [fault.rule for fault in look(queue, "keys", "defaults").faults] == ["key_ttl"]


def test_pages_reach_every_member_and_entry(queue: Queue) -> None:
    for number in range(25):
        queue.seed(f"a{number}", due=NOW + HOUR + number // 5)
        queue.ready(f"r{number}")

    for what in ("due", "normal"):
        looked, pages, cursor = 0, 0, b""
        while pages == 0 or cursor:
            page = look(queue, what, cursor=cursor, limit=7)
            looked, pages, cursor = looked + page.looked, pages + 1, page.cursor
        assert (looked, pages) == (25, 4)


def test_what_is_unknown_is_refused(queue: Queue) -> None:
    for what in ("everything", "ready", "quarantine", "scheduled", "pending/urgent"):
        assert queue.refused("inspect", NOW, what, "", 1) == "RS_INVALID 1 what is unknown"


def test_a_brief_page_of_a_set_judges_only_members_that_name_no_hash(queue: Queue) -> None:
    queue.seed("a", due=NOW + HOUR)
    queue.write("seconds", due=NOW // 1_000, type="t", payload="{}")
    queue.redis.zadd(queue.keys.due, {"two words": NOW, "ghost": NOW - 9_000})

    found = look(queue, "due", "brief")

    assert found.looked == 4
    assert {(fault.name, fault.rule) for fault in found.faults} == {(b"two words", "bad_id"), (b"ghost", "missing")}


def test_what_is_just_within_its_limit_is_well(queue: Queue) -> None:
    queue.running("runs", max_attempts=1)
    queue.settle(queue.running("done"), "complete")
    queue.redis.zadd(queue.keys.index("running"), {"runs": NOW + HOUR})
    queue.redis.zadd(queue.keys.index("finished"), {"done": NOW + 365 * DAY})

    assert look(queue, "tasks", "runs", "done").faults == []
    assert rules(queue, "runs", now=NOW - 1) == {"lease"}
    assert rules(queue, "done", now=NOW - 1) == {"retention"}


def test_a_key_of_a_wrong_type_holds_no_task_and_stops_no_look(queue: Queue) -> None:
    queue.seed("a", due=NOW + HOUR)
    queue.redis.set(queue.keys.index("held"), "mine")

    assert rules(queue, "a") == set()


def test_a_call_looks_at_134_members_at_most_and_the_next_one_goes_on(real_queue: Queue) -> None:
    queue = real_queue
    queue.broken.update(names := [f"a{number}" for number in range(301)])
    queue.redis.zadd(queue.keys.due, dict.fromkeys(names, NOW))
    pages, named = [look(queue, "due", limit=5_000)], look(queue, "tasks", *names)
    while cursor := pages[-1].cursor:
        pages.append(look(queue, "due", limit=5_000, cursor=cursor))

    assert [page.looked for page in pages] == [134, 134, 33]
    assert len({fault.name for page in pages for fault in page.faults}) == 301
    assert (named.looked, named.cursor) == (125, b"125")


def test_the_longest_place_in_a_stream_is_found_and_one_that_nobody_holds_is_not_pending(real_queue: Queue) -> None:
    queue = real_queue
    queue.ready("a")
    queue.broken.add("nobody")
    longest = "9" * 15 + "-" + "9" * 15
    queue.redis.xadd(queue.keys.ready, {"id": "nobody"}, id=longest)

    assert [fault.rule for fault in look(queue, "entries", f"normal/{longest}").faults] == ["stray_entry"]
    assert look(queue, "pendings", f"normal/{longest}", "normal/1-1") == Inspected(NOW, b"", 0, [])
