"""On which servers and under which builds of the Lua the cases of tests/lua run: not each on all of them.

Each case runs on each server and under each build: with scripts on one server, with functions on the others. Which
server that one is depends on the case alone, so that each has the scripts in a third of the cases.
``REDSCHED_TEST_EVERY_BUILD=1`` runs every case on every pair.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from zlib import crc32

import pytest

SERVERS, BUILDS = ("valkey", "redis", "redis8"), ("functions", "scripts")
EVERY = frozenset(f"{server}-{build}" for server in SERVERS for build in BUILDS)
_PAIR = re.compile(r"\b(?:valkey|redis|redis8|fakeredis)-(?:functions|scripts)\b")  # in the name of a case
_WHOLE = "tests/lua/test_full.py"  # where memory is full the builds differ


def left_out(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Those of the tests that need not run. A case that was asked for by its full name is none of them."""
    if os.environ.get("REDSCHED_TEST_EVERY_BUILD"):
        return []
    cases: dict[str, dict[str, pytest.Item]] = defaultdict(dict)
    for item in items:
        if item.nodeid.startswith("tests/lua/") and (pair := _PAIR.search(item.nodeid)):
            cases[item.nodeid.replace(pair[0], "", 1)][pair[0]] = item
    found, on_fakeredis = [], set[str]()
    for case, pairs in cases.items():
        kept = chosen(case) if pairs.keys() >= EVERY else set(pairs)
        test = case.partition("[")[0]
        if test not in on_fakeredis:  # which is a smoke target: the first case of each test
            on_fakeredis.add(test)
            kept.add(f"fakeredis-{BUILDS[crc32(test.encode()) % 2]}")
        found += [item for pair, item in pairs.items() if pair not in kept]
    return found


def chosen(case: str) -> set[str]:
    """The pairs of a real server and a build on which a case runs. Functions on Valkey are always among them."""
    if case.startswith(_WHOLE):
        return set(EVERY)
    scripts = SERVERS[crc32(case.encode()) % len(SERVERS)]
    return {"valkey-functions", f"{scripts}-scripts"} | {
        f"{server}-functions" for server in SERVERS if server != scripts
    }
