"""``redsched bulk`` and ``redsched operation``: change all tasks that a search names."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from redsched.cli import parse, render
from redsched.cli.invocation import CONFLICT, NOT_FOUND, Failure, Group, Invocation, pass_invocation

if TYPE_CHECKING:
    from redsched.steps.operations import Operation

MOST = 1_000_000


@click.group(cls=Group)
def bulk() -> None:
    """Change all tasks that a search names.

    The words are those of: redsched find. Without --yes it says how many they are, and asks.

    redsched bulk reschedule tag:merchant:M type:reminder --by +2h
    """


def _action(name: str, help: str, *options: Callable[..., Any]) -> None:
    def act(given: Invocation, /, words: tuple[str, ...], **arguments: Any) -> None:
        choice = {key: arguments.pop(key) for key in ("dry_run", "yes", "most", "scan")}
        named = {key: list(value) if isinstance(value, tuple) else value for key, value in arguments.items()}
        _operate(given, name, words, {key: value for key, value in named.items() if value not in (None, [])}, **choice)

    act.__doc__ = help
    command: Callable[..., Any] = pass_invocation(act)
    for option in (
        *reversed(options),
        click.option("--scan", is_flag=True, help="Go through the queues, also for tasks of plain commands that wait."),
        click.option("--max", "most", type=click.IntRange(1, MOST), default=MOST, help="Most tasks to change."),
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        click.option("--dry-run", is_flag=True, help="Only tell how many there are, and some of them."),
        click.argument("words", nargs=-1, required=True),
    ):
        command = option(command)
    bulk.command(name)(command)


_action("cancel", "Stop tasks that have not finished.", click.option("--reason", help="Kept with them, and public."))
_action("revive", "Let dead tasks run again.", parse.due_options)
_action("drop", "Remove tasks that are dead or finished.")
_action("run", "Make waiting tasks due now.")
_action(
    "reschedule",
    "Give waiting tasks another due time.",
    parse.due_options,
    click.option(
        "--by", metavar="+DURATION|-DURATION", help="Each from its own due time: +2h, -30m. The start-by moves with it."
    ),
)
_action(
    "priority",
    "Give waiting tasks another priority.",
    click.option("--to", "priority", type=click.Choice(("high", "normal", "low")), required=True),
)
_action(
    "retag",
    "Add tags to tasks, and take others from them.",
    click.option("--add", metavar="TAG", multiple=True, help="May be repeated."),
    click.option("--remove", metavar="TAG", multiple=True, help="May be repeated."),
)
_action("move", "Take waiting and dead tasks to another queue.", click.option("--to", metavar="QUEUE", required=True))


def _operate(
    given: Invocation,
    action: Any,
    words: tuple[str, ...],
    arguments: dict[str, Any],
    *,
    dry_run: bool,
    yes: bool,
    most: int,
    scan: bool,
) -> None:
    with given.client() as client:
        if dry_run or not yes:
            found = client.operate(action, words, dry_run=True, most=most, scan=scan, **arguments)
            if dry_run or found.total == 0:
                _tell(given, found)
                return
            for name in found.sample[:5]:
                render.say(f"  {name}", err=True)
            more = " (there are more)" if found.more else ""
            click.confirm(f"{action} {found.total} tasks{more}?", abort=True, err=True)
        with _bar(given, action) as progress, _stopped_by_sigint() as stop:
            told = _telling(progress, stop)
            done = client.operate(action, words, most=most, scan=scan, progress=told, **arguments)
    _tell(given, done)
    if done.state == "aborted":
        raise Failure(f"Aborted: {done.done} of {done.total} were looked at, {done.changed} changed.", CONFLICT)


def _telling(progress: Callable[[Operation], None], stop: list[int]) -> Callable[[Operation], bool]:
    def told(now: Operation) -> bool:
        progress(now)
        return bool(stop)

    return told


@contextlib.contextmanager
def _stopped_by_sigint() -> Iterator[list[int]]:
    """A list that is filled by the first SIGINT, so that what is told afterwards is true; the second ends at once."""
    stop: list[int] = []

    def interrupt(*signalled: Any) -> None:
        if stop:
            signal.default_int_handler(*signalled)
        stop.append(1)

    try:
        before = signal.signal(signal.SIGINT, interrupt)
    except ValueError:  # not in the main thread
        yield stop
        return
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _bar(given: Invocation, action: str) -> Iterator[Callable[[Operation], None]]:
    """A bar on a terminal, nothing elsewhere."""
    console = render.console(given, stderr=True)
    if given.json or not console.is_terminal:
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as drawn:
        bar = drawn.add_task("finding", total=None)

        def told(now: Operation) -> None:
            if now.state == "planned":
                drawn.update(bar, description=f"found {now.total}")
            else:
                drawn.update(bar, description=f"{action} ({now.id})", completed=now.done, total=now.total)

        yield told


def _tell(given: Invocation, now: Operation) -> None:
    if given.json:
        render.document(now)
    elif now.state == "planned":
        render.say(f"{now.total} tasks would be changed" + (" (there are more)" if now.more else ""))
        render.say(*(f"  {name}" for name in now.sample))
    else:
        answers = ", ".join(f"{count} {word}" for word, count in sorted(now.answers.items()))
        render.say(f"{now.state}: {now.changed} of {now.total} changed" + (f" ({answers})" if answers else ""))
        if now.answers.get("expires"):
            render.say("expires: its start-by lies before that time; nothing was written.")
        if now.more:
            render.say("There are more: repeat it.")


@click.group(cls=Group)
def operation() -> None:
    """See or stop a change of many tasks, up to a day after it."""


@operation.command()
@click.argument("id")
@pass_invocation
def show(given: Invocation, id: str) -> None:
    """Show what an operation has done so far."""
    with given.client() as client:
        found = client.operation(id)
    if found is None:
        raise Failure(f"No operation {id}.", NOT_FOUND)
    if not given.json:
        render.say(f"{found.action} {found.search}, last step {render.moment(found.updated_at)}")
    _tell(given, found)


@operation.command()
@click.argument("id")
@pass_invocation
def abort(given: Invocation, id: str) -> None:
    """Have an operation stop after its present call."""
    with given.client() as client:
        word = client.abort(id)
    render.did(given, id, word)
    if word == "missing":
        raise Failure(f"No operation {id}.", NOT_FOUND)
