"""Drives a conversation: a generator that yields calls and gets their answers. The two differ only by ``await``."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from redsched.transport import AsyncTransport, Transport
from redsched.wire.protocol import Call

T = TypeVar("T")


def talk(transport: Transport, steps: Generator[Call[Any], Any, T]) -> T:
    """What the conversation returns."""
    reply: Any = None
    while True:
        try:
            call = steps.send(reply)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        reply = transport.send(call)


async def talk_async(transport: AsyncTransport, steps: Generator[Call[Any], Any, T]) -> T:
    """What the conversation returns."""
    reply: Any = None
    while True:
        try:
            call = steps.send(reply)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        reply = await transport.send(call)
