"""Standing: who acts, and what is known of the server's clock."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from redsched.engine.mover.standing import JUMP, SLOW, STANDBY, Standing

SERVER = 1_800_000_000_000  # ms


def test_those_who_wait_for_it_hear_of_each_time_that_it_takes_over_and_of_nothing_else() -> None:
    standing, taken = Standing(), list[str]()
    standing.when_it_takes_over(lambda: taken.append("taken"))

    for acting in (True, False, False, True, True, False, True):
        standing.hear_acting(acting)

    assert taken == ["taken"] * 2
    assert standing.acting


def test_one_that_stands_by_leaves_the_acting_one_a_moment() -> None:
    assert (Standing(acting=True).patience, Standing(acting=False).patience) == (0.0, STANDBY)


def test_whoever_asks_whether_it_acts_waits_for_the_first_answer_but_not_for_ever() -> None:
    async def main() -> None:
        standing = Standing()
        await standing.wait_for_answer(0.001)  # no answer comes
        asking = asyncio.create_task(standing.wait_for_answer(3_600))
        await asyncio.sleep(0)
        assert not asking.done()
        standing.hear_acting(False)
        await asking

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_moment_of_the_servers_clock_is_one_of_ours_as_the_last_answer_says() -> None:
    standing = Standing()
    for server in (SERVER, SERVER + 500):
        asked = time.monotonic()
        standing.hear_clock(server, asked)
        assert asked <= standing.to_local(server) <= time.monotonic()


def test_a_jump_of_the_servers_clock_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "redsched.mover")
    standing = Standing()
    ahead = SERVER + round(JUMP * 1_000) + 500

    heard = [standing.hear_clock(server, time.monotonic()) for server in (SERVER, ahead, ahead)]

    assert heard == [False, True, False]
    assert [record.message for record in caplog.records] == ["clock.jumped"]


def test_an_answer_that_took_long_tells_nothing_of_the_clock_unless_it_is_the_first() -> None:
    standing = Standing()
    long_ago = time.monotonic() - SLOW

    assert not standing.hear_clock(SERVER, long_ago)
    before = standing.to_local(SERVER)
    assert not standing.hear_clock(SERVER + 60_000, long_ago)

    assert standing.to_local(SERVER) == before


def test_the_sleep_until_a_moment_counts_from_when_the_server_looked_at_its_clock() -> None:
    now = time.monotonic()
    acting, standing_by = Standing(acting=True), Standing(acting=False)

    sleeps = [standing.seconds_until(SERVER + 60_000, now=SERVER, at=now - 20) for standing in (acting, standing_by)]

    assert 30 < sleeps[0] <= 40 < sleeps[1] <= 40 + STANDBY
    assert acting.seconds_until(SERVER - 1_000, now=SERVER, at=now) == 0.0
