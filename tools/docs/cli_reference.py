"""The page of the command line: what ``--help`` of each command says."""

from __future__ import annotations

from collections.abc import Iterator

import click

from redsched.cli.main import main

_INTRO = """# Command line

This is what `--help` of each command says. The [settings](settings.md) that it reads beside its options are left out.

"""
_SETTINGS = "\nSettings of the environment or redsched.toml:"


def page() -> str:
    """Every command, as a page."""
    parts = []
    for ctx in _commands(click.Context(main, info_name="redsched", terminal_width=100, max_content_width=100)):
        text = ctx.get_help().partition(_SETTINGS)[0].rstrip()
        depth = "##" if ctx.parent is None or ctx.parent.parent is None else "###"
        parts.append(f"{depth} {ctx.command_path}\n\n```text\n{text}\n```\n")
    return _INTRO + "\n".join(parts)


def _commands(ctx: click.Context) -> Iterator[click.Context]:
    """The contexts of a command and of all below it."""
    yield ctx
    if isinstance(ctx.command, click.Group):
        for name in ctx.command.list_commands(ctx):
            command = ctx.command.get_command(ctx, name)
            if command is not None and not command.hidden:
                yield from _commands(click.Context(command, info_name=name, parent=ctx))
