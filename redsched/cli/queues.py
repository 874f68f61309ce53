"""``redsched queue``: what waits in each queue."""

from __future__ import annotations

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
        click.echo(f"No queues yet in namespace {given.settings().namespace}.", err=True)
