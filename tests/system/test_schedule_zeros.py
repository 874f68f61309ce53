"""A start and a catch-up window of 0, put by a foreign program and over HTTP: they mean 0, on a real server."""

from __future__ import annotations

import pytest

from tests.support.api_server import ApiServer
from tests.support.schedule_clock import MINUTE, NOW, SECOND, Stage
from tests.support.servers import Store

SPEC = '{"every":[{"every":300000}],"catch_up":"all","overlap":"allow_all","catch_up_window":0,"start":0}'
FIVE = 5 * MINUTE


@pytest.mark.parametrize("raw", [True, False])
def test_a_window_of_0_makes_the_slots_that_are_on_time_and_no_others(stage: Stage, raw: bool) -> None:
    if raw:
        due, task = stage.store.key("due:default"), ("type", "t", "payload", "{}")
        stage.store.redis.fcall("rs1_put_schedule", 1, due, stage.now, "s", "", SPEC, *task)
    else:
        stage.put("5m", catch_up="all", overlap="allow_all", catch_up_window=0, start=0)
    stage.advance(FIVE)
    stage.jump(2 * FIVE + 4 * SECOND)

    stage.advance(0)

    assert stage.made() == [FIVE, 3 * FIVE]
    assert stage.counters() == {"fired": 2, "missed": 1}
    assert stage.events("slot_missed") == [f"slot_missed s reason=catch_up_window 1 n=1 slot={NOW + 2 * FIVE}"]
    assert (stage.view().state, stage.view().problem) == ("active", None)


def test_a_start_and_a_window_of_0_are_taken_over_http(valkey_store: Store) -> None:
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace) as api:
        given = {"every": "5m", "catch_up_window": 0, "task": {"type": "t"}}
        made = api.put("/v1/schedules/s", {**given, "start": 0})
        again = api.put("/v1/schedules/s", given)
        patched = api.put("/v1/schedules/s", {"start": "2030-01-01T00:00:00Z"}, method="PATCH")
        back = api.put("/v1/schedules/s", {"start": 0}, method="PATCH")
        shown = api.get("/v1/schedules/s").json["schedule"]

    told = [one.json["status"] for one in (made, again, patched, back)]
    assert told == ["created", "unchanged", "updated", "updated"]
    assert (shown["catch_up_window"], "start" in shown) == (0, False)
