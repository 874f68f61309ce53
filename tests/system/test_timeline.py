"""What queues did and what is due, from Python, the command line and over HTTP."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from redsched import Client, InvalidTask, QueueNotFound, Schedule, Task, TaskTemplate
from redsched.cli.main import main
from redsched.steps.timeline import lateness_p99
from tests.support.api_server import ApiServer
from tests.support.servers import Store


@pytest.fixture
def client(valkey_store: Store) -> Client:
    """Two queues with tasks to come, and a third that only a schedule names."""
    made = valkey_store.client()
    made.enqueue_many([Task(type=f"t{at % 2}", queue="mail", delay=f"{10 + at}m") for at in range(40)])
    made.enqueue("t", queue="sms", delay="3h")
    made.enqueue("t", queue="sms")
    made.hold("t", queue="sms")
    made.schedules.put(Schedule(id="s", every="10m", task=TaskTemplate(type="t", queue="runs")))
    made.schedules.put(Schedule(id="paused", every="10m", task=TaskTemplate(type="t", queue="runs")))
    made.schedules.pause("paused")
    return made


def run(store: Store, *arguments: str) -> tuple[int, str]:
    environment = {"REDSCHED_REDIS_URL": store.url or "", "REDSCHED_NAMESPACE": store.namespace}
    result = CliRunner().invoke(main, ["timeline", *arguments], env=environment)
    return result.exit_code, result.stdout


def test_tasks_and_runs_to_come_are_counted_by_queue(client: Client) -> None:
    found = client.timeline(types=True)

    mail, runs, sms = sorted(found.queues, key=lambda queue: queue.queue)
    assert (mail.queue, mail.to_come, mail.later, mail.types) == ("mail", 40, 0, {"t0": 20, "t1": 20})
    assert (sms.queue, sms.to_come, sms.later, sms.late) == ("sms", 0, 1, 0)
    assert (runs.queue, runs.to_come, sum(step.runs for step in runs.steps)) == ("runs", 6, 6)
    assert sum(step.counts.get("enqueued", 0) for queue in found.queues for step in queue.steps) == 43
    assert found.complete
    assert found.step_ms == 300_000
    assert {(step.at.minute % 5, step.at.second) for step in mail.steps} == {(0, 0)}
    assert [queue.queue for queue in client.timeline("mail").queues] == ["mail"]


def test_a_schedule_that_runs_very_often_is_counted_in_part(client: Client) -> None:
    client.schedules.put(Schedule(id="often", every="1s", task=TaskTemplate(type="t", queue="often")))

    found = client.timeline(past="0s", ahead="2h")

    assert not found.complete
    assert 1_000 <= next(queue.to_come for queue in found.queues if queue.queue == "often") <= 2_000


def test_many_queues_take_several_bounded_calls(client: Client) -> None:
    client.enqueue_many([Task(type="t", queue=f"q{at}", delay="10m") for at in range(250)])

    found = client.timeline(step="1m")

    assert sum(queue.to_come for queue in found.queues if queue.queue.startswith("q")) == 250


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"past": "2h"}, "past"),
        ({"step": "30s"}, "step"),
        ({"ahead": "30d", "step": "1m"}, "step"),
        ({"ahead": 5}, "ahead"),
        ({"ahead": "3y"}, "ahead"),
    ],
)
def test_a_window_that_cannot_be_told_is_refused(client: Client, given: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidTask) as refused:
        client.timeline(**given)  # type: ignore[arg-type]
    assert refused.value.field == field


def test_a_queue_that_nobody_has_seen_is_refused(valkey_store: Store, client: Client) -> None:
    with pytest.raises(QueueNotFound) as refused:
        client.timeline(["mail", "nosuch"])
    assert (refused.value.queue, str(refused.value)) == ("nosuch", "no queue 'nosuch'")
    assert [queue.to_come for queue in client.timeline("runs").queues] == [6]  # which only a schedule names
    status, _ = run(valkey_store, "nosuch")
    assert status == 3
    with ApiServer(valkey_store.url or "", valkey_store.namespace) as api:
        assert api.get("/v1/timeline?queue=nosuch").code == "404 queue_not_found"
        assert api.get("/v1/timeline?queue=runs").status == 200


def test_what_is_due_in_the_next_hour_is_one_line(valkey_store: Store, client: Client) -> None:
    status, told = run(valkey_store, "--next", "1h")

    assert (status, told) == (
        0,
        "Due in the next 1h00m: 46 tasks (mail 40, runs 6); 6 of them are runs of schedules.\n",
    )
    assert run(valkey_store, "sms", "--next", "1h") == (0, "Due in the next 1h00m: 0 tasks.\n")


def test_what_is_paused_is_named_with_its_reason_and_since_when(valkey_store: Store, client: Client) -> None:
    assert client.timeline().paused == []
    client.pause("mail", reason="provider down")
    client.pause("sms", type="t")
    client.pause_all(reason="database moves")

    found = client.timeline(["mail", "sms"])

    everything, *others = found.paused
    assert (everything.all, everything.queue, everything.reason) == (True, "*", "database moves")
    assert everything.since <= found.now
    assert [(stop.queue, stop.type, stop.reason) for stop in others] == [
        ("mail", None, "provider down"),
        ("sms", "t", ""),
    ]
    told = run(valkey_store, "--next", "1h")[1].splitlines()[1:]
    assert [line.partition(" since 2")[0] for line in told] == [
        "Everything is paused",
        "Queue mail is paused",
        "Type t of queue sms is paused",
    ]
    assert told[0].endswith("ago): database moves") and told[1].endswith("ago): provider down")
    assert told[2].endswith("ago).")
    with ApiServer(valkey_store.url or "", valkey_store.namespace) as api:
        assert [stop["reason"] for stop in api.get("/v1/timeline").json["paused"]] == [
            "database moves",
            "provider down",
            "",
        ]


def test_a_pause_of_everything_is_named_though_there_is_no_queue_yet(valkey_store: Store) -> None:
    with valkey_store.client() as client:
        client.pause_all(reason="not yet", until="2030-01-01T00:00:00Z")
        [stop] = client.timeline().paused
        assert (stop.all, stop.reason, stop.waiting) == (True, "not yet", 0)
    assert "until 2030-01-01 00:00:00.000Z" in run(valkey_store, "--next", "1h")[1]


def test_many_pauses_are_cut_short_on_the_command_line(valkey_store: Store, client: Client) -> None:
    for at in range(230):
        client.pause(f"q{at}", force=True)
        client.enqueue("t", queue=f"q{at}", delay="1h")

    assert len(client.timeline().paused) == 230
    lines = run(valkey_store, "--next", "1h")[1].splitlines()
    assert len(lines) == 12 and lines[-1] == "220 more are paused: redsched queue paused"


def test_the_chart_has_a_line_a_step_with_now_marked(valkey_store: Store, client: Client) -> None:
    status, told = run(valkey_store, "--types")

    *chart, summary, types = told.splitlines()
    assert status == 0
    assert 24 <= len(chart) <= 26
    assert sum(" >" in line for line in chart) == 1
    assert sum("#" in line for line in chart) == 0  # nothing has started
    assert sum("---" in line for line in chart) >= 8
    assert summary.startswith("Due in the next 1h00m: 46 tasks")
    assert types == "By type, estimated from a sample: t0 ~20, t1 ~20."
    found = json.loads(run(valkey_store, "-o", "json")[1])
    assert found["queues"][0]["steps"][-1].keys() == {"at", "counts", "lateness_p99_ms", "due", "runs"}


def test_the_timeline_over_http(valkey_store: Store, client: Client) -> None:
    assert valkey_store.url is not None
    with ApiServer(valkey_store.url, valkey_store.namespace) as api:
        found = api.get("/v1/timeline?queue=mail&past=0&ahead=3600000&step=10m&types=true")
        assert found.status == 200
        (mail,) = found.json["queues"]
        assert sum(step["due"] for step in mail["steps"]) == 40
        assert sum(mail["types"].values()) == 40
        assert len(api.get("/v1/timeline").json["queues"]) == 3
        for query in ("past=2h", "step=1s", "types=maybe", "ahead=x", "queue=no%20name", "from=1"):
            assert api.get(f"/v1/timeline?{query}").status in (400, 422), query


@pytest.mark.parametrize(
    ("counts", "bound"),
    [
        ({}, None),
        ({"late_5": 1}, 5),
        ({"late_1": 99, "late_1000": 1}, 1),
        ({"late_1": 98, "late_1000": 2}, 1_000),
        ({"late_more": 1, "late_1": 1}, None),
        ({"started": 5}, None),
    ],
)
def test_lateness_is_the_bound_of_a_bucket(counts: dict[str, int], bound: int | None) -> None:
    assert lateness_p99(counts) == bound
