"""One request that is to be carried out once: to reserve it, and to store its answer."""

from __future__ import annotations

from tests.support.lua_queue import Queue

LAPSE, KEPT = 60_000, 3_000_000


def key(queue: Queue) -> str:
    """The key of one request."""
    return queue.key("answer:digest")


def reserve(queue: Queue, body: str = "body") -> list[bytes]:
    """What a request learns."""
    found: list[bytes] = queue.run("reserve", [key(queue)], [body, LAPSE])
    return found


def answer(queue: Queue, status: int | str = 201, body: str = "body") -> bytes:
    """The word for a stored answer."""
    word: bytes = queue.run("answer", [key(queue)], [body, status, "/tasks/a", '{"id":"a"}', KEPT])
    return word
