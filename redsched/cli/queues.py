"""``redsched queue``: what waits in each queue, how much of it is kept, and what is paused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from redsched.cli import parse, render
from redsched.cli.invocation import NOT_FOUND, Command, Failure, Group, Invocation, pass_invocation
from redsched.model.duration import is_digits
from redsched.model.errors import QueueNotFound
from redsched.model.vocabulary import DEFAULT_QUEUE

if TYPE_CHECKING:
    from redsched.client import Client
    from redsched.model.views import Paused


@click.group(cls=Group)
def queue() -> None:
    """Inspect queues."""


@queue.command("ls")
@pass_invocation
def list_(given: Invocation) -> None:
    """Show how many tasks each queue holds, and what is paused.

    By state, with how long the oldest due one has waited.
    """
    from msgspec import structs

    with given.client() as client:
        names = sorted(client.queues())
        stats, stops = client.stats(names), _all_paused(client, names)
    if given.json:
        render.document([{**structs.asdict(one), "paused": stops.get(one.queue, [])} for one in stats])
    elif stats:
        render.depths(given, stats, {queue: _briefly(found) for queue, found in stops.items()})
    else:
        render.say(f"No queues yet in namespace {given.settings().namespace}.", err=True)


def _all_paused(client: Client, names: Sequence[str]) -> dict[str, list[Paused]]:
    """What is paused, by queue."""
    found: dict[str, list[Paused]] = {}
    for at in range(0, len(names), 100):
        for stop in client.paused(names[at : at + 100]):
            found.setdefault(stop.queue, []).append(stop)
    return found


def _briefly(stops: Sequence[Paused]) -> str:
    """What is paused of a queue, in a few words."""
    if any(stop.all or not (stop.type or stop.key) for stop in stops):
        return "all of them" if any(stop.all for stop in stops) else "yes"
    if len(stops) == 1:
        return f"type {stops[0].type}" if stops[0].type else f"key {stops[0].key}"
    types = sum(stop.type is not None for stop in stops)
    return ", ".join(f"{count} {kind}" for count, kind in ((types, "types"), (len(stops) - types, "keys")) if count)


def _cap(context: click.Context, option: click.Parameter, value: str | None) -> Any:
    if value is None or value in ("none", "default"):
        return value
    if not is_digits(value):
        raise click.BadParameter(f"{value!r} is no whole number, none or default", context, option)
    return int(value)


@queue.command()
@click.argument("name", metavar="QUEUE", default="default")
@click.option("--finished", metavar="N", callback=_cap, help="Finished tasks kept; none: until their retention ends.")
@click.option("--dead", metavar="N", callback=_cap, help="Dead letters kept; none: for 30 days.")
@pass_invocation
def limit(given: Invocation, name: str, finished: int | str | None, dead: int | str | None) -> None:
    """Set how many finished and dead tasks QUEUE keeps.

    N is a number, none or default. The oldest beyond it go, but no finished one in its first ten minutes. Without
    options, show what is set.
    """
    caps = {
        field: None if value == "default" else value
        for field, value in (("most_finished", finished), ("most_dead", dead))
        if value is not None
    }
    with given.client() as client:
        limits = client.limit(name, **caps)
    if given.json:
        render.document(limits)
    else:
        shown = ("all" if most is None else f"{most:,}" for most in (limits.most_finished, limits.most_dead))
        render.say("queue {} keeps {} finished tasks and {} dead letters".format(name, *shown))


@queue.command(short_help="Set what a queue gives to tasks that say nothing.")
@click.argument("name", metavar="QUEUE", default="default")
@click.option("--max-attempts", type=click.IntRange(min=1), help="How many attempts a task has.")
@click.option(
    "--retry", metavar="POLICY", callback=parse.retry, help="5s,1m,1h or fixed:5s or exponential:5s:2:1h:0.2."
)
@click.option("--timeout", metavar="DURATION", callback=parse.span, help="Time limit of one run.")
@click.option("--expires-in", metavar="DURATION", callback=parse.span, help="Start-by, from the due time on.")
@click.option("--retention", metavar="DURATION", callback=parse.span, help="How long the id stays known after the end.")
@click.option("--key", help="Key of its tasks.")
@click.option("--unset", metavar="FIELD", multiple=True, help="Take a default back, max_attempts say; may be repeated.")
@pass_invocation
def defaults(given: Invocation, /, name: str, unset: tuple[str, ...], **fields: Any) -> None:
    """Set what QUEUE gives to tasks that do not say it themselves, where their type does not either.

    Without options, show what is set. Tasks that are there stay as they are.
    """
    wanted = {field: value for field, value in fields.items() if value is not None}
    if twice := sorted(wanted.keys() & {field.replace("-", "_") for field in unset}):
        raise click.UsageError(f"{twice[0]} is both set and unset.")
    wanted |= dict.fromkeys(field.replace("-", "_") for field in unset)
    with given.client() as client:
        found = client.defaults(name, **wanted)
    if given.json:
        render.document(found)
        return
    import msgspec

    shown = {field: value for field, value in msgspec.structs.asdict(found).items() if value is not None}
    if shown:
        render.table(
            given, ("field", "value"), [(field, render.field_text(field, one)) for field, one in shown.items()]
        )
    else:
        render.say(f"Queue {name} gives nothing to its tasks.")


def _stop_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--key", help="Only tasks of this key.")(command)
    command = click.option("--type", help="Only tasks of this type.")(command)
    command = click.option("--all", "everything", is_flag=True, help="Every queue, known or not.")(command)
    return click.argument("queue", required=False)(command)


def _one_of(queue: str | None, type: str | None, key: str | None, everything: bool) -> str:
    """The queue that is meant, where not all are."""
    if everything and (queue or type or key):
        raise click.UsageError("--all means every queue; leave out QUEUE, --type and --key.")
    return queue or DEFAULT_QUEUE


@click.command(cls=Command, short_help="Start no more tasks of a queue, or of all.")
@_stop_options
@click.option("--reason", default="", help="For others to read.")
@click.option("--until", metavar="TIME", callback=parse.instant, help="Resume by itself then.")
@click.option("--force", is_flag=True, help="Also a queue that nobody has seen.")
@pass_invocation
def pause(
    given: Invocation,
    queue: str | None,
    type: str | None,
    key: str | None,
    everything: bool,
    reason: str,
    until: int | None,
    force: bool,
) -> None:
    """Start no more tasks of QUEUE (default), or of a type or key of it.

    What runs goes on; tasks whose start-by passes expire. --all pauses every queue at once, also those that come later,
    and asks for a --reason.
    """
    named = _one_of(queue, type, key, everything)
    if everything and not reason.strip():
        raise click.UsageError("--all stops everything: say why, by --reason.")
    try:
        with given.client() as client:
            if everything:
                client.pause_all(reason=reason, until=until)
            else:
                client.pause(named, type=type, key=key, reason=reason, until=until, force=force)
    except QueueNotFound:
        raise Failure(
            f"No queue {named}, nothing changed. To pause it all the same, give --force.", NOT_FOUND
        ) from None
    render.say(f"paused {_stop_name(named, type, key, everything)}")


@click.command(cls=Command, short_help="Go on with what was paused.")
@_stop_options
@pass_invocation
def resume(given: Invocation, queue: str | None, type: str | None, key: str | None, everything: bool) -> None:
    """Go on with what was paused: QUEUE (default), a type or key of it.

    --all goes on after a pause --all. What was paused by itself stays paused.
    """
    named = _one_of(queue, type, key, everything)
    with given.client() as client:
        resumed = client.resume_all() if everything else client.resume(named, type=type, key=key)
    render.say(f"{'resumed' if resumed else 'was not paused:'} {_stop_name(named, type, key, everything)}")


queue.add_command(pause)
queue.add_command(resume)


@queue.command()
@click.argument("queues", nargs=-1)
@pass_invocation
def paused(given: Invocation, queues: tuple[str, ...]) -> None:
    """Show what is paused, in all queues or in some."""
    with given.client() as client:
        names = list(queues) or client.queues()
        everything = next((stop for stop in client.paused([DEFAULT_QUEUE]) if stop.all), None)
        found = [stop for stops in _all_paused(client, names).values() for stop in stops]
    if given.json:
        render.document(found)
        return
    if everything:
        render.say(render.paused(everything))
    if found := [stop for stop in found if not stop.all or stop.waiting]:
        rows = [
            (
                stop.queue,
                "all" if stop.all else "queue" if not (stop.type or stop.key) else "",
                stop.type or "",
                stop.key or "",
                render.moment(stop.since),
                render.moment(stop.until) if stop.until else "",
                stop.waiting,
                stop.reason,
            )
            for stop in found
        ]
        render.table(given, ("queue", "paused", "type", "key", "since", "until", "#waiting", "reason"), rows)
    elif not everything:
        render.say("Nothing is paused.", err=True)


def _stop_name(queue: str, type: str | None, key: str | None, everything: bool) -> str:
    if everything:
        return "everything"
    of = f"type {type} of " if type else f"key {key} of " if key else ""
    return f"{of}queue {queue}"
