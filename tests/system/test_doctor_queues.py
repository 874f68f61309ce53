"""The doctor with many queues: how much it asks, what it leaves out and says so, and that it mixes none of them up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from redsched import Client
from redsched.observe.doctor import Report, examine, invariants
from redsched.steps.exchange import Command
from tests.support.servers import Store

HOUR = 3_600_000


def lines(report: Report) -> dict[str, str]:
    """``check`` -> ``LEVEL what``."""
    return {line.check: f"{line.level} {line.what}" for line in report.lines}


def rules(report: Report) -> set[tuple[str, str]]:
    """What is broken."""
    return {(found.name, found.rule) for found in report.findings}


def _commands(store: Store) -> int:
    return int(store.redis.info("stats")["total_commands_processed"])


def test_names_of_queues_that_hold_nothing_cost_the_doctor_nothing(real_store: Store) -> None:
    with real_store.client() as client:
        client.install()
        client.enqueue("log", id="a", delay="1h")
        real_store.redis.sadd(f"{{{real_store.namespace}}}:queues", *(f"none-{n}" for n in range(5_000)))
        before = _commands(real_store)

        report = examine(client, pause=0)

        assert _commands(real_store) - before < 1_000
        assert (report.level != "FAIL", report.tasks) == (True, 1)
        assert lines(report)["queue default"] == "OK 1 scheduled, 0 ready, 0 running, 0 dead"


def test_of_very_many_queues_the_doctor_goes_through_some_and_says_how_far_it_is(
    valkey_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invariants, "MOST_QUEUES", 5)
    monkeypatch.setattr(invariants, "Progress", lambda tell: invariants_progress(tell, 0.0))
    said: list[str] = []
    with valkey_store.client() as client:
        client.install()
        for n in range(120):
            client.enqueue("log", queue=f"q{n:03}", delay="1h")

        report = examine(client, pause=0, tell=said.append)

        assert lines(report)["other queues"].endswith(
            ("115 queues more hold something and were not looked at", "are well")
        )
        assert report.tasks == 120, "each hash is judged by the scan"
        assert any("of 120 queues" in what for what in said)


invariants_progress = invariants.Progress


def test_many_queues_are_looked_at_by_one_who_may_not_scan(valkey_store: Store) -> None:
    with valkey_store.client() as client:
        client.install()
        for n in range(3):
            client.enqueue("log", queue=f"q{n}", delay="1h")
        prefix = f"{{{valkey_store.namespace}}}:"
        valkey_store.redis.sadd(f"{prefix}queues", *(f"none-{n}" for n in range(500)))
        valkey_store.redis.zadd(f"{prefix}due:q1", {"ghost": 1})
        user = f"u-{valkey_store.namespace}"
        valkey_store.redis.execute_command("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all", "-scan")
        try:
            url = (valkey_store.url or "").replace("redis://", f"redis://{user}:pw@")
            with Client(url, namespace=valkey_store.namespace) as limited:
                before = _commands(valkey_store)
                report = examine(limited, pause=0)
                assert _commands(valkey_store) - before < 6_000
        finally:
            valkey_store.redis.execute_command("ACL", "DELUSER", user)
        assert lines(report)["scan"].startswith("WARN")
        assert ("ghost", "missing") in rules(report)


def _with_a_task_each(store: Store, client: Client, count: int) -> None:
    client.install()
    for n in range(count):
        client.enqueue("log", id="t", queue=f"q{n:03}", delay="1h")


def test_many_queues_take_few_round_trips_beside_many_keys_of_others(
    real_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [f"another program's {n}" for n in range(20_000)]
    real_store.redis.mset(dict.fromkeys(others, "1"))
    try:
        with real_store.client() as client:
            _with_a_task_each(real_store, client, 300)
            trips: list[int] = []
            send = client.transport._trips

            def note(commands: Sequence[Command]) -> list[Any]:
                if commands[0][0] != "SCAN":  # whose number follows from the keys of the whole server
                    trips.append(len(commands))
                return send(commands)

            monkeypatch.setattr(client.transport, "_trips", note)

            report = examine(client, pause=0)
    finally:
        real_store.redis.unlink(*others)

    assert (report.level != "FAIL", report.tasks, report.findings) == (True, 300, [])
    assert len(trips) < 80, "of 300 queues with a task and a set each"
    assert max(trips) <= 1_000


@pytest.mark.parametrize("library", [True, False])
def test_what_is_broken_in_one_of_many_queues_is_told_of_that_one_and_mended(
    real_store: Store, *, library: bool
) -> None:
    store = real_store
    with store.client() as client:
        _with_a_task_each(store, client, 60)
        store.redis.pexpire(store.key("due:q007"), HOUR)
        store.redis.delete(store.key("due:q009"))
        store.redis.set(store.key("due:q009"), "no set")
        store.redis.hset(store.key("task:q011:t"), "max_attempts", "none")
        store.redis.zadd(store.key("due:q013"), {"ghost": 1})
        for n in range(200):
            store.redis.zadd(store.key("due:q015"), {f"ghost{n}": 1})
        store.redis.srem(store.key("queues"), "q017")
        store.redis.set(store.key("inbox:q019"), "no stream")
        store.redis.zadd(store.key("tagged:vip"), {"q021/ghost": 0, "q023/t": 0, "no member": 0})
        if not library and store.kind != "valkey-scripts":
            store.redis.execute_command("FUNCTION", "FLUSH")

        report = examine(client, pause=0)

        found = {(one.queue, one.kind, one.name, one.rule) for one in report.findings}
        stale = ("q021/ghost", "q023/t", "no member")
        (any_queue,) = {queue for queue, _, _, rule in found if rule == "stale_index"}
        assert found == {
            ("q007", "key", "due:q007", "key_ttl"),
            ("q009", "key", "due:q009", "key_type"),
            ("q009", "task", "t", "unindexed"),
            ("q011", "task", "t", "malformed"),
            ("q013", "task", "ghost", "missing"),
            *(("q015", "task", f"ghost{n}", "missing") for n in range(200)),
            ("q017", "queue", "", "unlisted"),
            ("q019", "key", "inbox:q019", "key_type"),
            *((any_queue, "key", f"stale:{one} tagged:vip", "stale_index") for one in stale),
        }
        assert examine(client, pause=0, repair=True).findings == []
