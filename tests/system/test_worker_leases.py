"""What a worker tells Redis of what it holds, and when: seen by a proxy between the two."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from redsched import App, AsyncClient, Settings, Task, Worker
from tests.campaign.proxy import Proxy
from tests.support.servers import Store

Act = Callable[[App, AsyncClient, Proxy], Awaitable[None]]


def over(store: Store, act: Act, *, concurrency: int = 4) -> list[bytes]:
    """Run a worker behind a proxy while ``act`` uses a client beside it; its calls of renew."""

    async def main() -> None:
        app = App("leases")
        settings = Settings(redis_url=proxy.url, namespace=store.namespace, concurrency=concurrency, lease_ms=10_000)
        worker = Worker(app, settings)
        async with AsyncClient(store.url, namespace=store.namespace) as client:
            acts = asyncio.ensure_future(act(app, client, proxy))
            await asyncio.sleep(0)  # its handlers are registered
            runs = asyncio.create_task(worker.run())
            async with asyncio.timeout(60):
                await acts
            worker.stop()
            assert await runs == 0

    assert store.url is not None
    with Proxy(urlsplit(store.url).port or 0) as proxy:
        asyncio.run(main())
        return [command for command in proxy.commands if b"rs1_renew" in command]


async def ended(client: AsyncClient, count: int) -> None:
    """Wait until so many tasks are finished."""
    while (await client.stats(["default"]))[0].finished < count:
        await asyncio.sleep(0.02)


def test_a_handler_that_lasts_is_told_of_once_and_one_that_does_not_is_not(valkey_store: Store) -> None:
    seen: dict[str, object] = {}

    async def act(app: App, client: AsyncClient, proxy: Proxy) -> None:
        @app.task("brief")
        async def brief() -> None:
            """Ends at once."""

        @app.task("lasts")
        async def lasts() -> None:
            await asyncio.sleep(0.4)

        await client.enqueue_many([Task(type="brief", id=f"brief-{n}") for n in range(500)])
        await ended(client, 500)
        seen["brief"] = [command for command in proxy.commands if b"rs1_renew" in command]
        await client.enqueue("lasts", id="lasting")
        key = f"{{{valkey_store.namespace}}}:task:default:lasting"
        while not (found := valkey_store.redis.hmget(key, "begun", "token"))[0]:
            await asyncio.sleep(0.01)
        seen["lasts"] = found
        await ended(client, 501)

    told = over(valkey_store, act)

    begun, token = seen["lasts"]  # type: ignore[misc]
    assert begun == token
    assert len(told) == 1 + len(seen["brief"])  # type: ignore[arg-type]


def test_a_worker_far_from_its_redis_runs_its_tasks(valkey_store: Store) -> None:
    async def act(app: App, client: AsyncClient, proxy: Proxy) -> None:
        @app.task("brief")
        async def brief() -> None:
            """Ends at once."""

        proxy.reply_latency_s = 0.4  # every answer is older than what a worker takes for fresh
        await client.enqueue_many([Task(type="brief") for _ in range(6)])
        await ended(client, 6)
        proxy.reply_latency_s = 0.0

    assert 1 <= len(over(valkey_store, act, concurrency=1)) <= 60


def test_what_waits_while_redis_is_away_is_asked_about_before_it_begins(valkey_store: Store) -> None:
    begun: list[str] = []

    async def act(app: App, client: AsyncClient, proxy: Proxy) -> None:
        release = asyncio.Event()

        @app.task("first")
        async def first() -> None:
            begun.append("first")
            await release.wait()

        @app.task("second")
        async def second(n: int) -> None:
            begun.append(f"second {n}")

        @app.task("brief")
        async def brief() -> None:
            """Ends at once, so that the worker holds some ahead."""

        tasks = [Task(type="brief") for _ in range(600)] + [Task(type="first", id=f"first-{n}") for n in range(4)]
        tasks += [Task(type="second", id=f"second-{n}", payload=n) for n in range(4)]
        await client.enqueue_many(tasks)
        while [(await client.task(f"second-{n}")).state for n in range(4)] != ["running"] * 4:
            await asyncio.sleep(0.02)
        proxy.swallow_requests = True
        await asyncio.sleep(0.3)
        release.set()
        assert await client.cancel([f"second-{n}" for n in range(3)])
        await asyncio.sleep(0.3)
        assert begun == ["first"] * 4  # nobody knows what is true of the others
        proxy.heal()
        await ended(client, 608)

    over(valkey_store, act)

    assert begun == [*["first"] * 4, "second 3"]
