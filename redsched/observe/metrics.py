"""Prometheus metrics of one process: counted as things happen, queue sizes asked for at scrape.

Every observer has a registry of its own. Children are cached, so the hot path never looks up a label, and the
number of label values is bounded, so a client that invents types cannot fill the memory.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Sequence
from importlib import metadata
from typing import Generic, Protocol, TypeVar

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from redsched.model.views import QueueStats
from redsched.observe.histogram import Child, Histogram

MAX_TYPES = 500
MAX_QUEUES = 1_000
OTHER = "other"
BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600)
_STATES = ("scheduled", "held", "ready", "running", "finished", "dead", "quarantined")

M_co = TypeVar("M_co", covariant=True)


class PrometheusObserver:
    """Counts what the engine and the HTTP application report; ``render`` is the text that Prometheus reads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        queues, types, schedules = _Bound(MAX_QUEUES), _Bound(MAX_TYPES), _Bound(MAX_QUEUES)

        def counter(name: str, text: str, *labels: str, **bounds: _Bound) -> _Cached[Counter]:
            return _Cached(Counter(f"redsched_{name}", text, labels, registry=self.registry), labels, bounds)

        def histogram(name: str, text: str, *labels: str, **bounds: _Bound) -> _Cached[Child]:
            made = Histogram(f"redsched_{name}", text, labels, bounds=BUCKETS, registry=self.registry)
            return _Cached(made, labels, bounds)

        self._enqueued = counter(
            "tasks_enqueued_total", "Tasks created", "queue", "type", "source", queue=queues, type=types
        )
        self._promoted = counter("tasks_promoted_total", "Due tasks moved to the ready stream", "queue", queue=queues)
        self._runs = counter("schedule_runs_total", "Runs that schedules made", "schedule", schedule=schedules)
        self._missed = counter(
            "schedule_missed_runs_total", "Slots that schedules missed", "schedule", schedule=schedules
        )
        self._started = counter("tasks_started_total", "Runs started", "queue", "type", queue=queues, type=types)
        self._redelivered = counter(
            "tasks_redelivered_total", "Runs that were not the task's first", "queue", "type", queue=queues, type=types
        )
        self._finished = counter(
            "tasks_finished_total", "Runs ended, by outcome", "queue", "type", "outcome", queue=queues, type=types
        )
        self._lateness = histogram(
            "task_lateness_seconds", "From a task's due time to the start of its handler", "queue", queue=queues
        )
        self._duration = histogram(
            "task_duration_seconds", "Run time of handlers", "queue", "type", "outcome", queue=queues, type=types
        )
        self._progress = _Cached(
            Gauge(
                "redsched_loop_last_progress_timestamp_seconds",
                "When a loop last completed a step",
                ("loop",),
                registry=self.registry,
            ),
            ("loop",),
            {},
        )
        self._slots = Gauge("redsched_worker_slots", "Tasks this worker may run at a time", registry=self.registry)
        self._busy = Gauge("redsched_worker_busy_slots", "Tasks this worker runs now", registry=self.registry)
        self._requests = counter("http_requests_total", "HTTP requests answered", "method", "route", "code")
        self._request_seconds = histogram(
            "http_request_duration_seconds", "Time to answer an HTTP request", "method", "route"
        )
        self._redis_errors = counter("redis_errors_total", "Calls to Redis that failed, by kind", "kind")
        build = Gauge(
            "redsched_build_info", "1; its labels say what runs", ("version", "python"), registry=self.registry
        )
        build.labels(_version(), platform.python_version()).set(1)

    def enqueued(self, queue: str, type: str, n: int, source: str) -> None:
        """``n`` tasks were created; ``source`` is python, http, schedule, retry or redis."""
        self._enqueued(queue, type, source).inc(n)

    def promoted(self, queue: str, n: int) -> None:
        """``n`` due tasks became ready."""
        self._promoted(queue).inc(n)

    def fired(self, schedule: str, runs: int, missed: int) -> None:
        """A schedule made so many runs, and missed so many of its slots."""
        self._runs(schedule).inc(runs)
        self._missed(schedule).inc(missed)

    def started(self, queue: str, type: str, lateness_ms: Sequence[float]) -> None:
        """One run started for each lateness: start less due time."""
        self._started(queue, type).inc(len(lateness_ms))
        self._lateness(queue).observe([late / 1_000 if late > 0 else 0.0 for late in lateness_ms])

    def redelivered(self, queue: str, type: str, n: int) -> None:
        """``n`` of the runs that started were not the task's first."""
        self._redelivered(queue, type).inc(n)

    def finished(self, queue: str, type: str, outcome: str, seconds: Sequence[float]) -> None:
        """One run ended with ``outcome`` for each duration."""
        self._finished(queue, type, outcome).inc(len(seconds))
        self._duration(queue, type, outcome).observe(seconds)

    def progressed(self, loop: str) -> None:
        """A loop completed a step."""
        self._progress(loop).set(time.time())

    def slots(self, total: int, busy: int) -> None:
        """How many tasks this worker may run, and runs now."""
        self._slots.set(total)
        self._busy.set(busy)

    def redis_error(self, kind: str) -> None:
        """A call to Redis failed."""
        self._redis_errors(kind).inc()

    def http(self, method: str, route: str, code: int, seconds: float) -> None:
        """A request was answered; ``route`` is the pattern, never the path."""
        self._requests(method, route, str(code)).inc()
        self._request_seconds(method, route).observe((seconds,))

    def render(self, stats: Sequence[QueueStats] | None = None, server: ServerState | None = None) -> bytes:
        """The exposition text, with the queues' gauges where ``stats`` is given and Redis's own where ``server`` is.
        Slow (ms): call it in a thread."""
        text = generate_latest(self.registry)
        if server is not None:
            text += generate_latest(_Server(server))
        return text if stats is None else text + generate_latest(_Queues(stats[:MAX_QUEUES]))


class ServerState(msgspec.Struct, frozen=True, kw_only=True):
    """What Redis is like at one scrape; None where it did not say."""

    up: bool
    used_memory: int | None = None
    maxmemory: int | None = None  # 0: unlimited
    clock_skew_s: float | None = None  # its clock less this machine's


class _Bound:
    """The first ``limit`` values of a label keep their names; the rest share ``other``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        if value in self._seen:
            return value
        if len(self._seen) >= self._limit:
            return OTHER
        self._seen.add(value)
        return value


class _Labelled(Protocol[M_co]):
    """A metric with labels."""

    def labels(self, *values: str) -> M_co: ...


class _Cached(Generic[M_co]):
    """The children of one metric by label values."""

    def __init__(self, metric: _Labelled[M_co], labels: Sequence[str], bounds: dict[str, _Bound]) -> None:
        self._metric = metric
        self._bounds = [bounds.get(label) for label in labels]
        self._children: dict[tuple[str, ...], M_co] = {}

    def __call__(self, *values: str) -> M_co:
        child = self._children.get(values)
        if child is None:
            bounded = tuple(
                value if bound is None else bound(value) for value, bound in zip(values, self._bounds, strict=True)
            )
            child = self._metric.labels(*bounded)
            if bounded == values:  # what became "other" is not remembered by name
                self._children[values] = child
        return child


class _Server:
    """The gauges of Redis itself, built for one scrape."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def collect(self) -> Iterable[Metric]:
        """What it told; what it did not is left out."""
        state = self._state
        for name, text, value in (
            ("up", "1 where Redis answered this scrape", float(state.up)),
            ("memory_used_bytes", "Memory that Redis uses", state.used_memory),
            ("memory_max_bytes", "maxmemory of Redis; 0: unlimited", state.maxmemory),
            ("clock_skew_seconds", "Redis's clock less the clock of this machine", state.clock_skew_s),
        ):
            if value is not None:
                yield GaugeMetricFamily(f"redsched_redis_{name}", text, value=value)


class _Queues:
    """The gauges of the queues, built for one scrape."""

    def __init__(self, stats: Sequence[QueueStats]) -> None:
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        """The families, over all processes: what is there now, and totals since the queue exists."""
        tasks = GaugeMetricFamily("redsched_queue_tasks", "Tasks of a queue by state", labels=("queue", "state"))
        age = GaugeMetricFamily(
            "redsched_queue_oldest_due_age_seconds",
            "How long the oldest task that is due has waited; 0 when none is",
            labels=("queue",),
        )
        events = CounterMetricFamily(
            "redsched_queue_events", "What happened in a queue, whichever process did it", labels=("queue", "event")
        )
        lateness = HistogramMetricFamily(
            "redsched_queue_lateness_seconds", "From a task's due time to its claim", labels=("queue",)
        )
        for queue in self._stats:
            for state in _STATES:
                tasks.add_metric((queue.queue, state), getattr(queue, state))
            age.add_metric((queue.queue,), (queue.oldest_due_age_ms or 0) / 1_000)
            for event, n in sorted(queue.totals.items()):
                events.add_metric((queue.queue, event), n)
            lateness.add_metric((queue.queue,), _cumulated(queue.lateness_totals), None)
        return tasks, age, events, lateness


def _cumulated(counts: dict[str, int]) -> list[tuple[str, float]]:
    """Buckets as Prometheus wants them: upper bounds in seconds, each with all that is below it."""
    buckets, total = [], 0
    for bound, n in counts.items():
        total += n
        buckets.append(("+Inf" if bound == "more" else f"{int(bound) / 1_000:g}", float(total)))
    return buckets


def _version() -> str:
    try:
        return metadata.version("redsched")
    except metadata.PackageNotFoundError:
        return "unknown"
