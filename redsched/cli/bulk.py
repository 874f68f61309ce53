"""``redsched bulk`` and ``redsched operation``: change all tasks that a search names."""

from __future__ import annotations

import contextlib
import shlex
import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import click

from redsched.cli import parse, render
from redsched.cli.invocation import CONFLICT, NOT_FOUND, Failure, Group, Invocation, pass_invocation, words_of
from redsched.model.vocabulary import MOST_OPERATED, OPERATION_GOES_ON, OPERATION_IS_OVER

if TYPE_CHECKING:
    from redsched.steps.operation_record import Operation


@click.group(cls=Group)
def bulk() -> None:
    """Change all tasks that a search names.

    The words are those of: redsched find. Without --yes it says how many they are, and asks.

    redsched bulk reschedule tag:merchant:M type:reminder --by +2h
    """


def _no_queue(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """Refuses --queue, which could mean both."""
    if value is not None:
        raise click.UsageError("The queue that they go to is --to QUEUE. Where they are is a word: queue:NAME.")


def _action(name: str, help: str, *options: Callable[..., Any]) -> None:
    def act(given: Invocation, /, words: tuple[str, ...], **arguments: Any) -> None:
        choice = {key: arguments.pop(key) for key in ("id", "dry_run", "yes", "most", "scan")}
        named = {key: list(value) if isinstance(value, tuple) else value for key, value in arguments.items()}
        _operate(given, name, words, {key: value for key, value in named.items() if value not in (None, [])}, **choice)

    act.__doc__ = help
    command: Callable[..., Any] = pass_invocation(act)
    for option in (
        *reversed(options),
        click.option("--scan", is_flag=True, help="Go through the queues, also for tasks of plain commands that wait."),
        click.option("--id", metavar="ID", help="Your own, or that of an operation to go on with."),
        click.option(
            "--max", "most", type=click.IntRange(1, MOST_OPERATED), default=MOST_OPERATED, help="Most tasks to change."
        ),
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
_action(
    "move",
    "Take waiting and dead tasks to another queue.",
    click.option("--to", metavar="QUEUE", required=True),
    click.option("--queue", "-q", hidden=True, expose_value=False, callback=_no_queue),
)


def _operate(
    given: Invocation,
    action: Any,
    words: tuple[str, ...],
    arguments: dict[str, Any],
    *,
    id: str | None,
    dry_run: bool,
    yes: bool,
    most: int,
    scan: bool,
) -> None:
    with given.client() as client:
        known = client.operation(id) if id is not None else None
        if dry_run or (known is None and not yes):
            found = client.operate(action, words, dry_run=True, most=most, scan=scan, **arguments)
            if dry_run or found.total == 0:
                _tell(given, found)
                return
            for name in found.sample[:5]:
                render.say(f"  {name}", err=True)
            more = " (there are more)" if found.more else ""
            click.confirm(f"{action} {found.total} tasks{more}?", abort=True, err=True)
        elif known is not None and not yes and known.state not in OPERATION_IS_OVER:
            click.confirm(f"Go on with {known.id} ({known.done} of {known.total} done)?", abort=True, err=True)
        with _bar(given, action) as progress, _stopped_by_signals() as stop:
            told = _Telling(progress, stop)
            try:
                done = client.operate(action, words, id=id, most=most, scan=scan, progress=told, **arguments)
            except Exception:
                if told.begun is not None:
                    _say_how_to_go_on(told.begun)
                raise
    _tell(given, done)
    if done.state == "aborted":
        raise Failure(f"Aborted: {done.done} of {done.total} were looked at, {done.changed} changed.", CONFLICT)
    if done.state == "stopped":
        _say_how_to_go_on(done.id)
        raise Failure(f"Stopped: {done.done} of {done.total} were looked at, {done.changed} changed.", CONFLICT)
    if done.state in OPERATION_GOES_ON:
        raise Failure(f"Another process carries it out: redsched operation show {done.id}", CONFLICT)


def _say_how_to_go_on(operation_id: str) -> None:
    """The same command again, with the operation's id."""
    given = click.get_current_context()
    named = [] if given.params["id"] else ["--id", operation_id]
    sure = [] if given.params["yes"] else ["--yes"]
    render.say(f"To go on: {shlex.join(['redsched', *words_of(given), *named, *sure])}", err=True)


class _Telling:
    """Tells of the progress, and whether the operation is to stop."""

    def __init__(self, progress: Callable[[Operation], None], stop: list[int]) -> None:
        self._progress = progress
        self._stop = stop
        self.begun: str | None = None

    def __call__(self, now: Operation) -> Literal["stopped"] | None:
        if self.begun is None and now.state != "planned":
            self.begun = now.id
            render.say(f"Operation {now.id}", err=True)
        self._progress(now)
        return "stopped" if self._stop else None


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[list[int]]:
    """A list that is filled by the first SIGINT or SIGTERM, so that what is told afterwards is true; the second ends at
    once."""
    stop: list[int] = []

    def interrupt(*signalled: Any) -> None:
        if stop:
            signal.default_int_handler(*signalled)
        stop.append(1)

    try:
        before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread
        yield stop
        return
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
            if now.state in ("planned", "finding"):
                drawn.update(bar, description=f"found {now.total}")
            else:
                drawn.update(bar, description=f"{action} ({now.id})", completed=now.done, total=now.total)

        yield told


def _tell(given: Invocation, now: Operation) -> None:
    if given.json:
        render.document(now)
    elif now.state == "planned":
        of = f": {_counts(now.states)}" if len(now.states) > 1 else ""
        render.say(f"{now.total} tasks would be changed{' (there are more)' if now.more else ''}{of}")
        if late := now.answers.get("expires"):
            render.say(f"  {late} of them would not: its start-by lies before that time")
        if now.left_out:
            render.say(f"  not for {now.action}, and left out: {_counts(now.left_out)}")
        render.say(*(f"  {name}" for name in now.sample))
    else:
        answers = f" ({_counts(now.answers)})" if now.answers else ""
        render.say(f"{now.state}: {now.changed} of {now.total} changed{answers}")
        if now.answers.get("expires"):
            render.say("expires: its start-by lies before that time; nothing was written.")
        if now.error:
            render.say(f"  {now.error}")
        if now.more:
            render.say("There are more: repeat it.")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))


@click.group(cls=Group)
def operation() -> None:
    """See or stop a change of many tasks, up to a day after it."""


@operation.command()
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True, help="Most to show.")
@pass_invocation
def ls(given: Invocation, limit: int) -> None:
    """Show the last operations, the newest first."""
    with given.client() as client:
        found = client.operations(limit=limit)
    if given.json:
        render.document(found)
        return
    rows = (
        (one.id, one.action, one.state, f"{one.changed} of {one.total}", render.moment(one.started_at), one.search)
        for one in found
    )
    render.table(given, ("id", "action", "state", "changed", "began", "search"), rows)


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
    """Have an operation stop after its present call.

    One that no process carries out ends at once.
    """
    with given.client() as client:
        word = client.abort(id)
    render.did(given, id, word)
    if word == "missing":
        raise Failure(f"No operation {id}.", NOT_FOUND)
