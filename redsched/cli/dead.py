"""``redsched dead`` and ``redsched quarantine``: what went wrong for good, and what to do with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Literal

import click

from redsched.cli import finding, parse, render
from redsched.cli.invocation import CONFLICT, NOT_FOUND, Failure, Group, Invocation, pass_invocation
from redsched.model.vocabulary import DEFAULT_QUEUE

PAGE = 500


def _queue_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("-q", "--queue", default="default", show_default=True, help="Queue to look at.")(command)


def _choice_queue_option(command: Callable[..., Any]) -> Callable[..., Any]:
    text = "Queue to look at; without it, those named by ids are looked for in all. [default: default]"
    return click.option("-q", "--queue", help=text)(command)


def _page_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--cursor", help="Continue a listing where the last page ended.")(command)
    return click.option("-n", "--limit", type=click.IntRange(1, 1000), default=50, show_default=True)(command)


def _choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--max",
            "most",
            type=click.IntRange(1, 10_000),
            default=10_000,
            show_default=True,
            help="Most tasks to act on.",
        ),
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        click.option("--dry-run", is_flag=True, help="Only tell how many there are."),
        click.option("--all", "every", is_flag=True, help="All of the queue."),
        click.option(
            "--older-than", metavar="DURATION", callback=parse.span, help="Dead for at least this long: 90s, 2d."
        ),
        click.option("--reason", help="Only those that died of this reason."),
        click.option("--type", help="Only tasks of this type."),
    ):
        command = option(command)
    return command


@click.group(cls=Group)
def dead() -> None:
    """See, revive or drop dead letters.

    Those are tasks that will not run again by themselves.
    """


@dead.command("ls")
@_queue_option
@click.option("--type", help="Only tasks of this type.")
@click.option("--reason", help="Only those that died of this reason.")
@click.option("--older-than", metavar="DURATION", callback=parse.duration, help="Dead for at least this long: 90s, 2d.")
@_page_options
@pass_invocation
def list_(
    given: Invocation,
    queue: str,
    type: str | None,
    reason: str | None,
    older_than: int | None,
    limit: int,
    cursor: str | None,
) -> None:
    """List dead letters, the latest first.

    At most --limit are looked at; where options choose among them, a page may show fewer.
    """
    from redsched.steps.bulk import clock, matches

    with given.client() as client:
        page = client.list(queue, state="dead", type=type, limit=limit, cursor=cursor)
        latest = None if older_than is None else client.converse("dead", clock()) - older_than
    items = [task for task in page.items if matches(task, reason, latest)]
    if given.json:
        render.document({"items": items, "next_cursor": page.next_cursor})
        return
    if items:
        render.table(
            given,
            ("id", "type", "#attempt", "died", "reason"),
            ((task.id, task.type, task.attempt, render.moment(task.finished_at), task.reason or "") for task in items),
        )
    else:
        none = f"No dead letters in queue {queue}. In all queues: redsched find state:dead"
        render.say(none if page.next_cursor is None else "None on this page.", err=True)
    _more(page.next_cursor)


@dead.command()
@click.argument("id")
@click.option("-q", "--queue", help="Queue of the task; without it, all are looked through.")
@click.option("--reveal", is_flag=True, help="Show the payload and the headers, too: they may hold secrets.")
@pass_invocation
def show(given: Invocation, id: str, queue: str | None, reveal: bool) -> None:
    """Show why a task died.

    Its last error with the traceback, and how each of its attempts ended.
    """
    with given.client() as client:
        found = client.task(id, queue=finding.queue_of(client, id) if queue is None else queue, stored=True)
    if found.state != "dead":
        raise Failure(f"Task {id} in queue {found.queue} is {found.state}, not dead.", CONFLICT)
    if not reveal:
        found = render.without_secrets(found)
    if given.json:
        render.document(found)
    else:
        render.details(given, found)


@dead.command()
@click.argument("ids", nargs=-1)
@_choice_queue_option
@_choice_options
@pass_invocation
def revive(given: Invocation, /, ids: tuple[str, ...], queue: str | None, **choice: Any) -> None:
    """Run dead tasks again, with all their attempts.

    Those named, or those that the options choose.
    """
    _act(given, "revive", ids, queue, **choice)


@dead.command()
@click.argument("ids", nargs=-1)
@_choice_queue_option
@_choice_options
@pass_invocation
def drop(given: Invocation, /, ids: tuple[str, ...], queue: str | None, **choice: Any) -> None:
    """Remove dead tasks for good.

    Those named, or those that the options choose.
    """
    _act(given, "drop", ids, queue, **choice)


def _act(
    given: Invocation,
    action: Literal["revive", "drop"],
    ids: tuple[str, ...],
    queue: str | None,
    *,
    type: str | None,
    reason: str | None,
    older_than: timedelta | None,
    every: bool,
    dry_run: bool,
    yes: bool,
    most: int,
) -> None:
    chosen = type is not None or reason is not None or older_than is not None
    if sum((bool(ids), every, chosen)) != 1:
        raise click.UsageError("Give ids, or choose by --type, --reason and --older-than, or say --all.")
    with given.client() as client:
        if ids:
            if dry_run:
                raise click.UsageError("--dry-run is for a choice by options.")
            if action == "drop":
                living = [id for id, view in client.show(ids, queue=queue).items() if view and view.state != "dead"]
                if living:
                    raise Failure(f"Not dead, nothing changed: {', '.join(living)}", CONFLICT)
            answers = getattr(client, action)(ids, queue=queue)
            _report(given, queue, answers, {"revive": "revived", "drop": "dropped"}[action])
            return
        from redsched.steps.bulk import Filter

        where = Filter(type=type, reason=reason, older_than=older_than)
        queue = queue or DEFAULT_QUEUE
        if not (yes or dry_run):
            found = client.bulk(action, queue=queue, where=where, dry_run=True, most=most)
            more = " (there are more)" if found.more else ""
            acted_on = found.matched - found.answers.get("expires", 0)
            click.confirm(f"{action} {acted_on} dead tasks of queue {queue}{more}?", abort=True, err=True)
        done = client.bulk(action, queue=queue, where=where, dry_run=dry_run, most=most)
    if given.json:
        render.document(done)
        return
    what = "would be changed" if dry_run else f"{action}d" if action == "revive" else "dropped"
    expired = done.answers.get("expires", 0)
    render.say(
        f"{done.matched - expired if dry_run else done.changed} of {done.matched} {what}"
        + (f"; {expired} would expire, for their start-by has passed" if expired else "")
        + ("; there are more: repeat it" if done.more else "")
    )


def _report(given: Invocation, queue: str | None, answers: Mapping[str, str], good: str) -> None:
    if given.json:
        render.document(answers)
    else:
        for id, answer in answers.items():
            render.say(f"{answer} {id}")
    if missing := [id for id, answer in answers.items() if answer == "missing"]:
        where = "in no queue" if queue is None else f"queue {queue}"
        raise Failure(f"Not there, {where}: {', '.join(missing)}", NOT_FOUND)
    if unfit := render.unfit(answers, (good,)):
        raise Failure(f"Nothing changed: {unfit}", CONFLICT)


def _more(cursor: str | None) -> None:
    if cursor is not None:
        render.say(f"More: --cursor {cursor}", err=True)


@click.group(cls=Group)
def quarantine() -> None:
    """See, requeue or drop what was set aside.

    Those are ids in the due set, and of inboxes, that name no usable task.
    """


@quarantine.command("ls")
@_queue_option
@_page_options
@pass_invocation
def quarantine_list(given: Invocation, queue: str, limit: int, cursor: str | None) -> None:
    """List what was set aside and why, the latest first."""
    with given.client() as client:
        page = client.quarantined(queue, limit=limit, cursor=cursor)
    if given.json:
        items = [{"id": item.id, "reason": item.reason, "at": item.at} for item in page.items]
        render.document({"items": items, "next_cursor": page.next_cursor})
        return
    if page.items:
        render.table(
            given,
            ("id", "reason", "set aside"),
            ((item.id, item.reason, render.moment(item.at)) for item in page.items),
        )
    else:
        render.say(f"Nothing is in the quarantine of queue {queue}.", err=True)
    _more(page.next_cursor)


@quarantine.command()
@click.argument("ids", nargs=-1, required=True)
@_queue_option
@parse.due_options
@pass_invocation
def requeue(given: Invocation, ids: tuple[str, ...], queue: str, due: int | None, delay: timedelta | None) -> None:
    """Schedule ids whose task is good by now."""
    if due is not None and delay is not None:
        raise click.UsageError("Give --at or --in, not both.")
    with given.client() as client:
        _report(given, queue, client.requeue(ids, queue=queue, due=due, delay=delay), "requeued")


@quarantine.command("drop")
@click.argument("ids", nargs=-1)
@_queue_option
@click.option("--reason", help="All that were set aside for this reason.")
@click.option("--all", "every", is_flag=True, help="All of the queue.")
@click.option("--dry-run", is_flag=True, help="Only tell how many there are.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_invocation
def quarantine_drop(
    given: Invocation, ids: tuple[str, ...], queue: str, reason: str | None, every: bool, dry_run: bool, yes: bool
) -> None:
    """Forget what was set aside; no task is touched.

    Those named, those of a reason, or all.
    """
    if sum((bool(ids), every, reason is not None)) != 1:
        raise click.UsageError("Give ids, or --reason, or --all.")
    with given.client() as client:
        members: list[bytes] = []
        cursor: str | None = None
        while True:
            page = client.quarantined(queue, limit=PAGE, cursor=cursor)
            members += (
                item.member
                for item in page.items
                if every or item.id in ids or (reason is not None and item.reason == reason)
            )
            if (cursor := page.next_cursor) is None:
                break
        members = list(dict.fromkeys(members))
        if not (dry_run or yes or ids):
            click.confirm(f"drop {len(members)} members of the quarantine of queue {queue}?", abort=True, err=True)
        dropped = 0
        for at in range(0, 0 if dry_run else len(members), PAGE):
            dropped += client.drop_quarantined(members[at : at + PAGE], queue=queue)
    if given.json:
        render.document({"matched": len(members), "dropped": dropped, "dry_run": dry_run})
    else:
        render.say(f"{len(members)} would be dropped" if dry_run else f"{dropped} of {len(members)} dropped")
    if ids and not members:
        raise Failure(f"Not in the quarantine of queue {queue}: {', '.join(ids)}", NOT_FOUND)
