"""``redsched doctor``: is everything right with the tasks and the server, and what mends what is not?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from redsched.cli import parse, render
from redsched.cli.invocation import Command, Failure, Invocation, pass_invocation

if TYPE_CHECKING:
    from redsched.observe.doctor import Line, Report

UNSOUND = 6  # exit code: a line says FAIL
STYLES = {"OK": "green", "WARN": "yellow", "FAIL": "red"}


@click.command(cls=Command, short_help="Check every rule, and the server.")
@click.option("-q", "--queue", "queues", multiple=True, help="Only this queue; may be repeated.")
@click.option(
    "--pause",
    metavar="DURATION",
    callback=parse.duration,
    default="2s",
    show_default=True,
    help="A fault counts when it is there before and after this.",
)
@click.option("--repair", is_flag=True, help="Mend what can be mended: in doubt run again, never drop.")
@click.option("--dry-run", is_flag=True, help="With --repair: only say what it would do.")
@click.option("--security", is_flag=True, help="Look at users, rights and encryption as well.")
@pass_invocation
def doctor(given: Invocation, queues: tuple[str, ...], pause: int, repair: bool, dry_run: bool, security: bool) -> None:
    """Check that every task is in exactly one place, and that the server suits.

    Nothing is written without --repair. Exit code 6 when a line says FAIL.
    """
    from redsched.observe.doctor import examine

    if dry_run and not repair:
        raise click.UsageError("--dry-run goes with --repair")
    with given.client() as client:
        report = examine(
            client,
            queues=queues,
            pause=pause / 1_000,
            repair=repair and not dry_run,
            security=security,
            tell=lambda what: render.say(f"looked at {what} ...", err=True),
        )
    if given.json:
        render.document(report)
    else:
        _print(given, report, dry_run=dry_run)
    if report.level == "FAIL":
        raise Failure(f"{sum(line.level == 'FAIL' for line in report.lines)} lines say FAIL.", UNSOUND)


def _print(given: Invocation, report: Report, *, dry_run: bool) -> None:
    from rich.text import Text

    console = render.console(given)
    for line in report.lines:
        told = render.shown(render.Lines(_told(line)))
        console.print(Text.assemble((f"{line.level:<5}", STYLES[line.level]), told), soft_wrap=True)
    for mended in report.mended:
        where = f"{mended.kind} {mended.name!r} of queue {mended.queue}"
        console.print(Text(render.shown(f"mended {where} ({mended.rule}): {mended.mended}")), soft_wrap=True)
    if dry_run:
        from redsched.observe.doctor.rules import RULES

        for fault in report.findings:
            plan = RULES[fault.rule].mend or "nothing; " + RULES[fault.rule].by_hand
            told = f"would mend {fault.kind} {fault.name!r} of queue {fault.queue} ({fault.rule}): {plan}"
            console.print(Text(render.shown(told)), soft_wrap=True)


def _told(line: Line) -> str:
    told = f"{line.check}: {line.what}"
    if line.why:
        told += f" ({line.why})"
    return told if line.level == "OK" or not line.mend else f"{told}\n      → {line.mend}"
