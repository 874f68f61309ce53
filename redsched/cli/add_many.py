"""``redsched task add-many``: a file with one task a line, created in parts, each once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from redsched.cli import parse, render
from redsched.cli.invocation import Command, Failure, Invocation, pass_invocation

if TYPE_CHECKING:
    from redsched.model.streamed import Streamed
    from redsched.model.task import Task


@click.command("add-many", cls=Command, reads=("client", "enqueue"), short_help="Add a file of tasks, one a line.")
@click.argument("file", metavar="FILE.jsonl|-")
@click.option("--run", required=True, help="Name of this list: the same name goes on where an earlier call stopped.")
@click.option("--spread", metavar="DURATION", callback=parse.span, help="Let due times lie evenly over so long.")
@click.option("--batch", type=click.IntRange(1, 1000), default=200, show_default=True, help="Tasks of a call.")
@parse.strict_option
@pass_invocation
def add_many(given: Invocation, file: str, run: str, spread: timedelta | None, batch: int, strict: bool) -> None:
    """Add the tasks of FILE, each a JSON object on a line of its own; - reads standard input.

    No task is added twice: if the command breaks off, repeat it with the same FILE and --run.

    redsched task add-many statements.jsonl --spread 2h --run 2027-01
    """
    with ExitStack() as stack:
        lines: IO[bytes] = sys.stdin.buffer if file == "-" else stack.enter_context(_opened(file))
        client = stack.enter_context(given.client(strict=strict))
        total = None if file == "-" else sum(1 for line in lines if line.strip())
        if total is not None:
            lines.seek(0)
        shown = stack.enter_context(_Bar(given, run, total))
        span = spread or timedelta(0)
        done = client.enqueue_stream(_tasks(lines, file), run=run, spread=span, batch=batch, progress=shown.update)
    if given.json:
        render.document(done)
        return
    answers = ", ".join(f"{count:,} {word}" for word, count in sorted(done.answers.items())) or "nothing new"
    before = f"; {done.resumed_at:,} of them by an earlier call" if done.resumed_at else ""
    render.say(f"run {run}: {done.at:,} tasks{before}; {answers}")


def _opened(path: str) -> IO[bytes]:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}.") from None


def _tasks(lines: IO[bytes], file: str) -> Iterator[Task]:
    import msgspec

    from redsched.model.lines import Line

    decoder = msgspec.json.Decoder(Line)
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield decoder.decode(line).to_task()
            except (ValueError, RecursionError) as error:
                stays = "What was added of the lines before stays; mend it and repeat the command, which goes on there."
                raise Failure(f"{file}, line {number}: {error}. {stays}") from None


class _Bar:
    """A progress bar on a terminal; nothing elsewhere."""

    def __init__(self, given: Invocation, run: str, total: int | None) -> None:
        self._bar = None
        if sys.stderr.isatty() and not given.json:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(f"run {run}", total=total)

    def __enter__(self) -> _Bar:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, told: Streamed) -> None:
        """So far it has come."""
        if self._bar is not None:
            self._bar.update(self._task, completed=told.at)
