"""``redsched emit`` and ``redsched rule``: events, and the rules that follow them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from redsched.cli import files, parse, render
from redsched.cli.invocation import NOT_FOUND, Command, Failure, Group, Invocation, pass_invocation

if TYPE_CHECKING:
    from redsched.model.events import Rule


@click.command(cls=Command, short_help="Record that something happened.")
@click.argument("event")
@click.argument("subject", default="")
@click.option("-d", "--data", metavar="JSON|@FILE|-", callback=parse.payload, help="For conditions and payloads.")
@click.option("--ttl", metavar="DURATION", callback=parse.span, help="How long its fact is there. [default: 1d]")
@click.option("--id", help="Of the event: the same again makes no task of a rule twice.")
@pass_invocation
def emit(given: Invocation, event: str, subject: str, data: Any, ttl: timedelta | None, id: str | None) -> None:
    """Record that EVENT happened, about SUBJECT.

    Tasks that wait for it go on, those that it cancels are cancelled, rules make their tasks:
    redsched emit payment.captured order-42 -d '{"amount": 1250}'
    """
    with given.client() as client:
        found = client.emit(event, subject, data, ttl=ttl, id=id)
    if given.json:
        render.document(found)
        return
    told = "the mover goes on telling its listeners" if found.more else f"{found.heard} task(s) told"
    render.say(f"{found.fact}: {told}")
    for made in found.made:
        render.say(f"made {made}")


@click.group(cls=Group)
def rule() -> None:
    """Make tasks of events, by template."""


@rule.command("put", short_help="Create or replace a rule.")
@click.argument("id")
@click.option(
    "-f",
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The rule as JSON or TOML, in place of the options.",
)
@click.option("--on", help="The event.")
@click.option("--type", help="Of the task.")
@click.option("-p", "--payload", metavar="JSON|@FILE|-", callback=parse.payload, help="Of the task.")
@click.option("-q", "--queue", help="Of the task. [default: that of its type]")
@click.option("--in", "delay", metavar="DURATION", callback=parse.duration, help="So long after the event.")
@click.option("--task-id", metavar="TEXT", help="{subject}, {event} and {id} stand for those of the event.")
@click.option(
    "--bind",
    metavar="MEMBER=SOURCE",
    multiple=True,
    callback=parse.pairs,
    help="Payload member from subject, event, id, data or data.x.",
)
@click.option("--unless", metavar="FACT", help="Skip the task where it is there.")
@click.option("--key", help="Of the task.")
@parse.strict_option
@pass_invocation
def put(given: Invocation, /, id: str, path: Path | None, strict: bool, **fields: Any) -> None:
    """Make a task of each event of a name.

    redsched rule put dun --on payment.failed --in 1h --type log --task-id 'dun:{subject}' --bind order=subject
    """
    made = _rule_of(id, path, fields)
    with given.client(strict=strict) as client:
        word = client.put_rule(made)
    render.did(given, id, word)


def _rule_of(id: str, path: Path | None, fields: dict[str, Any]) -> Rule:
    import msgspec

    from redsched.model.events import Rule

    if path is None:
        if not fields["on"] or not fields["type"]:
            raise click.UsageError("Give --on and --type, or --file.")
        conditions = {"conditions": {"unless": fields["unless"]}} if fields["unless"] else {}
        template = {name: fields[name] for name in ("type", "payload", "queue", "key") if fields[name] is not None}
        document = {
            "on": fields["on"],
            "delay": fields["delay"],
            "task_id": fields["task_id"],
            "bind": dict(fields["bind"] or {}) or None,
            "task": {**template, **conditions},
        }
    else:
        document = files.rule(path)
    try:
        return msgspec.convert({**document, "id": id}, Rule)
    except (msgspec.ValidationError, TypeError) as error:
        raise click.UsageError(f"{path or 'the rule'}: {error}") from None


@rule.command("ls")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--cursor", help="Continue a listing where the last page ended.")
@pass_invocation
def rule_list(given: Invocation, limit: int, cursor: str | None) -> None:
    """List the rules."""
    with given.client() as client:
        page = client.rules(limit=limit, cursor=cursor, stored=True)
    if given.json:
        render.document(page)
        return
    rows = [
        (one.id, one.on, one.task.type, one.task.queue or "-", one.task_id or f"{one.id}:{{id}}") for one in page.items
    ]
    if rows:
        render.table(given, ("id", "on", "type", "queue", "task"), rows)
    else:
        render.say("No rules.", err=True)
    if page.next_cursor is not None:
        render.say(f"More: --cursor {page.next_cursor}", err=True)


@rule.command("show")
@click.argument("id")
@pass_invocation
def rule_show(given: Invocation, id: str) -> None:
    """Show one rule as JSON."""
    with given.client() as client:
        found = client.rule(id, stored=True)
    if found is None:
        raise Failure(f"No rule {id}.", NOT_FOUND)
    render.document(found)


@rule.command("rm")
@click.argument("id")
@pass_invocation
def rule_remove(given: Invocation, id: str) -> None:
    """Remove one rule; the tasks that it made stay."""
    with given.client() as client:
        gone = client.drop_rule(id)
    if not gone:
        raise Failure(f"No rule {id}.", NOT_FOUND)
    render.say(f"dropped {id}")
