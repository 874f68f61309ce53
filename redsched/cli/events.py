"""``redsched emit``, ``redsched rule``, and what ``redsched task`` and ``redsched queue`` say of conditions. Each
command is one call of the client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from redsched.cli import files, render
from redsched.cli import values as read
from redsched.cli.invocation import NOT_FOUND, Failure, Group, Invocation, pass_invocation
from redsched.cli.queues import queue
from redsched.cli.tasks import queue_option, report, task

if TYPE_CHECKING:
    from rich.tree import Tree

    from redsched.model.happening import Branch
    from redsched.model.rule import Rule


@click.command(short_help="Record that something happened.")
@click.argument("event")
@click.argument("subject", default="")
@click.option("-d", "--data", metavar="JSON|@FILE|-", callback=read.payload, help="For conditions and payloads.")
@click.option("--ttl", metavar="DURATION", callback=read.duration, help="How long its fact is there. [default: 1d]")
@click.option("--id", help="Of the event: the same again makes no task of a rule twice.")
@pass_invocation
def emit(given: Invocation, event: str, subject: str, data: Any, ttl: int | None, id: str | None) -> None:
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
@click.option("-f", "--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="The rule as JSON or TOML, in place of the options.")
@click.option("--on", help="The event.")
@click.option("--type", help="Of the task.")
@click.option("-p", "--payload", metavar="JSON|@FILE|-", callback=read.payload, help="Of the task.")
@click.option("-q", "--queue", default="default", show_default=True, help="Of the task.")
@click.option("--in", "delay", metavar="DURATION", callback=read.duration, help="So long after the event.")
@click.option("--task-id", metavar="TEXT", help="{subject}, {event} and {id} stand for those of the event.")
@click.option("--bind", metavar="MEMBER=SOURCE", multiple=True, callback=read.pairs,
              help="Payload member from subject, event, id, data or data.x.")
@click.option("--unless", metavar="FACT", help="Skip the task where it is there.")
@click.option("--key", help="Of the task.")
@pass_invocation
def put(given: Invocation, /, id: str, path: Path | None, **fields: Any) -> None:
    """Make a task of each event of a name.

    redsched rule put dun --on payment.failed --in 1h --type log --task-id 'dun:{subject}' --bind order=subject
    """
    made = _rule_of(id, path, fields)
    with given.client() as client:
        word = client.put_rule(made)
    if given.json:
        render.document({"id": id, "status": word})
    else:
        render.say(f"{word} {id}")


def _rule_of(id: str, path: Path | None, fields: dict[str, Any]) -> Rule:
    import msgspec

    from redsched.model.rule import Rule

    if path is None:
        if not fields["on"] or not fields["type"]:
            raise click.UsageError("Give --on and --type, or --file.")
        conditions = {"conditions": {"unless": fields["unless"]}} if fields["unless"] else {}
        template = {name: fields[name] for name in ("type", "payload", "queue", "key") if fields[name] is not None}
        document = {"on": fields["on"], "delay": fields["delay"], "task_id": fields["task_id"],
                    "bind": dict(fields["bind"] or {}) or None, "task": {**template, **conditions}}  # fmt: skip
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
    rows = [(one.id, one.on, one.task.type, one.task.queue, one.task_id or f"{one.id}:{{id}}") for one in page.items]
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


@task.command(short_help="Why has it not run, and when will it?")
@click.argument("id")
@queue_option
@pass_invocation
def explain(given: Invocation, id: str, queue: str) -> None:
    """Say why a task has not run, when it will, or why it never will."""
    with given.client() as client:
        found = client.explain(id, queue=queue)
    if given.json:
        render.document(found)
        return
    render.say(found.text)
    for name, value in found.facts.items():
        render.say(f"  fact {name}: {'not there' if value is None else value}")
    for event in found.events[:10]:
        render.say(f"  {event}")


@task.command(short_help="Show a task and those that come after it.")
@click.argument("id")
@queue_option
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=200, show_default=True, help="Tasks shown.")
@pass_invocation
def tree(given: Invocation, id: str, queue: str, limit: int) -> None:
    """Show a task and those that come after it, with their states."""
    with given.client() as client:
        found = client.tree(id, queue=queue, limit=limit)
    if given.json:
        render.document(found)
        return
    render.console(given).print(_drawn(found))


def _drawn(root: Branch) -> Tree:
    """The tree; a chain is drawn as a list, since a level each would leave no room."""
    from rich.text import Text
    from rich.tree import Tree

    def label(branch: Branch) -> Text:
        text = Text(render.shown(f"{branch.id} {branch.type} "))
        text.append(render.shown(branch.state), render.STATE_STYLES.get(branch.state, ""))
        return text.append(" (above)" if branch.shown_above else "")

    drawn = Tree(label(root))
    pending = [(drawn, root)]
    for node, branch in pending:
        last, below = branch, node
        while len(last.children) == 1 and not last.more:
            last = last.children[0]
            below = node.add(label(last))
        pending += [(below.add(label(child)), child) for child in last.children]
        if last.more:
            below.add(Text("...", style="dim"))
    return drawn


def _token_command(name: str, help: str, word: str) -> Callable[..., Any]:
    def act(given: Invocation, ids: tuple[str, ...], token: str, queue: str) -> None:
        with given.client() as client:
            verb = client.confirm if name == "confirm" else client.abandon
            report(given, queue, verb(ids, token, queue=queue), (word,))

    act.__doc__ = help
    command = queue_option(pass_invocation(act))
    command = click.option("--token", required=True, help="What they were submitted with.")(command)
    return task.command(name)(click.argument("ids", nargs=-1, required=True)(command))


_token_command("confirm", "Let tasks run that were submitted as held.", "confirmed")
_token_command("abandon", "Cancel tasks that were submitted as held.", "abandoned")


def _stop_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--key", help="Only tasks of this key.")(command)
    command = click.option("--type", help="Only tasks of this type.")(command)
    return click.argument("queue", default="default")(command)


@queue.command()
@_stop_options
@click.option("--reason", default="", help="For others to read.")
@click.option("--until", metavar="TIME", callback=read.instant, help="Resume by itself then.")
@pass_invocation
def pause(
    given: Invocation, queue: str, type: str | None, key: str | None, reason: str, until: int | None
) -> None:
    """Start no more tasks of QUEUE, or of a type or key of it.

    What runs goes on; tasks whose start-by passes expire.
    """
    with given.client() as client:
        client.pause(queue, type=type, key=key, reason=reason, until=until)
    render.say(f"paused {_stop_name(queue, type, key)}")


@queue.command()
@_stop_options
@pass_invocation
def resume(given: Invocation, queue: str, type: str | None, key: str | None) -> None:
    """Go on with what was paused."""
    with given.client() as client:
        resumed = client.resume(queue, type=type, key=key)
    render.say(f"{'resumed' if resumed else 'was not paused:'} {_stop_name(queue, type, key)}")


@queue.command()
@click.argument("queues", nargs=-1)
@pass_invocation
def paused(given: Invocation, queues: tuple[str, ...]) -> None:
    """Show what is paused, in all queues or in some."""
    with given.client() as client:
        names = list(queues) or client.queues()
        found = [stop for at in range(0, len(names), 100) for stop in client.paused(names[at : at + 100])]
    if given.json:
        render.document(found)
    elif found:
        rows = [
            (stop.queue, stop.type or "", stop.key or "", render.moment(stop.since),
             render.moment(stop.until) if stop.until else "", stop.waiting, stop.reason)
            for stop in found
        ]  # fmt: skip
        render.table(given, ("queue", "type", "key", "since", "until", "#waiting", "reason"), rows)
    else:
        render.say("Nothing is paused.", err=True)


def _stop_name(queue: str, type: str | None, key: str | None) -> str:
    of = f"type {type} of " if type else f"key {key} of " if key else ""
    return f"{of}queue {queue}"
