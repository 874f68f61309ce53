"""What ``--help`` says of settings: option, environment variable and default, from the table of settings."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from redsched.configuration.table import Row


def rows_read(words: Collection[str], but: Collection[str] = ()) -> dict[str, Row]:
    """The settings that somebody of these words reads, by name."""
    from redsched.settings import TABLE

    return {
        name: row
        for name, row in TABLE.items()
        if name not in but and not set(words).isdisjoint(row.about.read_by.split())
    }


def write_options(
    command: click.Command, ctx: click.Context, formatter: click.HelpFormatter, rows: dict[str, Row]
) -> None:
    """Write the options, those of a setting with its variable and default."""
    records = []
    for option in command.get_params(ctx):
        record = None if isinstance(option, click.Argument) else option.get_help_record(ctx)
        if record is not None:
            row = rows.get(option.name or "")
            note = "" if row is None else f" {_note('env: ', row.variables[-1], row)}"
            records.append((record[0], record[1] + note))
    with formatter.section("Options"):
        formatter.write_dl(records)


def write_settings(
    command: click.Command, ctx: click.Context, formatter: click.HelpFormatter, rows: dict[str, Row]
) -> None:
    """Write the settings that are not among the options: they come from the environment or the file of settings, some
    of them from a global option."""
    shown = {option.name for option in command.get_params(ctx) if not getattr(option, "hidden", False)}
    global_options = {option.name: option.opts for option in command.get_params(ctx) if option.name not in shown}
    records = [
        (
            ", ".join((row.variables[-1], *global_options.get(name, ()))),
            f"{row.about.help[:1].upper()}{row.about.help[1:]}. {_note('or ', '', row)}",
        )
        for name, row in rows.items()
        if name not in shown
    ]
    if records:
        with formatter.section("Settings of the environment or redsched.toml"):
            formatter.write_dl(records)


def _note(intro: str, variable: str, row: Row) -> str:
    """Such as ``[env: REDSCHED_CONCURRENCY; default: 16]``."""
    variables = [name for name in (variable, row.secret_file, row.about.also) if name]
    notes = [intro + ", ".join(variables)] if variables else []
    return f"[{'; '.join((*notes, f'default: {row.shown_default}'))}]"
