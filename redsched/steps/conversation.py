"""A conversation: a generator that yields calls, gets their answers, and returns what came of it all. No I/O."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from redsched.wire.call import Call

T = TypeVar("T")
Conversation = Generator[Call[Any], Any, T]


def next_call(steps: Conversation[T], reply: Any) -> tuple[Call[Any] | None, Any]:
    """The next call; or None and what the conversation returns, for StopIteration cannot leave a thread."""
    try:
        return steps.send(reply), None
    except StopIteration as end:
        return None, end.value
