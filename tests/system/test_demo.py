"""The demo as a user runs it, and the one thing it must not do: call a lost task anything else."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.support.processes import Redsched, alive
from tests.support.servers import Store, connect

SUMMARY = re.compile(
    r"demo: submitted (\d+), completed (\d+), dead 1, cancelled 2, skipped 3, lost 0, "
    r"lateness p50 [\d.]+ ms p99 [\d.]+ ms"
)


def url_of(demo: Redsched) -> str:
    found = re.search(r"redis\S*://\S+", demo.wait_for("redis   "))
    assert found is not None
    return found[0]


def test_the_demo_accounts_for_every_task_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with Redsched("demo", "--seconds", "6", env={"TMPDIR": str(tmp_path)}) as demo:
        demo.wait_for("run     otp-1")
        family = demo.family()
        assert demo.wait() == 0, demo.said()
    found = SUMMARY.fullmatch(demo.lines[-1])
    assert found, demo.said()
    assert int(found[1]) == int(found[2]) + 6 > 80
    text = "\n".join(demo.lines)
    for told in (
        "201 otp.send: due now",
        "200 otp.send: the same id once more",
        "in one call",
        "200 the customer has paid",
        "sms.flaky: failed, runs again",
        "sms.flaky: completed (attempt 3)",
        "failed for the last time: dead (attempt 3)",
        "receipt.mail: completed",
        "run     raw-1",
        "merchant.alert: completed",
        "payouts.digest: completed",
        "it was not to run where there is payment.captured:order-1, and there was",
    ):
        assert told in text, f"{told!r} is not in\n{text}"
    assert demo.errors == []
    assert "\x1b" not in text
    assert alive(family) == set()
    assert list(tmp_path.iterdir()) == []


def test_a_task_that_vanishes_is_lost_and_named(tmp_path: Path) -> None:
    with Redsched("demo", "--seconds", "6", env={"TMPDIR": str(tmp_path)}) as demo:
        with connect(url_of(demo)) as redis:
            demo.wait_for("POST    otp-s...")
            with redis.pipeline() as both:
                both.delete("{demo}:task:notifications:reminder-12")
                both.zrem("{demo}:due:notifications", "reminder-12")
                assert both.execute() == [1, 1]
        assert demo.wait() == 1, demo.said()
    assert "lost 1" in demo.lines[-1]
    assert any(line.startswith("lost: reminder-12: ") for line in demo.lines)


@pytest.mark.parametrize("real_store", ["redis", "valkey-scripts"], indirect=True)
def test_on_the_users_redis_it_uses_a_scratch_namespace_and_removes_it(real_store: Store) -> None:
    assert real_store.url
    real_store.redis.set(real_store.key("mine"), "1")
    before = {key for key in real_store.redis.scan_iter(match="*demo-*")}
    with Redsched("demo", "--seconds", "4", "-o", "json", env={"REDSCHED_REDIS_URL": real_store.url}) as demo:
        assert demo.wait() == 0, demo.said()
    account = json.loads("\n".join(demo.lines))
    assert account["lost"] == {}
    assert account["submitted"] == account["completed"] + 6
    assert 0 <= account["lateness_p50_ms"] <= account["lateness_p99_ms"]
    assert real_store.redis.get(real_store.key("mine")) == "1"
    assert {key for key in real_store.redis.scan_iter(match="*demo-*")} <= before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    with Redsched("demo", "--seconds", "60", env={"TMPDIR": str(tmp_path)}) as demo:
        demo.wait_for("run     otp-1")
        family = demo.family()
        demo.send(number)
        assert demo.wait() == 130, demo.said()
    assert alive(family) == set()
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_dies_ends_the_demo_with_its_last_lines(tmp_path: Path) -> None:
    with Redsched("demo", "--seconds", "60", env={"TMPDIR": str(tmp_path)}) as demo:
        pid = re.search(r"process (\d+)", demo.wait_for("worker  process"))
        assert pid is not None
        demo.wait_for("POST    otp-s...")
        os.kill(int(pid[1]), signal.SIGKILL)
        assert demo.wait() == 1
    assert "The worker ended with exit code -9" in "\n".join(demo.errors)
    assert list(tmp_path.iterdir()) == []


def test_it_goes_on_serving_when_asked_to(tmp_path: Path) -> None:
    with Redsched("demo", "--seconds", "4", "--keep", env={"TMPDIR": str(tmp_path)}) as demo:
        demo.wait_for("Still serving: ")
        family = demo.family()
        assert len(alive(family)) >= 4
        demo.send(signal.SIGTERM)
        assert demo.wait() == 0, demo.said()
    assert alive(family) == set()
