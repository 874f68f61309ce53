"""What queues did and will do: the past by counters, the future by due times and the slots of schedules."""

from __future__ import annotations

from datetime import datetime

import msgspec

from redsched.model.views import Paused


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a timeline: ``counts`` of what happened in it (enqueued, started, completed, dead, ...) and, from now
    on, how many tasks are ``due`` and how many ``runs`` schedules make.

    ``lateness_p99_ms``: 99 of 100 tasks started at most so late; None where none started, or one over an hour late.
    """

    at: datetime
    counts: dict[str, int]
    lateness_p99_ms: int | None
    due: int
    runs: int


class QueueTimeline(msgspec.Struct, frozen=True, kw_only=True):
    """One queue. ``late``: tasks that were due and have not become ready; ``later``: those due after the last step;
    ``types``: an estimate, from a sample, of how many tasks of each type are due in the steps to come."""

    queue: str
    late: int
    later: int
    steps: list[Step]
    types: dict[str, int] | None = None

    @property
    def to_come(self) -> int:
        """How many tasks are due from now to the end, runs of schedules included."""
        return sum(step.due + step.runs for step in self.steps)


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """Queues over time. ``complete``: whether all runs of schedules were found; many schedules, or one that runs very
    often, are counted in part. ``paused``: what of these queues starts no tasks now, whatever is due. A pause of
    everything is there once, first (``all``, with the queue ``*``)."""

    now: datetime
    step_ms: int
    queues: list[QueueTimeline]
    complete: bool
    paused: list[Paused] = []
