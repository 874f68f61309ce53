"""``redsched torture``: tries to break this Redis and these processes, and says whether a promise was broken."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from redsched.cli import render
from redsched.cli.invocation import Command, Invocation, pass_invocation

SHOWN = 20


@click.command(cls=Command, reads=("client", "enqueue"), short_help="Try hard to lose a task on this Redis.")
@click.option("--minutes", type=click.FloatRange(0.05, 600), default=2.0, show_default=True, help="How long.")
@click.option("--seed", type=int, help="Of the faults. [default: by chance, and told]")
@click.option(
    "--history",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep the history there. [default: kept only where something was violated]",
)
@pass_invocation
def torture(given: Invocation, minutes: float, seed: int | None, folder: Path | None) -> None:
    """Try hard to lose a task on this Redis.

    Producers, workers, movers and the HTTP interface run in a scratch namespace and are killed, paused and cut off;
    then
    their histories are compared. Redis itself is left alone, and the namespace is removed. Exits with 1 when a task
    was lost, doubled without a reason, early, or started in spite of being cancelled or expired.
    """
    from redsched.torture.run import table, torture

    chosen = secrets.randbelow(1_000_000) if seed is None else seed
    render.say(f"seed {chosen}, {minutes:g} min", err=True)
    report = torture(
        given.settings(log_level="warning"),
        minutes=minutes,
        seed=chosen,
        folder=folder,
        tell=lambda line: render.say(line, err=True),
    )
    if given.json:
        render.document(
            {
                "seed": chosen,
                "ok": report.ok,
                **{name: value for name, value in table(report)},
                "violations": [v._asdict() for v in report.violations[:SHOWN]],
            }
        )
    else:
        for name, value in table(report):
            render.say(f"{name:<36}{value}")
        for violation in report.violations[:SHOWN]:
            render.say(f"{violation.rule} {violation.id}: {violation.story}")
        render.say("kept every promise" if report.ok else "BROKE A PROMISE")
    if not report.ok:
        raise SystemExit(1)
