"""A verb that stops before one of its writes, as where a key that it comes to cannot be written; on every server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import redis

from redsched.testing.clock import at_time
from redsched.wire import scripts
from redsched.wire.call import Call
from tests.support.lua_builds import HALT
from tests.support.lua_queue import Queue

MOST_WRITES = 60


class Halted(Queue):
    """A queue on which a call stopped half-way: an index may name what is elsewhere by now, until the sweep."""

    def check(self) -> None:
        """An index may be wrong here, so that nothing is checked."""


def stop(queue: Queue, call: Call[Any], at: int) -> bool:
    """Make the call, which fails before its ``at``-th write; answers whether it has as many writes."""
    text = HALT.replace("{at = 0", f"{{at = {at}", 1) + scripts.script(call.verb)
    words = at_time(call, queue.now).args
    try:
        queue.raw.execute_command("EVAL", text, len(call.keys), *call.keys, *words)
    except redis.ResponseError as error:
        assert "RS_HALT" in str(error) or queue.server == "fakeredis", error
        return True
    return False


def each_stop(queue: Queue, scene: Callable[[Queue], Call[Any]]) -> Iterator[tuple[Halted, Call[Any]]]:
    """For each write of the call to which a scene leads, in a namespace of its own: the queue and the call, once it has
    stopped before that write."""
    for at in range(1, MOST_WRITES):
        here = Halted(queue.server, queue.build, queue.raw, queue.redis, f"{queue.namespace}{at}", now=queue.now)
        here.redis.hset(here.key("meta"), "virtual_clock", 1)
        try:
            call = scene(here)
            if not stop(here, call, at):
                assert at > 1, "the call writes nothing"
                return
            yield here, call
        finally:
            here.redis.delete(*here.redis.scan_iter(match=here.key("*"), count=1_000))
    raise AssertionError("the call writes without end")
