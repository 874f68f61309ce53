"""The timeline of queues: a conversation of bounded calls, without I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import ceil

from redsched.model.duration import instant, is_digits
from redsched.model.schedule_views import Upcoming
from redsched.model.timeline import QueueTimeline, Step, Timeline
from redsched.model.views import Paused
from redsched.steps.conversation import Conversation
from redsched.wire.keys import QueueKeys
from redsched.wire.timeline import SAMPLE, Told, Window, timeline

_LATE = "late_"  # how the counters of lateness begin; the upper bound follows, ms


def told(queues: Sequence[QueueKeys], window: Window, types: bool) -> Conversation[tuple[int, int, list[Told]]]:
    """Now, the beginning of the first step, and each queue."""
    sample = SAMPLE if types else 0
    at_once = window.queues_at_once(sample)
    found: list[Told] = []
    now, first = 0, 0
    for at in range(0, len(queues), at_once):
        moment, begin, some = yield timeline(queues[at : at + at_once], window, sample)
        if first and begin != first:  # a step ended between two calls: what is told of it stands where it belongs
            some = [_moved(one, (begin - first) // window.step) for one in some]
        now, first = now or moment, first or begin
        found += some
    return now, first, found


def unseen(told: Sequence[Told], upcoming: Upcoming) -> list[str]:
    """The queues of which nothing is told, and of which no schedule makes a task: nobody may have seen them."""
    return [
        one.queue
        for one in told
        if not (one.late or one.later or any(one.due) or one.counts or upcoming.due.get(one.queue))
    ]


def _moved(one: Told, steps: int) -> Told:
    counts = {number + steps: counts for number, counts in one.counts.items()}
    return Told(one.queue, one.late, one.later, [0] * steps + one.due, counts, one.types)


def timeline_of(
    now: int,
    first: int,
    told: Sequence[Told],
    window: Window,
    upcoming: Upcoming,
    types: bool,
    paused: list[Paused],
    *,
    others: bool,
) -> Timeline:
    """All of it. ``others``: queues that only schedules name, so far, count too."""
    known = {one.queue for one in told}
    steps = [0] * max((len(one.due) for one in told), default=(now + window.ahead - first - 1) // window.step + 1)
    new = sorted(upcoming.due.keys() - known) if others else []
    made = []
    for one in (*told, *(Told(queue, 0, 0, steps, {}, {}) for queue in new if upcoming.due[queue])):
        runs = Counter((due - first) // window.step for due in upcoming.due.get(one.queue, ()))
        made.append(_of_queue(one, first, window, runs, types))
    return Timeline(now=instant(now), step_ms=window.step, queues=made, complete=upcoming.complete, paused=paused)


def _of_queue(one: Told, first: int, window: Window, runs: Mapping[int, int], types: bool) -> QueueTimeline:
    """One queue; ``runs``: of schedules, by the number of the step."""
    steps = [
        Step(
            at=instant(first + number * window.step),
            counts={name: n for name, n in one.counts.get(number, {}).items() if not name.startswith(_LATE)},
            lateness_p99_ms=lateness_p99(one.counts.get(number, {})),
            due=due,
            runs=runs.get(number, 0),
        )
        for number, due in enumerate(one.due)
    ]
    return QueueTimeline(
        queue=one.queue, late=one.late, later=one.later, steps=steps, types=_estimate(one) if types else None
    )


def _estimate(one: Told) -> dict[str, int]:
    looked, total = sum(one.types.values()), sum(one.due)
    found = {name: round(total * count / looked) for name, count in one.types.items()} if looked else {}
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


def lateness_p99(counts: Mapping[str, int]) -> int | None:
    """The upper bound of the bucket in which the 99th of 100 starts lies."""
    buckets = {name.removeprefix(_LATE): count for name, count in counts.items() if name.startswith(_LATE)}
    left = ceil(sum(buckets.values()) * 0.99)
    for bound in sorted(int(name) for name in buckets if is_digits(name)):
        left -= buckets[str(bound)]
        if left <= 0:
            return bound
    return None
