"""Drives a conversation: a generator that yields calls and gets their answers. The two differ only by ``await``."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, TypeVar

from redsched.transport import AsyncTransport, Transport
from redsched.wire.protocol import Call

T = TypeVar("T")


def talk(transport: Transport, steps: Generator[Call[Any], Any, T]) -> T:
    """What the conversation returns."""
    reply: Any = None
    while True:
        call, found = step(steps, reply)
        if call is None:
            return found  # type: ignore[no-any-return]
        reply = transport.send(call)


async def talk_async(
    transport: AsyncTransport, steps: Generator[Call[Any], Any, T], *, in_thread: bool = False
) -> T:
    """What the conversation returns. ``in_thread``: what it works out between calls would hold up the event loop."""
    reply: Any = None
    while True:
        call, found = await asyncio.to_thread(step, steps, reply) if in_thread else step(steps, reply)
        if call is None:
            return found  # type: ignore[no-any-return]
        reply = await transport.send(call)


def step(steps: Generator[Call[Any], Any, T], reply: Any) -> tuple[Call[Any] | None, Any]:
    """The next call; or None and what the conversation returns, for StopIteration cannot leave a thread."""
    try:
        return steps.send(reply), None
    except StopIteration as end:
        return None, end.value
