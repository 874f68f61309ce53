"""``redsched queue``: what waits in each queue, how much of it is kept, and what is paused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from redsched.cli import parse, render
from redsched.cli.invocation import Group, Invocation, pass_invocation


@click.group(cls=Group)
def queue() -> None:
    """Inspect queues."""


@queue.command("ls")
@pass_invocation
def list_(given: Invocation) -> None:
    """Show how many tasks each queue holds.

    By state, with how long the oldest due one has waited.
    """
    with given.client() as client:
        stats = client.stats(sorted(client.queues()))
    if given.json:
        render.document(stats)
    elif stats:
        render.depths(given, stats)
    else:
        render.say(f"No queues yet in namespace {given.settings().namespace}.", err=True)


def _cap(context: click.Context, option: click.Parameter, value: str | None) -> Any:
    if value is None or value in ("none", "default"):
        return value
    if not value.isascii() or not value.isdecimal():
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


def _stop_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--key", help="Only tasks of this key.")(command)
    command = click.option("--type", help="Only tasks of this type.")(command)
    return click.argument("queue", default="default")(command)


@queue.command()
@_stop_options
@click.option("--reason", default="", help="For others to read.")
@click.option("--until", metavar="TIME", callback=parse.instant, help="Resume by itself then.")
@pass_invocation
def pause(given: Invocation, queue: str, type: str | None, key: str | None, reason: str, until: int | None) -> None:
    """Start no more tasks of QUEUE, or of a type or key of it.

    What runs goes on; tasks whose start-by passes expire.
    """
    with given.client() as client:
        client.pause(queue, type=type, key=key, reason=reason, until=until)
    render.say(f"paused {_stop_name(queue, type, key)}")


@queue.command()
@_stop_options
@pass_invocation
def resume(given: Invocation, queue: str, type: str | None, key: str | None) -> None:
    """Go on with what was paused."""
    with given.client() as client:
        resumed = client.resume(queue, type=type, key=key)
    render.say(f"{'resumed' if resumed else 'was not paused:'} {_stop_name(queue, type, key)}")


@queue.command()
@click.argument("queues", nargs=-1)
@pass_invocation
def paused(given: Invocation, queues: tuple[str, ...]) -> None:
    """Show what is paused, in all queues or in some."""
    with given.client() as client:
        names = list(queues) or client.queues()
        found = [stop for at in range(0, len(names), 100) for stop in client.paused(names[at : at + 100])]
    if given.json:
        render.document(found)
    elif found:
        rows = [
            (
                stop.queue,
                stop.type or "",
                stop.key or "",
                render.moment(stop.since),
                render.moment(stop.until) if stop.until else "",
                stop.waiting,
                stop.reason,
            )
            for stop in found
        ]
        render.table(given, ("queue", "type", "key", "since", "until", "#waiting", "reason"), rows)
    else:
        render.say("Nothing is paused.", err=True)


def _stop_name(queue: str, type: str | None, key: str | None) -> str:
    of = f"type {type} of " if type else f"key {key} of " if key else ""
    return f"{of}queue {queue}"
