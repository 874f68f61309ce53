"""Served: says which tasks of an application its worker can never get."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from redsched.engine.app import App

log = logging.getLogger("redsched.worker")


def tell_unserved(app: App, queues: Sequence[str]) -> None:
    """Warn where the app has no types, or has types whose tasks go to queues that this worker does not serve."""
    if not app.tasks:
        problem = "no type is registered; is the module imported that holds the handlers?"
        log.warning("worker.no_types", extra={"app": app.name, "problem": problem})
    others: dict[str, list[str]] = {}
    for name, found in app.tasks.items():
        if found.queue not in queues:
            others.setdefault(found.queue, []).append(name)
    for queue, names in others.items():
        log.warning("worker.queue_not_served", extra={"queue": queue, "types": ", ".join(names)})
