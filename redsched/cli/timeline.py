"""``redsched timeline``: what queues did in the last hour, and what is due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from redsched.cli import parse, render
from redsched.cli.invocation import Command, Invocation, pass_invocation
from redsched.model.duration import duration_text

if TYPE_CHECKING:
    from redsched.model.timeline import QueueTimeline, Timeline

WIDTH = 40  # signs of the longest bar
MOST_PAUSED = 10  # pauses told of


@click.command(cls=Command, short_help="Show what queues did, and what is due.")
@click.argument("queues", metavar="[QUEUE]...", nargs=-1)
@click.option("--past", metavar="DURATION", callback=parse.span, default="1h", show_default=True, help="Up to 1h.")
@click.option("--ahead", metavar="DURATION", callback=parse.span, default="1h", show_default=True, help="Up to 366d.")
@click.option("--step", metavar="DURATION", callback=parse.span, help="Of a line: whole minutes. [default: fitting]")
@click.option(
    "--next", "coming", metavar="DURATION", callback=parse.span, help="Only say how much is due in that time."
)
@click.option("--types", is_flag=True, help="With an estimate by type, from a sample.")
@pass_invocation
def timeline(
    given: Invocation,
    queues: tuple[str, ...],
    past: timedelta,
    ahead: timedelta,
    step: timedelta | None,
    coming: timedelta | None,
    types: bool,
) -> None:
    """Show what all queues, or some, did in the last hour, and what is due.

    A line of # is tasks that started, a line of - tasks that are due and runs that schedules will make. Tasks that are
    held do not count. What is paused is named: its tasks do not start, though they are due.

    redsched timeline --next 1h
    """
    if coming is not None:
        past, ahead = timedelta(0), coming
    with given.client() as client:
        found = client.timeline(
            queues or None, past=past, ahead=ahead, step=step or _fitting(past + ahead), types=types
        )
    if given.json:
        render.document(found)
        return
    if coming is None:
        for line in _chart(found):
            render.say(line)
    for line in _summary(found, ahead, types):
        render.say(line)


def _fitting(whole: timedelta) -> timedelta:
    """A step that makes about 24 lines."""
    minutes = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440, 10_080, 43_200)
    return timedelta(minutes=next((one for one in minutes if whole <= timedelta(minutes=25 * one)), minutes[-1]))


def _chart(found: Timeline) -> list[str]:
    rows = []
    for number in range(max((len(queue.steps) for queue in found.queues), default=0)):
        steps = [queue.steps[number] for queue in found.queues if number < len(queue.steps)]
        started, dead = (sum(step.counts.get(name, 0) for step in steps) for name in ("started", "dead"))
        due, runs = sum(step.due for step in steps), sum(step.runs for step in steps)
        rows.append((steps[0].at, started, dead, due, runs))
    most = max((started + due + runs for _, started, _, due, runs in rows), default=0) or 1
    lines = []
    for at, started, dead, due, runs in rows:
        bar = _bar("#", started, most) + _bar("-", due + runs, most)
        told = ((started, "started"), (dead, "dead"), (due, "due"), (runs, "runs of schedules"))
        words = ", ".join(f"{count:,} {what}" for count, what in told if count)
        is_now = at <= found.now < at + timedelta(milliseconds=found.step_ms)
        lines.append(f"{at:%d %H:%M} {'>' if is_now else ' '} {bar:<{WIDTH + 1}} {words}".rstrip())
    return lines


def _bar(sign: str, count: int, most: int) -> str:
    return sign * (max(1, count * WIDTH // most) if count else 0)


def _summary(found: Timeline, ahead: timedelta, types: bool) -> list[str]:
    queues = sorted(found.queues, key=lambda queue: -queue.to_come)
    runs = sum(step.runs for queue in queues for step in queue.steps)
    total, late = sum(queue.to_come for queue in queues), sum(queue.late for queue in queues)
    span = duration_text(ahead / timedelta(milliseconds=1))
    by_queue = ", ".join(f"{queue.queue} {queue.to_come:,}" for queue in queues[:10] if queue.to_come)
    lines = [f"Due in the next {span}: {total:,} tasks" + (f" ({by_queue})" if by_queue else "") + "."]
    if runs:
        least = "" if found.complete else "at least "
        lines[0] = lines[0][:-1] + f"; {least}{runs:,} of them are runs of schedules."
    if types:
        lines.append(f"By type, estimated from a sample: {_by_type(queues) or 'none'}.")
    if late:
        lines.append(f"Due already and not yet ready: {late:,}.")
    return lines + [render.paused(stop) for stop in found.paused[:MOST_PAUSED]] + _more_paused(found)


def _more_paused(found: Timeline) -> list[str]:
    more = len(found.paused) - MOST_PAUSED
    return [f"{more:,} more are paused: redsched queue paused"] if more > 0 else []


def _by_type(queues: Sequence[QueueTimeline]) -> str:
    totals: dict[str, int] = {}
    for queue in queues:
        for name, count in (queue.types or {}).items():
            totals[name] = totals.get(name, 0) + count
    first = sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))[:10]
    return ", ".join(f"{name} ~{count:,}" for name, count in first)
