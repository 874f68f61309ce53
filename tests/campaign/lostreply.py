"""The reply of every single command in turn is lost: #0, #1, ... of a scripted session, in four ways.

Whatever is lost, the session must end in the state of the fault-free one, modulo attempts; and a worker must have run
each task once.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import redis

from redsched import App, Client, Context, Settings, Task
from redsched.client.sync.transport import Transport
from redsched.engine.worker import Worker
from redsched.model.errors import RedschedError
from redsched.wire import protocol
from redsched.wire.cells import Cell
from redsched.wire.claims import Bell, Settlement
from redsched.wire.keys import GROUP, queue_keys
from tests.campaign.proxy import Proxy
from tests.campaign.scenario import Result, Tell
from tests.campaign.server import Server
from tests.support.consistency import assert_consistent

T = TypeVar("T")
WAYS = ("close", "reset", "half", "hole")
TIMES = {
    "created_at",
    "due_at",
    "started_at",
    "finished_at",
    "expires_at",
    "token",
    "entry",
    "attempt",
    "worker",
    "request",
}
COUNTED = ("enqueued", "completed", "dead", "cancelled", "revived", "retried", "snoozed")
NO_FUNCTIONS = ("--rename-command", "FCALL", "", "--rename-command", "FUNCTION", "")


def run(result: Result, folder: Path, seconds: float, tell: Tell) -> None:
    """The sweep, as far as it gets in the time; the variant is a server, or ``scripts`` for one without functions."""
    scripts = result.variant == "scripts"
    end, sweeps = time.monotonic() + seconds, {}
    with Server("valkey" if scripts else result.variant, folder, arguments=NO_FUNCTIONS if scripts else ()) as server:
        for name, session in (("client", client_session), ("worker", worker_session)):
            for way in WAYS:
                swept, verbs, whole = sweep(result, server, session, way, end)
                sweeps[f"{name} {way}"] = swept
                result.require(whole, f"VACUOUS: the time was too short for the sweep of {name} {way}")
                result.faults["lost reply"] = result.faults.get("lost reply", 0) + swept
                tell(f"{name} {way}: {swept} commands lost ({len(verbs)} kinds), {len(result.problems)} problems")
    result.figures = sweeps


def sweep(
    result: Result, server: Server, session: Callable[[str, str], Any], way: str, end: float
) -> tuple[int, set[bytes], bool]:
    """Lose each reply once; answers how many were lost, of which commands, and whether these were all."""
    number, verbs, expected = 0, set(), None
    with Proxy(server.port) as proxy, server.connect() as direct:
        proxy.how = way
        while time.monotonic() < end:
            namespace = f"lost-{secrets.token_hex(5)}"
            proxy.commands.clear()
            proxy.lost, proxy.lose = None, None if expected is None else number
            try:
                told = session(proxy.url, namespace)
                found = (told, state_of(direct, namespace))
                result.submitted += len([name for name in found[1] if ":task:" in name])
                if expected is None:
                    expected = found
                elif proxy.lost is None:
                    return number, verbs, True  # the session has no such command: all were lost once
                elif found != expected:
                    result.problems.append(
                        f"DIFFERS after the loss of #{number} {proxy.lost!r} ({way}): {_difference(expected, found)}"
                    )
                assert_consistent(direct, namespace)
            except (RedschedError, AssertionError) as error:
                result.problems.append(f"BROKEN by the loss of #{number} {proxy.lost!r} ({way}): {error!r}")
            if proxy.lost is not None:
                verbs.add(proxy.lost)
                number += 1
            direct.flushall()
            proxy.cut()
    return number, verbs, False


def _difference(expected: Any, found: Any) -> str:
    if expected[0] != found[0]:
        return f"told {found[0]}, not {expected[0]}"
    names = expected[1].keys() | found[1].keys()
    return "; ".join(
        f"{name}: {found[1].get(name)} not {expected[1].get(name)}"
        for name in sorted(names)
        if expected[1].get(name) != found[1].get(name)
    )


def state_of(connection: redis.Redis, namespace: str) -> dict[str, Any]:
    """Every key that matters, without times and attempts."""
    found: dict[str, Any] = {}
    for key in connection.scan_iter(match=f"{{{namespace}}}:*", count=1_000):
        name = key.partition(":")[2]
        kind, _, rest = name.partition(":")
        if kind == "task":
            found[":" + name] = {k: v for k, v in connection.hgetall(key).items() if k not in TIMES}
        elif kind in ("due", "held", "running", "finished", "dead", "quarantine"):
            found[name] = sorted(connection.zrange(key, 0, -1))
        elif kind == "ready" and connection.xlen(key):
            found[name] = sorted(fields["id"] for _, fields in connection.xrange(key))
        elif kind == "outcome":
            found[name] = sorted(field for field in connection.hkeys(key) if not field.startswith("attempt:"))
        elif kind == "stats" and ":" not in rest:
            found[name] = {k: v for k, v in connection.hgetall(key).items() if k in COUNTED}
    return found


def again(call: Callable[[], T]) -> T:
    """What a caller does who had no definite answer: the same call again."""
    for _ in range(5):
        with suppress(RedschedError):
            return call()
    return call()


def client_session(url: str, namespace: str) -> dict[str, Any]:
    """Every verb once, as a client and a worker in another language would call them. Answers what they were told."""
    settings = Settings(redis_url=url, namespace=namespace, redis_timeout_ms=250, retry_for_ms=5_000)
    keys, transport = queue_keys(Cell(namespace), "default"), Transport(settings, "worker")

    def settle(started: Any, outcome: str, *words: Any) -> str:
        end = Settlement("default", started.id, started.token, outcome, *words)
        word: str = transport.send(protocol.settle(keys.cell, [end]))[0]
        return word

    with Client(settings=settings) as client:
        again(client.install)
        tasks = [
            Task(type="t", id=name, payload=[name], max_attempts=1 if name == "dies" else 5)
            for name in ("done", "dies", "later", "naps", "back")
        ]
        made = client.enqueue_many(tasks)
        hour: dict[str, Any] = {"id": "cancelled", "delay": "1h"}
        client.enqueue("t", 1, **hour)
        client.enqueue("t", 2, **hour | {"id": "moved"})
        told: dict[str, Any] = {"enqueue": [answer.status for answer in made]}
        told["cancel"] = client.cancel("cancelled")
        told["reschedule"] = client.reschedule("moved", delay="2h")
        told["update"] = client.update("moved", priority="high")
        claimed = transport.send(protocol.claim([keys], consumer="c", count=10, lease_ms=30_000)).tasks
        runs = {started.id: started for started in claimed}
        told["claimed"] = sorted(runs)
        told["renew"] = transport.send(protocol.renew(keys.cell, claimed, lease_ms=30_000))
        told["progress"] = transport.send(protocol.progress(keys, "done", runs["done"].token, {"at": 1}))
        told["requested"] = client.cancel("back")
        ends = {
            "done": ("complete", b"1"),
            "dies": ("retry", "", "bang"),
            "later": ("retry", 3_600_000, "no"),
            "naps": ("snooze", 3_600_000),
            "back": ("return", ""),
        }
        words = {name: settle(runs[name], *end) for name, end in ends.items()}
        told["settled"] = {name: word for name, word in words.items() if word != "already"}
        revived = again(lambda: client.revive("dies", delay="1h"))
        assert revived["dies"] in ("revived", "scheduled")
        client.enqueue("t", 3, id="rung")
        bells = again(lambda: transport.steps("bell", _bell(keys.ready)))
        told["rung"] = settle(_claim(transport, keys, bells), "complete")
        transport.send(protocol.promote([keys], mover="m"))
        transport.send(protocol.reap([keys]))
        transport.send(protocol.sweep([keys]))
        told["show"] = client.show("done")["done"] is not None
        told["queues"] = again(client.queues)
        transport.send(protocol.leave([keys], "c"))
    transport.close()
    # an answer that was lost is told as "already" when it is asked for again: both say that it was done
    told.pop("settled")
    told.pop("rung")
    return told


def _bell(stream: str) -> Generator[Any, Any, list[Bell]]:
    reply = yield ("XREADGROUP", "GROUP", GROUP, "c", "COUNT", 1, "BLOCK", 50, "STREAMS", stream, ">")
    return [
        Bell("default", f"normal/{at.decode()}", fields[1].decode()) for _, found in reply or () for at, fields in found
    ]


def _claim(transport: Transport, keys: Any, bells: list[Bell]) -> Any:
    """The entry that the bell was given, or that a lost reply left in the pending list, for a mover to find."""
    for _ in range(200):
        found = transport.send(protocol.claim([keys], consumer="c", count=1, lease_ms=30_000, bells=bells)).tasks
        if found:
            return found[0]
        bells = []
        transport.send(protocol.promote([keys], mover="m"))
        time.sleep(0.02)
    raise AssertionError("an entry whose reply was lost did not come back within 4 s")


def worker_session(url: str, namespace: str) -> dict[str, int]:
    """A worker runs a handful of tasks; answers how often it ran each."""
    runs: dict[str, int] = {}
    settings = Settings(redis_url=url, namespace=namespace, redis_timeout_ms=250, retry_for_ms=2_000, concurrency=4)
    with Client(settings=settings) as client:
        client.enqueue_many([Task(type="t", id=f"t{n}", delay=("0s", "0s", "30ms")[n % 3]) for n in range(9)])

        async def work() -> None:
            app = App()

            @app.task("t")
            async def t(ctx: Context) -> None:
                runs[ctx.id] = runs.get(ctx.id, 0) + 1
                await asyncio.sleep(0.001)

            worker = Worker(app, settings)
            task = asyncio.create_task(worker.run())
            deadline = time.monotonic() + 20
            while len(runs) < 9 and time.monotonic() < deadline and not task.done():
                await asyncio.sleep(0.002)
            worker.stop()
            await task

        asyncio.run(work())
    return runs
