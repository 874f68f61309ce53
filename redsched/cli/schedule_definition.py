"""What people type to say when a schedule runs: the options that ``set`` and ``preview`` share, and what they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from redsched.cli import parse

if TYPE_CHECKING:
    from redsched.model.schedule import Schedule

OVERLAPS = click.Choice(["skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other", "allow_all"])


def time_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that narrow or shift the times of an expression; ``times`` takes what they give."""
    for option in (
        click.option(
            "--dst-fold",
            type=click.Choice(["first", "last", "both"]),
            default="first",
            show_default=True,
            help="A local time that comes twice.",
        ),
        click.option(
            "--dst-gap",
            type=click.Choice(["run_after", "skip", "run_at_shifted"]),
            default="run_after",
            show_default=True,
            help="A local time that there is not.",
        ),
        click.option(
            "--dialect",
            type=click.Choice(["standard", "robfig"]),
            default="standard",
            show_default=True,
            help="How cron expressions are read.",
        ),
        click.option(
            "--exclude-calendar",
            "calendars",
            metavar="NAME",
            multiple=True,
            help="Leave out a stored calendar; may be repeated.",
        ),
        click.option(
            "--exclude-date",
            "dates",
            metavar="DATE",
            multiple=True,
            help="Leave out 2027-12-25, or *-12-25 each year; may be repeated.",
        ),
        click.option("--end", metavar="TIME", callback=parse.latest, help="No slot after."),
        click.option("--start", metavar="TIME", callback=parse.instant, help="No slot before; 0 is no limit."),
        click.option("--tz", "time_zone", metavar="ZONE", default="UTC", show_default=True, help="IANA time zone."),
    ):
        command = option(command)
    return command


def times(calendars: tuple[str, ...], dates: tuple[str, ...], **fields: Any) -> dict[str, Any]:
    """The definition's fields that were given."""
    if calendars or dates:
        fields["exclude"] = {"dates": list(dates), "calendars": list(calendars)}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in fields.items()
        if value is not None and value is not False and value != ()
    }


def definition_of(fields: dict[str, Any], index: int | None = None) -> Schedule:
    """The schedule that these fields make; ``index``: its place in a file.

    Raises:
        InvalidSchedule: a field cannot be used.
    """
    from redsched.model.errors import InvalidSchedule
    from redsched.model.schedule import schedule_of

    try:
        return schedule_of(fields)
    except InvalidSchedule as error:
        raise InvalidSchedule(error.field, error.problem, index=index, code=error.code) from None
