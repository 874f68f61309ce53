"""Damage drawn at random: the doctor finds what a plain model says is broken and nothing else, and mends what can be.

60 seeds in the suite, a third of them each on Valkey, Redis 7.0 and Redis 8; ``REDSCHED_TEST_DAMAGE_SEEDS=1000`` runs
as many.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest
import redis

from redsched import Client
from redsched.observe.doctor import Report, examine
from redsched.wire import scripts
from tests.oracles.contract_rules import broken
from tests.oracles.raw_keys import Raw
from tests.simulation.damage import FAMILY, FAR, LAST, Damage
from tests.support.lua_queue import HOUR, Queue

SEEDS = int(os.environ.get("REDSCHED_TEST_DAMAGE_SEEDS", "60"))
BY_HAND = {"foreign_group"}


def told(report: Report) -> set[tuple[str, str, str]]:
    """The findings as the model writes them."""
    found = set()
    for fault in report.findings:
        name = {"task": f"{fault.queue}/{fault.name}", "queue": fault.queue}.get(fault.kind, fault.name)
        found.add((fault.kind, name, fault.rule))
    return found


def by_hand(faults: set[tuple[str, str, str]]) -> bool:
    """Whether only a person can decide about all of them."""
    return {rule for _, _, rule in faults} <= BY_HAND


@pytest.fixture
def connections(request: pytest.FixtureRequest, seed: int) -> Iterator[tuple[str, redis.Redis, redis.Redis]]:
    """A server with our library."""
    url = request.getfixturevalue(("valkey_server", "redis7_server", "redis8_server")[seed % 3]).url
    raw, text = (redis.Redis.from_url(url, protocol=2, decode_responses=decode) for decode in (False, True))
    raw.execute_command("FUNCTION", "LOAD", "REPLACE", scripts.library())
    yield url, raw, text
    raw.close()
    text.close()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_doctor_finds_what_is_broken_and_mends_it(
    connections: tuple[str, redis.Redis, redis.Redis], seed: int
) -> None:
    url, raw, text = connections
    namespace = f"t{secrets.token_hex(6)}"
    seconds, micros = text.time()
    queue = Queue("", "functions", raw, text, namespace, now=int(seconds) * 1_000 + int(micros) // 1_000)
    damage = Damage(queue, seed)
    with Client(url, namespace=namespace) as client:
        client.install()
        text.hset(queue.key("meta"), "virtual_clock", 1)
        damage.populate()
        assert told(examine(client, pause=0)) == broken(Raw(text, namespace)) == set()

        damage.strike()

        expected = broken(Raw(text, namespace))
        text.unlink(queue.key("mover"))  # it expires by itself
        before = queue.dump()
        assert told(examine(client, pause=0)) == expected, damage.log
        assert queue.dump() == before, "looking wrote something"

        report = examine(client, pause=0, repair=True)
        left = broken(Raw(text, namespace))
        assert told(report) == left and by_hand(left), (damage.log, report.mended)

        text.hset(queue.key("meta"), "virtual_clock", 1)
        damage.drain()
        after = Raw(text, namespace)
        after.now = FAR + LAST * HOUR
        assert by_hand(broken(after)), damage.log
        _assert_all_ended(damage, after)
    text.unlink(*text.scan_iter(match=queue.key("*"), count=1_000))


def _assert_all_ended(damage: Damage, after: Raw) -> None:
    """Every task that nobody spoilt has completed, and nothing waits for ever."""
    for queue in after.queues - {"ghost"}:
        assert not after.zset("due", queue), (damage.log, after.zset("due", queue))
        assert after.zset("held", queue).keys() <= _behind(after, queue), (damage.log, after.zset("held", queue))
        assert not after.entries(queue), damage.log
        assert not after.zset("running", queue), damage.log
    for queue, task_id in damage.live:
        if task_id in _behind(after, queue):
            continue
        task = after.values.get(f"task:{queue}:{task_id}")
        assert task and task["state"] == "completed", (damage.log, queue, task_id, task)


def _behind(after: Raw, queue: str) -> set[str]:
    """Those who wait for one that was set aside for its time: a person decides when it is due."""
    aside, found = after.zset("quarantine", queue), set()
    for row in (list(after.zset("line", f"{queue}:k")), FAMILY):
        first = next((number for number, task_id in enumerate(row) if f"bad time:{task_id}" in aside), len(row))
        found.update(row[first + 1 :])
    return found
