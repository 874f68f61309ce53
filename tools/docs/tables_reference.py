"""The pages of settings and metrics, from the tables that declare them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prometheus_client.metrics_core import Metric

from redsched.model.views import QueueStats
from redsched.observe import metrics as observed
from redsched.settings import TABLE

_SETTINGS = """# Settings

A command-line flag wins over the environment, which wins over `redsched.toml` in the working directory, which wins over
the default. `redsched config show` lists what holds in this place and where it comes from.

A duration may have a unit: `REDSCHED_LEASE=45s`, or `lease = "45s"` in the file. Without a unit it is milliseconds.

| environment variable | in the file | what it is | default | range | read by |
|---|---|---|---|---|---|
"""
_METRICS = """# Metrics

The API serves these at `/metrics`, a worker or a mover on `--metrics-port`. Durations are in seconds.
A label that has taken too many values goes on as `other`: {types} types, {queues} queues.
Alert rules are in [`ops/prometheus-rules.yml`](../files/ops/prometheus-rules.yml).

| metric | kind | labels | what it is |
|---|---|---|---|
"""


def settings() -> str:
    """Every setting, as a page."""
    rows = []
    for row in TABLE.values():
        variables = ", ".join(f"`{name}`" for name in (row.variables[-1], row.secret_file, row.about.also) if name)
        cells = (variables, f"`{row.names[-1]}`", row.about.help, row.shown_default, row.bounds, row.about.read_by)
        rows.append(_row(cells))
    return _SETTINGS + "\n".join(rows) + "\n"


def metrics() -> str:
    """Every metric, as a page."""
    rows = []
    for family, labels in sorted(_families(), key=lambda found: found[0].name):
        shown = f"`{family.name}_total`" if family.type == "counter" else f"`{family.name}`"
        rows.append(_row((shown, family.type, ", ".join(f"`{label}`" for label in labels), family.documentation)))
    return _METRICS.format(types=f"{observed.MAX_TYPES:,}", queues=f"{observed.MAX_QUEUES:,}") + "\n".join(rows) + "\n"


def _families() -> Iterator[tuple[Metric, Sequence[str]]]:
    """Each family with its labels: those of a process, of the queues and of Redis."""
    for collector in observed.PrometheusObserver().registry._collector_to_names:
        for family in collector.collect():
            labels = getattr(collector, "_labelnames", None) or getattr(collector, "_labels", None) or ()
            yield family, labels
    empty: dict[str, Any] = {name: 0 for name in QueueStats.__struct_fields__}
    told = {"queue": "q", "next_due": None, "totals": {"started": 1}, "lateness": {}, "lateness_totals": {"1": 1}}
    server = observed.ServerState(up=True, used_memory=0, maxmemory=0, clock_skew_s=0.0)
    for scrape in (observed._Queues([QueueStats(**(empty | told))]), observed._Server(server)):
        for family in scrape.collect():
            yield family, [label for label in family.samples[0].labels if label != "le"]


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
