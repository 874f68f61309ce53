"""``redsched queue``: what waits in each queue, and how much of it is kept."""

from __future__ import annotations

from typing import Any

import click

from redsched.cli import render
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
    caps = {field: None if value == "default" else value
            for field, value in (("most_finished", finished), ("most_dead", dead)) if value is not None}
    with given.client() as client:
        limits = client.limit(name, **caps)
    if given.json:
        render.document(limits)
    else:
        shown = ("all" if most is None else f"{most:,}" for most in (limits.most_finished, limits.most_dead))
        render.say("queue {} keeps {} finished tasks and {} dead letters".format(name, *shown))
