"""Connections for tests of the Lua: to each server of this pytest process, with both builds loaded."""

from __future__ import annotations

from typing import Any

import fakeredis
import pytest
import redis

from redsched.wire import scripts
from tests.support.servers import FIXTURES

OPTIONS: list[dict[str, Any]] = [
    {"protocol": 2},
    {"protocol": 2, "decode_responses": True, "encoding_errors": "backslashreplace"},  # ids need not be text
]
_loaded: dict[str, tuple[redis.Redis, redis.Redis]] = {}


def connections(request: pytest.FixtureRequest, server: str) -> tuple[redis.Redis, redis.Redis]:
    """Two connections to a server of this pytest process, on which both builds are loaded."""
    again = server == "fakeredis" and getattr(request.node, "execution_count", 1) > 1
    if server not in _loaded or again:
        if server == "fakeredis":
            fake = fakeredis.FakeServer(version=(7,)) if again else request.getfixturevalue("fake_server")
            made = [fakeredis.FakeRedis(server=fake, **options) for options in OPTIONS]
        else:
            url = request.getfixturevalue(FIXTURES[server]).url
            made = [redis.Redis.from_url(url, **options) for options in OPTIONS]
        _loaded[server] = (made[0], made[1])
    raw, text = _loaded[server]
    load(raw)
    return raw, text


def load(connection: redis.Redis) -> None:
    """Both builds of the Lua, where they are not there yet."""
    try:
        found = connection.execute_command("FCALL", scripts.PREFIX + "version", 0)
    except redis.ResponseError:
        found = None
    if not found or found[1].decode() != scripts.digest():
        connection.execute_command("FUNCTION", "LOAD", "REPLACE", scripts.library())
    hashes = [scripts.sha1(verb) for verb in scripts.verbs()]
    for verb, there in zip(scripts.verbs(), connection.script_exists(*hashes), strict=True):
        if not there:
            connection.script_load(scripts.script(verb))
