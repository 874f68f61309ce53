"""How answers are shown: a table for people, or one JSON document."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from redsched.model.duration import duration_text

if TYPE_CHECKING:
    from rich.console import Console

    from redsched.cli.invocation import Invocation
    from redsched.model.task import QueueStats, TaskView

PIPE_WIDTH = 400  # of a table that goes into a pipe: nothing may be cut off
STATE_STYLES = {
    "scheduled": "blue", "held": "blue", "ready": "cyan", "running": "yellow", "completed": "green",
    "dead": "red", "quarantine": "red", "expired": "magenta", "skipped": "dim", "cancelled": "dim",
}


def document(value: Any) -> None:
    """Print one JSON document."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def console(given: Invocation, *, stderr: bool = False) -> Console:
    """Where text for people goes; colours only on a terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, no_color=given.no_color or None, highlight=False, markup=False, emoji=False,
                   width=None if stream.isatty() else PIPE_WIDTH)


def table(given: Invocation, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; a column whose name begins with ``#`` holds numbers, ``state`` gets colours."""
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        number = column.startswith("#")
        shown.add_column(column.lstrip("#").upper(), justify="right" if number else "left", overflow="fold",
                         no_wrap=number)
    for row in rows:
        shown.add_row(*(
            Text(str(cell), style=STATE_STYLES.get(str(cell), "") if column == "state" else "")
            for column, cell in zip(columns, row, strict=True)
        ))
    console(given).print(shown)


def moment(value: datetime | None) -> str:
    """``2027-01-31 09:00:00.000Z (in 5m00s)``; the distance is by this machine's clock and only for reading."""
    if value is None:
        return "-"
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{value.microsecond // 1_000:03d}Z ({distance(value)})"


def distance(value: datetime | None) -> str:
    """``in 5m00s`` or ``5m00s ago``."""
    if value is None:
        return "-"
    away = (value - datetime.now(UTC)).total_seconds() * 1_000
    return f"in {duration_text(away)}" if away >= 0 else f"{duration_text(-away)} ago"


def listing(given: Invocation, tasks: Sequence[TaskView]) -> None:
    """One task a row."""
    table(given, ("id", "type", "state", "due", "#attempt", "reason"), (
        (task.id, task.type, task.state, moment(task.due_at), task.attempt, task.reason or "") for task in tasks
    ))


def details(given: Invocation, task: TaskView) -> None:
    """Everything known of one task, one field a line, then its history."""
    import msgspec

    rows: list[tuple[str, str]] = []
    for field in msgspec.structs.fields(task):
        value = getattr(task, field.name)
        if field.name == "history" or (value == field.default and field.name not in ("priority", "attempt")):
            continue
        rows.append((field.name, _field_text(field.name, value)))
    table(given, ("field", "value"), rows)
    if task.history:
        click.echo()
        table(given, ("#attempt", "ended", "outcome", "error", "worker"), (
            (run.attempt, moment(run.at), run.outcome, run.error, run.worker) for run in task.history
        ))


def _field_text(name: str, value: Any) -> str:
    import msgspec

    if isinstance(value, datetime):
        return moment(value)
    if name.endswith("_ms"):
        return duration_text(value)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def depths(given: Invocation, stats: Sequence[QueueStats]) -> None:
    """One queue a row: its depth by state and the age of the oldest task that is due."""
    states = ("scheduled", "held", "ready", "running", "finished", "dead", "quarantined")
    table(given, ("queue", *(f"#{state}" for state in states), "#oldest due", "next due"), (
        (
            queue.queue,
            *(getattr(queue, state) for state in states),
            "-" if queue.oldest_due_age_ms is None else duration_text(queue.oldest_due_age_ms),
            distance(queue.next_due),
        )
        for queue in stats
    ))
