"""A worker that cannot settle and claim in one call goes on with two."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from redsched import App, AsyncClient, Context, Settings, Task, Worker
from redsched.engine.worker import settlements
from redsched.wire import scripts
from tests.support.servers import connect, start_redis7, start_valkey

TASKS = 200
OLDER = scripts.BUILD - 1
OTHERS = [f"+fcall|{scripts.PREFIX}{verb}" for verb in scripts.verbs() if verb != "settle_and_claim"]


def older_library() -> str:
    """The library of the build before, which does not have the verb."""
    registered = scripts._registered("settle_and_claim")
    build = f"local EVALSHA, BUILD, DIGEST = false, {scripts.BUILD}, "
    assert (scripts.library().count(registered), scripts.library().count(build)) == (1, 1)
    older = build.replace(str(scripts.BUILD), str(OLDER))
    return scripts.library().replace(registered, "").replace(build, older)


async def run_all(settings: Settings) -> tuple[Counter[str], Counter[str]]:
    """Enqueue tasks and run a worker until they have ended: how often each handler started, and each verb was sent."""
    app, started, sent = App("older"), Counter[str](), Counter[str]()

    @app.task("note")
    async def note(ctx: Context) -> None:
        started[ctx.id] += 1

    async with AsyncClient(settings=settings) as client:
        await client.enqueue_many([Task(type="note", id=f"t{n}") for n in range(TASKS)])
        send = client.transport.send

        async def counted(call: Any, **options: Any) -> Any:
            sent[call.verb] += 1
            return await send(call, **options)

        client.transport.send = counted  # type: ignore[method-assign]
        worker = Worker(app, settings, client=client)
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(120):
            while (await client.stats(["default"]))[0].finished < TASKS:
                await asyncio.sleep(0.05)
        worker.stop()
        assert await running == 0
    return started, sent


@pytest.mark.parametrize("start", [start_valkey, start_redis7])
@pytest.mark.parametrize(
    ("library", "rules"),
    [
        pytest.param(older_library, ("-function",), id="an older library, which it may not replace"),
        pytest.param(scripts.library, ("-fcall", *OTHERS), id="a right that it has not"),
    ],
)
def test_each_task_runs_once_with_the_two_verbs(
    start: Callable[[Path], Any],
    library: Callable[[], str],
    rules: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settlements, "APART_S", 3_600.0)
    server = start(tmp_path)
    try:
        with connect(server.url) as connection:
            connection.function_load(library())
            before = connection.fcall("rs1_version", 0)
            connection.execute_command("ACL", "SETUSER", "u", "on", ">secret", "~*", "&*", "+@all", *rules)
            url = server.url.replace("redis://", "redis://u:secret@")

            started, sent = asyncio.run(run_all(Settings(redis_url=url, lease_ms=120_000)))

            assert connection.fcall("rs1_version", 0) == before
    finally:
        server.stop()
    assert started == Counter(f"t{n}" for n in range(TASKS))
    assert sent["settle_and_claim"] == 1, "refused once, and left for a minute"
    assert min(sent["settle"], sent["claim"]) > 0
