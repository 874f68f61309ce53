"""``redsched torture`` as a user runs it: on a Redis of their own, in a namespace that is gone afterwards."""

from __future__ import annotations

import json

from tests.support.processes import Redsched
from tests.support.servers import Store


def test_it_keeps_every_promise_and_leaves_nothing_behind(valkey_store: Store) -> None:
    assert valkey_store.url is not None
    valkey_store.redis.set("{somebody}:else", "1")

    with Redsched("-r", valkey_store.url, "-o", "json", "torture", "--minutes", "0.06", "--seed", "7") as process:
        process.wait(110)
        told = json.loads("\n".join(process.lines))

    kinds = {violation["rule"] for violation in told["violations"]}
    assert kinds <= {"STUCK"}, process.said()  # a busy machine may not drain in time
    assert told["submits acknowledged"] != "0"
    assert valkey_store.redis.get("{somebody}:else") == "1"
    assert list(valkey_store.redis.scan_iter(match="{torture-*", count=1_000)) == []
    valkey_store.redis.delete("{somebody}:else")
