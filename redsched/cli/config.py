"""``redsched config``: which settings hold here, where each comes from, and what is wrong with them."""

from __future__ import annotations

import click

from redsched.cli import render
from redsched.cli.invocation import FAILURE, Group, Invocation, pass_invocation

EVERY = ("client", "enqueue", "worker", "mover", "api", "up", "demo")


@click.group(cls=Group)
def config() -> None:
    """Show and check the settings of this place."""


@config.command(reads=EVERY, short_help="List every setting and its source.")
@click.option("--json", "as_json", is_flag=True, help="The same as -o json.")
@pass_invocation
def show(given: Invocation, as_json: bool) -> None:
    """List every setting with its value, its unit and its source. Secrets are masked."""
    from redsched.settings import TABLE

    configuration = given.configuration()
    given.warn(configuration)
    settings = configuration.settings()
    values = {name: row.masked(getattr(settings, name)) for name, row in TABLE.items()}
    if given.json or as_json:
        listed = [
            {"setting": name, "value": values[name], "unit": row.unit, "source": configuration.source(name)}
            for name, row in TABLE.items()
        ]
        render.document({"file": configuration.file, "settings": listed, "warnings": configuration.warnings})
        return
    render.say(f"File of settings: {configuration.file or 'none'}", err=True)
    rows = [
        (name, row.text(values[name]) or row.about.without or "-", row.unit, configuration.source(name))
        for name, row in TABLE.items()
    ]
    render.table(given, ("setting", "value", "unit", "source"), rows)


@config.command(reads=EVERY, short_help="Say what is wrong with the settings.")
@pass_invocation
def check(given: Invocation) -> None:
    """Say everything that is wrong with the settings; exit code 1 where something is.

    Nothing connects: a Redis that does not answer is not found out here.
    """
    configuration = given.configuration()
    given.warn(configuration)
    problems = configuration.all_problems()
    if given.json:
        render.document({"file": configuration.file, "problems": problems, "warnings": configuration.warnings})
    else:
        render.say(*(problems or ["The settings can be used."]), err=bool(problems))
    if problems:
        raise SystemExit(FAILURE)
