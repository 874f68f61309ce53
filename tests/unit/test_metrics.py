"""Prometheus metrics: what is counted, and that no caller can make the series grow without end."""

from __future__ import annotations

import asyncio
import re
import socket
import urllib.error
import urllib.request

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from redsched.model.errors import InvalidSetting
from redsched.model.views import QueueStats
from redsched.observe.histogram import Histogram
from redsched.observe.listen import serve_metrics
from redsched.observe.metrics import BUCKETS, MAX_TYPES, PrometheusObserver
from tests.support.exposition import value


def stats(queue: str, *, oldest: int | None = None, **depths: int) -> QueueStats:
    states = dict.fromkeys(("scheduled", "held", "ready", "running", "finished", "dead", "quarantined"), 0)
    return QueueStats(
        queue=queue,
        oldest_due_age_ms=oldest,
        next_due=None,
        totals={"enqueued": 3},
        lateness={},
        lateness_totals={"1": 2, "5": 1, "more": 1},
        **{**states, **depths},
    )


def test_the_life_of_tasks_is_counted_by_queue_type_and_outcome() -> None:
    observer = PrometheusObserver()
    observer.enqueued("otp", "otp.send", 3, "http")
    observer.promoted("otp", 3)
    observer.started("otp", "otp.send", [1, 4, 2_000])
    observer.redelivered("otp", "otp.send", 1)
    observer.finished("otp", "otp.send", "completed", [0.02, 0.03])
    observer.finished("otp", "otp.send", "retry", [0.5])
    observer.redis_error("store_unavailable")
    observer.slots(16, 3)

    text = observer.render()

    of = {"queue": "otp", "type": "otp.send"}
    assert value(text, "redsched_tasks_enqueued_total", **of, source="http") == 3
    assert value(text, "redsched_tasks_promoted_total", queue="otp") == 3
    assert value(text, "redsched_tasks_started_total", **of) == 3
    assert value(text, "redsched_tasks_redelivered_total", **of) == 1
    assert value(text, "redsched_tasks_finished_total", **of, outcome="completed") == 2
    assert value(text, "redsched_tasks_finished_total", **of, outcome="retry") == 1
    assert value(text, "redsched_redis_errors_total", kind="store_unavailable") == 1
    assert value(text, "redsched_worker_slots") == 16
    assert value(text, "redsched_worker_busy_slots") == 3
    assert value(text, "redsched_task_duration_seconds_count", **of, outcome="completed") == 2


def test_lateness_is_a_histogram_in_seconds() -> None:
    observer = PrometheusObserver()
    observer.started("otp", "otp.send", [0, 1, 4, 2_000, -3])

    text = observer.render()

    def bucket(le: str) -> float | None:
        return value(text, "redsched_task_lateness_seconds_bucket", queue="otp", le=le)

    assert [bucket("0.001"), bucket("0.005"), bucket("1.0"), bucket("2.5"), bucket("3600.0")] == [3, 4, 4, 5, 5]
    assert value(text, "redsched_task_lateness_seconds_sum", queue="otp") == pytest.approx(2.005)


def test_queue_sizes_are_those_of_the_scrape_and_not_kept() -> None:
    observer = PrometheusObserver()

    first = observer.render([stats("otp", scheduled=7, dead=1, oldest=1_500), stats("mail")])
    second = observer.render([stats("mail", ready=2)])

    assert value(first, "redsched_queue_tasks", queue="otp", state="scheduled") == 7
    assert value(first, "redsched_queue_tasks", queue="otp", state="dead") == 1
    assert value(first, "redsched_queue_oldest_due_age_seconds", queue="otp") == 1.5
    assert value(first, "redsched_queue_oldest_due_age_seconds", queue="mail") == 0
    assert value(second, "redsched_queue_tasks", queue="otp", state="scheduled") is None
    assert value(second, "redsched_queue_tasks", queue="mail", state="ready") == 2


def test_a_loop_that_stands_still_can_be_seen() -> None:
    observer = PrometheusObserver()
    observer.progressed("promote")

    seen = value(observer.render(), "redsched_loop_last_progress_timestamp_seconds", loop="promote")

    assert seen is not None and seen > 1.7e9


def test_types_without_end_share_one_label() -> None:
    observer = PrometheusObserver()
    for n in range(MAX_TYPES + 100):
        observer.started("q", f"type-{n}", [1])
    observer.started("q", "type-0", [1])

    text = observer.render()

    assert len(re.findall(rb"^redsched_tasks_started_total\{", text, re.MULTILINE)) == MAX_TYPES + 1
    assert value(text, "redsched_tasks_started_total", queue="q", type="other") == 100
    assert value(text, "redsched_tasks_started_total", queue="q", type="type-0") == 2


def test_two_observers_in_one_process_do_not_mix() -> None:
    one, two = PrometheusObserver(), PrometheusObserver()
    one.promoted("q", 5)

    assert value(one.render(), "redsched_tasks_promoted_total", queue="q") == 5
    assert value(two.render(), "redsched_tasks_promoted_total", queue="q") is None


def test_a_worker_serves_its_metrics_on_a_port_of_its_own_until_cancelled() -> None:
    observer = PrometheusObserver()
    observer.promoted("q", 5)

    def read(url: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(url, timeout=60) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    async def scenario() -> None:
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve_metrics(observer, on_ready=ready.set_result))
        url = await asyncio.wait_for(ready, 60)
        assert url.startswith("http://127.0.0.1:")

        status, text = await asyncio.to_thread(read, f"{url}/metrics")
        assert (status, value(text, "redsched_tasks_promoted_total", queue="q")) == (200, 5)
        assert (await asyncio.to_thread(read, f"{url}/livez"))[0] == 200
        assert (await asyncio.to_thread(read, f"{url}/v1/tasks"))[0] == 404

        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(serving, 60)
        with pytest.raises(OSError):
            await asyncio.to_thread(read, f"{url}/metrics")

    asyncio.run(scenario())


def test_a_metrics_port_in_use_is_refused_with_its_setting_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidSetting, match=f"metrics_port: port {port} of 127.0.0.1 is in use"):
            asyncio.run(serve_metrics(PrometheusObserver(), port=port))


def test_totals_and_lateness_of_all_processes_come_from_the_queue_itself() -> None:
    text = PrometheusObserver().render([stats("otp")])
    assert value(text, "redsched_queue_events_total", queue="otp", event="enqueued") == 3
    of = {"queue": "otp"}
    assert value(text, "redsched_queue_lateness_seconds_bucket", **of, le="0.001") == 2
    assert value(text, "redsched_queue_lateness_seconds_bucket", **of, le="0.005") == 3
    assert value(text, "redsched_queue_lateness_seconds_bucket", **of, le="+Inf") == 4


def test_a_batch_of_values_is_counted_as_the_client_library_counts_them_one_by_one() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    values = [0.0, *BUCKETS, *(bound * 1.01 for bound in BUCKETS), 9_999.0]
    mine = Histogram("h", "Text", ("queue",), bounds=BUCKETS, registry=ours)
    mine.labels("otp").observe(values[:7])
    mine.labels("otp").observe(values[7:])
    plain = prometheus_client.Histogram("h", "Text", ("queue",), buckets=BUCKETS, registry=theirs)
    for seconds in values:
        plain.labels("otp").observe(seconds)

    told = {line for line in generate_latest(theirs).decode().splitlines() if "h_created" not in line}
    assert set(generate_latest(ours).decode().splitlines()) == told
