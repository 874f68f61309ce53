"""``redsched calendar``: named lists of dates. Each command is one call of the client."""

from __future__ import annotations

import click

from redsched.cli import render
from redsched.cli.invocation import NOT_FOUND, Failure, Group, Invocation, pass_invocation


@click.group(cls=Group)
def calendar() -> None:
    """Keep named lists of dates that schedules leave out."""


@calendar.command("set", short_help="Keep a calendar.")
@click.argument("name")
@click.argument("dates", nargs=-1, required=True)
@pass_invocation
def set_calendar(given: Invocation, name: str, dates: tuple[str, ...]) -> None:
    """Keep the dates of calendar NAME: 2027-12-25, or '*-12-25' for each year."""
    with given.client() as client:
        client.schedules.put_calendar(name, dates)
    render.did(given, name, "put")


@calendar.command("ls", short_help="List calendars.")
@pass_invocation
def list_calendars(given: Invocation) -> None:
    """List the calendars with their dates."""
    with given.client() as client:
        found = client.schedules.calendars()
    if given.json:
        render.document(found)
    else:
        render.table(given, ("calendar", "dates"), ((name, " ".join(dates)) for name, dates in sorted(found.items())))


@calendar.command("rm", short_help="Remove a calendar.")
@click.argument("name")
@pass_invocation
def remove_calendar(given: Invocation, name: str) -> None:
    """Remove calendar NAME; schedules that name it leave nothing out by it."""
    with given.client() as client:
        if not client.schedules.drop_calendar(name):
            raise Failure(f"No calendar {name}.", NOT_FOUND)
    render.did(given, name, "removed")
