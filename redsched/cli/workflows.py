"""``redsched workflow``: tasks that come after one another, as a whole."""

from __future__ import annotations

import click

from redsched.cli import render
from redsched.cli.invocation import Group, Invocation, pass_invocation
from redsched.cli.tasks import queue_option


@click.group(cls=Group)
def workflow() -> None:
    """Act on whole workflows.

    A workflow is named by any of its tasks; redsched task tree ID shows it.
    """


@workflow.command(short_help="Cancel all tasks of a workflow.")
@click.argument("id")
@queue_option
@click.option("--reason", default="", help="Kept with the tasks, and public.")
@pass_invocation
def cancel(given: Invocation, id: str, queue: str | None, reason: str) -> None:
    """Cancel the workflow to which the task ID belongs.

    Tasks that run are asked to stop.
    """
    with given.client() as client:
        done = client.cancel_workflow(id, queue=queue, reason=reason)
    if given.json:
        render.document(done)
    else:
        render.say(f"{done.cancelled} cancelled, {done.requested} asked to stop, {done.ended} had ended")
