"""How answers are shown: a table for people, or one JSON document. The only way to the operator's screen.

Ids, errors and reasons are written by anybody, and a control character in them would steer a terminal: it is shown as
``\\x1b`` and never sent.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from redsched.model.duration import duration_text

if TYPE_CHECKING:
    from rich.console import Console

    from redsched.cli.invocation import Invocation
    from redsched.model.task import TaskView
    from redsched.model.views import Paused, QueueStats

# what JSON may hold as it is, though it steers a terminal: DEL, C1, and marks that turn the direction of what follows
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
PIPE_WIDTH = 400  # of a table that goes into a pipe: nothing may be cut off
STATE_STYLES = {
    "scheduled": "blue",
    "held": "blue",
    "ready": "cyan",
    "running": "yellow",
    "completed": "green",
    "dead": "red",
    "quarantine": "red",
    "expired": "magenta",
    "skipped": "dim",
    "cancelled": "dim",
}


class Lines(str):
    """A text whose line breaks are shown as such, such as a traceback."""

    __slots__ = ()


def shown(value: object) -> str:
    """The value as text in which every character that is no sign to read is its escape, such as ``\\x1b``."""
    text = str(value)
    if isinstance(value, Lines):
        return "\n".join(map(shown, text.split("\n")))
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def say(*lines: object, err: bool = False) -> None:
    """Print lines for people."""
    click.echo("\n".join(map(shown, lines)), err=err)


def unfit(answers: Mapping[str, str], good: Sequence[str]) -> str:
    """Which ids had another answer than these, and which; empty where none had."""
    said = {
        "expires": "would expire, for its start-by lies before that time",
        "moved": "was moved to another queue",
    }
    return ", ".join(f"{id} {said.get(word, f'is {word}')}" for id, word in answers.items() if word not in good)


def document(value: Any) -> None:
    """Print one JSON document."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    click.echo(_UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def console(given: Invocation, *, stderr: bool = False) -> Console:
    """Where text for people goes; colours only on a terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream,
        no_color=given.no_color or None,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if stream.isatty() else PIPE_WIDTH,
    )


def table(given: Invocation, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; a column whose name begins with ``#`` holds numbers, ``state`` gets colours."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        number = column.startswith("#")
        drawn.add_column(
            column.lstrip("#").upper(), justify="right" if number else "left", overflow="fold", no_wrap=number
        )
    for row in rows:
        drawn.add_row(
            *(
                Text(shown(cell), style=STATE_STYLES.get(str(cell), "") if column == "state" else "")
                for column, cell in zip(columns, row, strict=True)
            )
        )
    console(given).print(drawn)


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
    table(
        given,
        ("id", "type", "state", "due", "#attempt", "reason"),
        ((task.id, task.type, task.state, moment(task.due_at), task.attempt, task.reason or "") for task in tasks),
    )


def without_secrets(task: TaskView) -> TaskView:
    """The task with only the sizes of its payload, its headers and what its steps returned."""
    import msgspec

    def size(value: Any) -> str:
        return f"{len(msgspec.json.encode(value))} bytes; --reveal shows them"

    hidden: dict[str, Any] = {
        name: size(value) for name in ("payload", "headers") if (value := getattr(task, name)) is not None
    }
    if task.steps:
        hidden["steps"] = [msgspec.structs.replace(step, value=size(step.value)) for step in task.steps]
    return msgspec.structs.replace(task, **hidden)


def details(given: Invocation, task: TaskView) -> None:
    """Everything known of one task, one field a line, then its history."""
    import msgspec

    rows: list[tuple[str, str]] = []
    for field in msgspec.structs.fields(task):
        value = getattr(task, field.name)
        if field.name in ("history", "steps") or (value == field.default and field.name not in ("priority", "attempt")):
            continue
        text = field_text(field.name, value)
        rows.append((field.name, Lines(text) if field.name == "traceback" else text))
    table(given, ("field", "value"), rows)
    if task.steps:
        click.echo()
        steps = [(step.name, moment(step.at), field_text("value", step.value)) for step in task.steps]
        table(given, ("step", "kept", "value"), steps)
    if task.history:
        click.echo()
        table(
            given,
            ("#attempt", "ended", "outcome", "error", "worker"),
            ((run.attempt, moment(run.at), run.outcome, run.error, run.worker) for run in task.history),
        )


def field_text(name: str, value: Any) -> str:
    import msgspec

    if isinstance(value, datetime):
        return moment(value)
    if name.endswith("_ms"):
        return duration_text(value)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def depths(given: Invocation, stats: Sequence[QueueStats], paused: Mapping[str, str]) -> None:
    """One queue a row: its depth by state, the age of the oldest task that is due, and what is ``paused``, if anything
    is."""
    states = ("scheduled", "held", "ready", "running", "finished", "dead", "quarantined")
    table(
        given,
        ("queue", *(f"#{state}" for state in states), "#oldest due", "next due", *(("paused",) if paused else ())),
        (
            (
                queue.queue,
                *(getattr(queue, state) for state in states),
                "-" if queue.oldest_due_age_ms is None else duration_text(queue.oldest_due_age_ms),
                distance(queue.next_due),
                *((paused.get(queue.queue, ""),) if paused else ()),
            )
            for queue in stats
        ),
    )


def paused(stop: Paused) -> str:
    """A pause in a line: what, since when, until when and why."""
    what = "Everything" if stop.all else f"Queue {stop.queue}"
    if stop.type or stop.key:
        what = f"{f'Type {stop.type}' if stop.type else f'Key {stop.key}'} of queue {stop.queue}"
    until = f" until {moment(stop.until)}" if stop.until else ""
    why = f": {stop.reason}" if stop.reason else "."
    return f"{what} is paused since {moment(stop.since)}{until}{why}"


def did(given: Invocation, id: str, word: str) -> None:
    """What became of one thing."""
    if given.json:
        document({"id": id, "status": word})
    else:
        say(f"{word} {id}")
