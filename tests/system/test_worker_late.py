"""A worker that ends while Redis is away keeps its answers, and the next one tells them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from redsched import App, AsyncClient, Settings, Worker
from redsched.embedded import EmbeddedServer
from redsched.engine.worker.spool import Spool

app = App("late")
running = asyncio.Event()
ends = asyncio.Event()


@app.task("wait")
async def wait() -> dict[str, int]:
    running.set()
    await ends.wait()
    return {"n": 7}


def test_an_answer_that_redis_could_not_take_is_told_by_the_next_worker(tmp_path: Path) -> None:
    async def main() -> None:
        with EmbeddedServer.start(tmp_path / "server", appendfsync="always") as server:
            settings = Settings(
                redis_url=server.url,
                data_dir=str(tmp_path / "data"),
                shutdown_grace_ms=2_000,
                retry_for_ms=200,
            )
            async with AsyncClient(server.url) as client:
                task = await client.enqueue("wait")
                worker = Worker(app, settings)
                runs = asyncio.create_task(worker.run())
                async with asyncio.timeout(60):
                    await running.wait()
                server.kill()
                ends.set()
                worker.stop()
                async with asyncio.timeout(60):
                    await runs
                (kept,) = (tmp_path / "data" / "spool").iterdir()
                assert kept.read_text().count("\n") == 1

                with EmbeddedServer.start(tmp_path / "other") as other:  # whose namespace has the same name
                    elsewhere = msgspec.structs.replace(settings, redis_url=other.url)
                    async with asyncio.timeout(60):
                        assert await Worker(app, elsewhere, burst=True).run() == 0
                assert kept.exists()

                server.restart()
                assert (await client.task(task.id)).state == "running"
                async with asyncio.timeout(60):
                    await Worker(app, settings, burst=True).run()

                found = await client.task(task.id)
                assert (found.state, found.result, found.attempt) == ("completed", {"n": 7}, 1)
                assert not kept.exists()

    asyncio.run(main())


@app.task("add")
async def add(a: int) -> int:
    return a + 1


@pytest.mark.parametrize("what", ["a folder in place of the file", "a file in place of the folder"])
def test_a_worker_whose_spool_cannot_be_read_works_all_the_same(tmp_path: Path, what: str) -> None:
    async def main() -> None:
        with EmbeddedServer.start(tmp_path / "server") as server:
            settings = Settings(redis_url=server.url, data_dir=str(tmp_path / "data"))
            async with AsyncClient(settings=settings) as client:
                task = await client.enqueue("add", 1)
                spool = Spool(settings)
                await spool.identify(client)
                if what == "a folder in place of the file":
                    spool.path.mkdir(parents=True)
                else:
                    (tmp_path / "data").mkdir()
                    spool.path.parent.touch()

                async with asyncio.timeout(60):
                    assert await Worker(app, settings, burst=True).run() == 0

                assert (await client.task(task.id)).result == 2

    asyncio.run(main())
