"""``redsched task``: add, show, explain and act on tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from redsched.cli import finding, parse, render
from redsched.cli.invocation import CONFLICT, NOT_FOUND, Failure, Group, Invocation, pass_invocation
from redsched.cli.task_options import field_options

if TYPE_CHECKING:
    from rich.tree import Tree

    from redsched.model.vocabulary import Listed
    from redsched.model.workflows import Branch

STATES = (
    "scheduled",
    "held",
    "ready",
    "running",
    "finished",
    "completed",
    "skipped",
    "expired",
    "cancelled",
    "dead",
    "quarantined",
)


def queue_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--queue``, of a task that is looked for in all queues without it."""
    return click.option("-q", "--queue", help="Queue of the task; without it, all are looked through.")(command)


def _condition_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--conditions", metavar="JSON|@FILE|-", callback=parse.decoded, help="All that can be asked for."),
        click.option("--fifo", is_flag=True, default=None, help="In the order of its key."),
        click.option("--after", metavar="ID", multiple=True, help="When that task has completed; may be repeated."),
        click.option("--wait-for", metavar="FACT", multiple=True, help="Hold it until then; may be repeated."),
        click.option("--cancel-on", metavar="FACT", multiple=True, help="Cancel it where it comes; may be repeated."),
        click.option("--only-if", metavar="FACT", help="Skip it where that is not there when it is due."),
        click.option("--unless", metavar="FACT", help="Skip it where that is there when it is due."),
    ):
        command = option(command)
    return command


def _conditions(given: dict[str, Any]) -> dict[str, Any] | None:
    """Those that were given, taken from the options."""
    from redsched.model.condition import of_json

    names = ("unless", "only_if", "cancel_on", "wait_for", "after", "fifo")
    found = {name: value for name in names if (value := given.pop(name)) not in (None, ())}
    more = given.pop("conditions")
    if more is not None and not isinstance(more, dict):
        raise click.UsageError("--conditions must be an object.")
    found = {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}
    return {**(of_json(more) or {}), **found} or None


@click.group(cls=Group)
def task() -> None:
    """Add, inspect and change tasks."""


@task.command(reads=("client", "enqueue"), short_help="Add one task.")
@click.argument("type")
@click.option(
    "-p",
    "--payload",
    metavar="JSON|@FILE|-",
    callback=parse.payload,
    help="An object becomes the handler's keyword arguments.",
)
@parse.due_options
@click.option("--id", help="Makes adding idempotent: the same id again adds nothing.")
@click.option("-q", "--queue", help="Queue of the task. [default: that of its type]")
@parse.strict_option
@field_options
@_condition_options
@pass_invocation
def add(given: Invocation, /, type: str, due: int | None, delay: timedelta | None, strict: bool, **fields: Any) -> None:
    """Add one task of TYPE, due now unless --at or --in says otherwise.

    redsched task add log --in 1h --unless payment.captured:order-42
    """
    conditions = _conditions(fields)
    if due is not None and delay is not None:
        raise click.UsageError("Give --at or --in, not both.")
    if fields["expires_at"] is not None and fields["expires_in"] is not None:
        raise click.UsageError("Give --expires-at or --expires-in, not both.")
    with given.client(strict=strict) as client:
        answer = client.enqueue(type, fields.pop("payload"), due=due, delay=delay, conditions=conditions, **fields)
    if given.json:
        render.document(answer)
    else:
        other = f" ({answer.other})" if answer.other else ""
        render.say(f"{answer.status} {answer.id} in queue {answer.queue}{other}")


@task.command("ls")
@click.option("-q", "--queue", default="default", show_default=True, help="Queue of the tasks.")
@click.option("--state", type=click.Choice(STATES), default="scheduled", show_default=True)
@click.option("--type", help="Only tasks of this type.")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--cursor", help="Continue a listing where the last page ended.")
@pass_invocation
def list_(given: Invocation, queue: str, state: Listed, type: str | None, limit: int, cursor: str | None) -> None:
    """List the tasks of one queue in one state."""
    with given.client() as client:
        page = client.list(queue, state=state, type=type, limit=limit, cursor=cursor)
    if given.json:
        render.document(page)
        return
    if page.items:
        render.listing(given, page.items)
    else:
        render.say(f"No {state} tasks in queue {queue}.", err=True)
    if page.next_cursor is not None:
        render.say(f"More: --cursor {page.next_cursor}", err=True)


@task.command()
@click.argument("id")
@queue_option
@pass_invocation
def show(given: Invocation, id: str, queue: str | None) -> None:
    """Show everything known of one task."""
    with given.client() as client:
        found = client.task(id, queue=finding.queue_of(client, id) if queue is None else queue, stored=True)
    if given.json:
        render.document(found)
    else:
        render.details(given, found)


@task.command()
@click.argument("ids", nargs=-1, required=True)
@queue_option
@click.option("--reason", default="", help="Kept with the task, and public.")
@pass_invocation
def cancel(given: Invocation, ids: tuple[str, ...], queue: str | None, reason: str) -> None:
    """Stop tasks that have not finished.

    A running one is asked to stop.
    """
    with given.client() as client:
        report(given, queue, client.cancel(ids, queue=queue, reason=reason), ("cancelled", "requested"))


@task.command()
@click.argument("ids", nargs=-1, required=True)
@parse.due_options
@queue_option
@pass_invocation
def reschedule(
    given: Invocation, ids: tuple[str, ...], due: int | None, delay: timedelta | None, queue: str | None
) -> None:
    """Give waiting tasks another due time."""
    if (due is None) == (delay is None):
        raise click.UsageError("Give --at or --in.")
    with given.client() as client:
        report(given, queue, client.reschedule(ids, queue=queue, due=due, delay=delay), ("rescheduled",))


@task.command()
@click.argument("ids", nargs=-1, required=True)
@queue_option
@pass_invocation
def run(given: Invocation, ids: tuple[str, ...], queue: str | None) -> None:
    """Make waiting tasks due now."""
    with given.client() as client:
        report(given, queue, client.reschedule(ids, queue=queue, due=0), ("rescheduled",))


@task.command()
@click.argument("ids", nargs=-1, required=True)
@parse.due_options
@queue_option
@pass_invocation
def revive(
    given: Invocation, ids: tuple[str, ...], due: int | None, delay: timedelta | None, queue: str | None
) -> None:
    """Let dead tasks run again, with all their attempts."""
    if due is not None and delay is not None:
        raise click.UsageError("Give --at or --in, not both.")
    with given.client() as client:
        report(given, queue, client.revive(ids, queue=queue, due=due, delay=delay), ("revived",))


def report(given: Invocation, queue: str | None, answers: Mapping[str, str], good: tuple[str, ...]) -> None:
    """Print what happened to each id; fail with 3 when one is missing, else 4 when one was not in a fit state."""
    if given.json:
        render.document(answers)
    else:
        for id, answer in answers.items():
            render.say(f"{answer} {id}")
    missing = [id for id, answer in answers.items() if answer == "missing"]
    if missing:
        where = "any queue" if queue is None else f"queue {queue}"
        raise Failure(f"No such task in {where}: {', '.join(missing)}", NOT_FOUND)
    if unfit := render.unfit(answers, good):
        raise Failure(f"Nothing changed: {unfit}", CONFLICT)


@task.command(short_help="Why has it not run, and when will it?")
@click.argument("id")
@queue_option
@pass_invocation
def explain(given: Invocation, id: str, queue: str | None) -> None:
    """Say why a task has not run, when it will, or why it never will."""
    with given.client() as client:
        found = client.explain(id, queue=finding.queue_of(client, id) if queue is None else queue)
    if given.json:
        render.document(found)
        return
    render.say(found.text)
    for name, value in found.facts.items():
        render.say(f"  fact {name}: {'not there' if value is None else value}")
    for event in found.events[:10]:
        render.say(f"  {event}")


@task.command(short_help="Show a task and those that come after it.")
@click.argument("id")
@queue_option
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=200, show_default=True, help="Tasks shown.")
@pass_invocation
def tree(given: Invocation, id: str, queue: str | None, limit: int) -> None:
    """Show a task and those that come after it, with their states."""
    with given.client() as client:
        found = client.tree(id, queue=queue, limit=limit)
    if given.json:
        render.document(found)
        return
    render.console(given).print(_drawn(found))


def _drawn(root: Branch) -> Tree:
    """The tree; a chain is drawn as a list, since a level each would leave no room."""
    from rich.text import Text
    from rich.tree import Tree

    def label(branch: Branch) -> Text:
        text = Text(render.shown(f"{branch.id} {branch.type} "))
        text.append(render.shown(branch.state), render.STATE_STYLES.get(branch.state, ""))
        return text.append(" (above)" if branch.shown_above else "")

    drawn = Tree(label(root))
    pending = [(drawn, root)]
    for node, branch in pending:
        last, below = branch, node
        while len(last.children) == 1 and not last.more:
            last = last.children[0]
            below = node.add(label(last))
        pending += [(below.add(label(child)), child) for child in last.children]
        if last.more:
            below.add(Text("...", style="dim"))
    return drawn


def _token_command(name: str, help: str, *words: str) -> Callable[..., Any]:
    def act(given: Invocation, ids: tuple[str, ...], token: str, queue: str | None) -> None:
        with given.client() as client:
            verb = client.confirm if name == "confirm" else client.abandon
            report(given, queue, verb(ids, token, queue=queue), words)

    act.__doc__ = help
    command = queue_option(pass_invocation(act))
    command = click.option("--token", required=True, help="What they were submitted with.")(command)
    return task.command(name)(click.argument("ids", nargs=-1, required=True)(command))


_token_command("confirm", "Let tasks run that were submitted as held.", "confirmed")
_token_command("abandon", "Cancel tasks that were submitted as held.", "abandoned", "requested")
