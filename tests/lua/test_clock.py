"""clock: the server's time in whole milliseconds, and numbers as text."""

from __future__ import annotations

import pytest

from redsched.wire import scripts
from tests.support.lua_queue import Queue

# the module alone, on a server whose TIME is told
CLOCK = f"""
local redis = {{call = function() return {{'1800000000', ARGV[1]}} end}}
local clock = {{}}
do
{scripts.text("lib/core/clock.lua")}
end
local now = clock.now('', '0')
return {{clock.text(now), clock.text(now + 1), string.format('%.0f', clock.call.at), string.format('%.3f', now)}}
"""


@pytest.mark.parametrize("microseconds", ["0", "7", "999", "1000", "45678", "123456", "999999"])
def test_a_time_is_cut_to_its_millisecond(queue: Queue, microseconds: str) -> None:
    ms = 1_800_000_000_000 + int(microseconds) // 1000

    told = queue.redis.eval(CLOCK, 0, microseconds)

    assert told == [str(ms), str(ms + 1), str(1_800_000_000_000_000 + int(microseconds)), f"{ms}.000"]
