"""``redsched install``, ``lua show`` and ``version``: what is shipped and what a server has of it."""

from __future__ import annotations

import platform

import click

from redsched.cli import render
from redsched.cli.invocation import Command, Group, Invocation, pass_invocation


@click.command(cls=Command, short_help="Put the scripts on the Redis server.")
@pass_invocation
def install(given: Invocation) -> None:
    """Put the scripts on the Redis server, so that other languages can call them."""
    import msgspec

    with given.client() as client:
        installed = client.install()
    if given.json:
        render.document(installed)
        return
    for field in msgspec.structs.fields(installed):
        value = getattr(installed, field.name)
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        render.say(f"{field.name:<10}{text}")


@click.group(cls=Group)
def lua() -> None:
    """Read the Lua that redsched runs inside Redis."""


@lua.command(reads=())
@click.argument("verb")
@click.option(
    "--form",
    type=click.Choice(["script", "function", "contract"]),
    default="script",
    show_default=True,
    help="One verb for EVALSHA, the whole library for FUNCTION LOAD, or what the verb takes and answers.",
)
def show(verb: str, form: str) -> None:
    """Print the Lua text of VERB, or what it takes and answers."""
    from redsched.wire import scripts

    if verb not in scripts.verbs():
        raise click.BadParameter(f"{verb!r} is none of {', '.join(scripts.verbs())}", param_hint="VERB")
    if form == "contract":
        click.echo(scripts.header(verb).comment)
    else:
        click.echo(scripts.library() if form == "function" else scripts.script(verb))


def print_version(context: click.Context, option: click.Parameter, is_asked: bool) -> None:
    """What ``redsched --version`` does: print the version and end."""
    if is_asked and not context.resilient_parsing:
        from redsched import __version__

        render.say(f"redsched {__version__} (Python {platform.python_version()})")
        context.exit()


@click.command(cls=Command, reads=())
@pass_invocation
def version(given: Invocation) -> None:
    """Print the version."""
    from redsched import __version__

    if given.json:
        render.document({"redsched": __version__, "python": platform.python_version()})
    else:
        render.say(f"redsched {__version__} (Python {platform.python_version()})")
