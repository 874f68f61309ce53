"""version: which build of the contract is loaded."""

from __future__ import annotations

from redsched.wire import scripts
from tests.support.lua_queue import Queue


def test_the_build_and_the_digest_of_the_loaded_tree_are_told(queue: Queue) -> None:
    assert queue.run("version", [], []) == [scripts.BUILD, scripts.digest().encode()]
