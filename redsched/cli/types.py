"""``redsched type``: what workers have put of the types of tasks. Each command is one call of the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from redsched.cli import render
from redsched.cli.invocation import NOT_FOUND, Failure, Group, Invocation, pass_invocation

if TYPE_CHECKING:
    from redsched.model.task_types import TypeView


@click.group("type", cls=Group)
def type_() -> None:
    """Show the types of tasks that workers run."""


@type_.command("ls", short_help="List the types.")
@click.option("-n", "--limit", type=click.IntRange(1, 200), default=100, show_default=True)
@click.option("--cursor", metavar="TYPE", help="Continue a listing where the last page ended.")
@pass_invocation
def list_types(given: Invocation, limit: int, cursor: str | None) -> None:
    """List the types that workers have put, with the queue and the defaults of each.

    A task that does not say them gets them.
    """
    with given.client() as client:
        page = client.types(limit=limit, cursor=cursor)
    if given.json:
        render.document(page)
        return
    if not page.items:
        render.say("No worker has put a type yet.", err=True)
        return
    rows = [(one.name, one.queue, _app(one), "yes" if one.live else "no", _defaults(one)) for one in page.items]
    render.table(given, ("type", "queue", "app", "live", "defaults"), rows)
    if page.next_cursor is not None:
        render.say(f"More: --cursor {page.next_cursor}", err=True)


@type_.command("show", short_help="Show one type.")
@click.argument("name", metavar="TYPE")
@pass_invocation
def show_type(given: Invocation, name: str) -> None:
    """Show all that workers have put of TYPE, with the JSON Schema of its payloads."""
    with given.client() as client:
        found = client.type(name)
    if found is None:
        raise Failure(f"No worker has put a type {name}.", NOT_FOUND)
    if given.json:
        render.document(found)
    else:
        import msgspec

        fields = {name: value for name, value in msgspec.structs.asdict(found).items() if value is not None}
        rows = [(name, render.field_text(name, value)) for name, value in fields.items()]
        render.table(given, ("field", "value"), rows)


def _app(one: TypeView) -> str:
    return one.app if one.version is None else f"{one.app} {one.version}"


def _defaults(one: TypeView) -> str:
    from redsched.model.duration import duration_text

    durations = {"timeout": one.timeout_ms, "start-by": one.expires_in_ms, "retention": one.retention_ms}
    found = [f"{name} {duration_text(value)}" for name, value in durations.items() if value is not None]
    others = {"attempts": one.max_attempts, "retry": one.retry, "key": one.key}
    return ", ".join([f"{name} {value}" for name, value in others.items() if value is not None] + found)
