"""Payloads that are not JSON, as a foreign producer writes them, at the handler."""

from __future__ import annotations

import asyncio
from typing import Any

from redsched import App, Context
from redsched.engine.worker import Worker
from redsched.settings import Settings
from tests.support.servers import Store

app = App("payloads")
seen: list[Any] = []


@app.task("import")
async def take(body: bytes, context: Context) -> None:
    """Remember what came."""
    seen.append((body, context.content_type))


@app.task("text")
async def read(body: str) -> None:
    """Would be given bytes."""
    seen.append(body)


def test_a_payload_that_is_not_json_reaches_the_handler_as_its_bytes(real_store: Store) -> None:
    seen.clear()
    for task_id, type_, kind, payload in (
        ("xml", "import", "application/xml", b"<order/>"),
        ("binary", "import", "image/png", b"\x89PNG\xff"),
        ("braces", "import", "text/plain", b'{"a": 1}'),
        ("text", "text", "text/plain", b"hello"),
    ):
        fields = {"type": type_, "payload": payload, "content_type": kind}
        real_store.redis.hset(real_store.key(f"task:default:{task_id}"), mapping=fields)
        real_store.redis.zadd(real_store.key("due:default"), {task_id: 0})
    assert real_store.url
    settings = Settings(redis_url=real_store.url, namespace=real_store.namespace)

    asyncio.run(asyncio.wait_for(Worker(app, settings, burst=True).run(), 60))

    assert sorted(seen) == [
        (b"<order/>", "application/xml"),
        (b'{"a": 1}', "text/plain"),
        (b"\x89PNG\xff", "image/png"),
    ]
    with real_store.client() as client:
        found = {name: client.task(name) for name in ("xml", "binary", "braces", "text")}
    assert {name: (task.state, task.reason) for name, task in found.items()} == {
        "xml": ("completed", None),
        "binary": ("completed", None),
        "braces": ("completed", None),
        "text": ("dead", "payload"),
    }
