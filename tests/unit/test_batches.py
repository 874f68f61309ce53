"""Batches: who waits for whom, and the places that they take."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from redsched.engine.batch import Batch
from redsched.engine.worker.batches import Batches
from redsched.testing import make_context

T = TypeVar("T")
LINGER_S = 0.5


class Watched:
    """Batches whose handler notes the payloads that it gets."""

    def __init__(self, size: int, linger_s: float = LINGER_S) -> None:
        self.seen: list[list[Any]] = []
        self.grown = 0
        self.batch = Batch(self._handle, True, size, linger_s)
        self.batches = Batches(ThreadPoolExecutor(1), contextvars.copy_context, lambda _: None, self._grow)

    async def _handle(self, items: list[tuple[Any, Any]]) -> list[Any]:
        self.seen.append([payload for _, payload in items])
        return self.seen[-1]

    def _grow(self) -> None:
        self.grown += 1

    def join(self, payload: Any) -> asyncio.Task[Any]:
        return asyncio.create_task(self.batches.join(make_context(), self.batch, payload))


def run(main: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(main, 30))


def test_a_batch_takes_one_place_while_it_collects_and_none_when_it_has_ended() -> None:
    async def main() -> None:
        watched = Watched(3)
        first, second = watched.join("a"), watched.join("b")
        await asyncio.sleep(0)
        assert (watched.batches.extra, watched.grown) == (1, 2)
        third = watched.join("c")
        assert await asyncio.gather(first, second, third) == ["a", "b", "c"]
        assert (watched.seen, watched.batches.extra, watched.batches.tasks) == ([["a", "b", "c"]], 0, set())

    run(main())


def test_one_that_is_stopped_while_it_waits_leaves_and_the_next_batch_has_its_own_time() -> None:
    async def main() -> None:
        watched = Watched(3)
        alone = watched.join("a")
        await asyncio.sleep(0)
        alone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await alone
        assert watched.batches.extra == 0

        first, second = watched.join("b"), watched.join("c")
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "c"
        assert (watched.seen, watched.batches.extra) == ([["c"]], 0)

    run(main())


def test_when_all_are_stopped_their_batch_has_ended_before_they_do() -> None:
    async def main() -> None:
        watched, notes = Watched(2), list[str]()

        async def slow(items: list[tuple[Any, Any]]) -> None:
            try:
                await asyncio.sleep(3_600)
            finally:
                await asyncio.sleep(0.01)
                notes.append("cleaned")

        watched.batch = Batch(slow, True, 2, LINGER_S)
        first, second = watched.join("a"), watched.join("b")
        await asyncio.sleep(0.01)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert notes == []
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert notes == ["cleaned"]

    run(main())
