"""Foreign garbage never holds up a good task: every kind of it, and a hundred thousand due ids ahead of one."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from redsched import App, Settings
from redsched.engine.worker import Worker
from redsched.wire.keys import QueueKeys, queue_keys
from tests.support.servers import Store

MALFORMED = 100_000
KINDS = ("bad id", "bad time", "missing", "looked at twice", "wrong type", "no type", "no start-by", "elsewhere")


def write_garbage(store: Store, keys: QueueKeys, count: int, seed: int) -> None:
    """``count`` due ids that cannot run, of every kind, in any order, all due long before now."""
    rng, past = random.Random(seed), store.now_ms() - 60_000
    scores: dict[str, float] = {}
    pipe = store.redis.pipeline(transaction=False)
    for number in range(count):
        kind = KINDS[number % len(KINDS)] if number < count // 10 else rng.choice(KINDS[:3])
        task_id, score = f"{kind[0]}{number}", float(past + rng.randrange(1_000))
        if kind == "bad id":
            task_id = rng.choice(("{b}%d", "a b %d", "\r\nZREM %d", "é%d", "%d" + "x" * 130)) % number
        elif kind == "bad time":
            score = rng.choice((5, -1, float("-inf"), past / 1_000, past * 1_000, float("inf")))
        elif kind == "looked at twice":
            score = 0
        elif kind == "wrong type":
            pipe.set(keys.task(task_id), "no hash")
        elif kind == "no type":
            pipe.hset(keys.task(task_id), mapping={"payload": "{}"})
        elif kind == "no start-by":
            pipe.hset(keys.task(task_id), mapping={"type": "good", "payload": "{}", "expires_at": "soon"})
        elif kind == "elsewhere":
            pipe.hset(keys.task(task_id), mapping={"type": "good", "payload": "{}", "state": "completed"})
        scores[task_id] = score
    pipe.execute()
    members = list(scores.items())
    for at in range(0, len(members), 5_000):
        pipe.zadd(keys.due, dict(members[at : at + 5_000]))
    pipe.execute()


@pytest.mark.parametrize("running", [False, True], ids=["worker starts after it", "worker runs already"])
def test_a_good_task_behind_a_hundred_thousand_malformed_ids_starts_at_once(valkey_store: Store, running: bool) -> None:
    keys = queue_keys(valkey_store.client().cell, "default")
    app, started = App(), asyncio.Event()

    @app.task("good")
    async def good() -> None:
        started.set()

    def write_good() -> None:
        write = valkey_store.redis.pipeline()
        write.hset(keys.task("good"), mapping={"type": "good", "payload": "{}"})
        write.zadd(keys.due, {"good": valkey_store.now_ms()})
        write.execute()

    async def scenario() -> float:
        settings = Settings(redis_url=valkey_store.url or "", namespace=valkey_store.namespace)
        worker = Worker(app, settings)
        if running:
            work = asyncio.create_task(worker.run())
            await asyncio.sleep(0.3)
            await asyncio.to_thread(write_garbage, valkey_store, spare, MALFORMED, 1)
            valkey_store.redis.rename(spare.due, keys.due)
            write_good()
            due = time.monotonic()
        else:
            write_garbage(valkey_store, keys, MALFORMED, 1)
            write_good()
            due = time.monotonic()
            work = asyncio.create_task(worker.run())
        await asyncio.wait_for(started.wait(), 60)
        took = time.monotonic() - due
        worker.stop()
        await work
        return took

    spare = queue_keys(keys.cell, "spare.of.default")
    seconds = asyncio.run(scenario())

    print(f"started {seconds:.3f} s after it was due, behind {MALFORMED} malformed ids")
    assert seconds < 30, "the figure to reach is 1 s on an idle machine"
