"""``redsched schedule``: recurring schedules. Each command is one call of the client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from redsched.cli import files, parse, render
from redsched.cli.invocation import CONFLICT, NOT_FOUND, Failure, Group, Invocation, pass_invocation
from redsched.cli.schedule_definition import OVERLAPS, definition_of, time_options, times

if TYPE_CHECKING:
    from redsched.schedule.definition import Overlap, Run


def _overlap_option(command: Callable[..., Any]) -> Callable[..., Any]:
    text = "While a run has not ended. [default: the schedule's]"
    return click.option("--overlap", type=OVERLAPS, help=text)(command)


@click.group(cls=Group)
def schedule() -> None:
    """Run tasks again and again, by cron or calendar.

    Set, see, pause, trigger and backfill schedules.
    """


@schedule.command("ls", short_help="List schedules.")
@click.option("-n", "--limit", type=click.IntRange(1, 100), default=50, show_default=True)
@click.option("--cursor", help="Continue a listing where the last page ended.")
@pass_invocation
def list_(given: Invocation, limit: int, cursor: str | None) -> None:
    """List schedules, the one that is looked at next first."""
    from redsched.model.schedule_views import described, view_document

    with given.client() as client:
        page = client.schedules.list(limit=limit, cursor=cursor, stored=True)
    if given.json:
        render.document({"items": [view_document(view) for view in page.items], "next_cursor": page.next_cursor})
        return
    if page.items:
        render.table(
            given,
            ("id", "state", "when", "next run", "#fired", "#missed", "#skipped"),
            (
                (
                    view.schedule.id,
                    view.state,
                    described(view),
                    view.next_runs[0].local if view.next_runs else "-",
                    *(view.counters[name] for name in ("fired", "missed", "skipped")),
                )
                for view in page.items
            ),
        )
    else:
        render.say("No schedules.", err=True)
    if page.next_cursor is not None:
        render.say(f"More: --cursor {page.next_cursor}", err=True)


@schedule.command(short_help="Show one schedule.")
@click.argument("id")
@pass_invocation
def show(given: Invocation, id: str) -> None:
    """Show a schedule: its definition, its next and its last runs, its counters."""
    from redsched.model.schedule import document
    from redsched.model.schedule_views import described, view_document

    with given.client() as client:
        view = client.schedules.get(id, stored=True)
    if given.json:
        render.document(view_document(view))
        return
    rows = [(name, _text(value)) for name, value in document(view.schedule).items()]
    state = view.state if view.paused_reason is None else f"{view.state}: {view.paused_reason}"
    rows += [("when", described(view)), ("state", state), ("rev", str(view.rev)), ("buffered", str(view.buffered))]
    if view.paused_until is not None:
        rows.append(("paused until", render.moment(view.paused_until)))
    rows += [(name, str(n)) for name, n in view.counters.items()]
    render.table(given, ("field", "value"), rows)
    if view.next_runs:
        click.echo()
        _runs(given, view.next_runs)
    if view.recent_runs:
        click.echo()
        render.table(
            given,
            ("last runs", "state", "fired", "#late ms"),
            (
                (run.id, run.state, render.moment(run.fired_at), "-" if run.lateness_ms is None else run.lateness_ms)
                for run in reversed(view.recent_runs)
            ),
        )


@schedule.command("set", reads=("client", "schedule"), short_help="Create or replace a schedule.")
@click.argument("id")
@click.argument("type")
@click.option("--cron", metavar="EXPR", multiple=True, help="'0 9 L * *', '@daily', '@every 5m'; may be repeated.")
@click.option("--every", metavar="DURATION", multiple=True, help="90s, or 1h/15m with a phase; may be repeated.")
@click.option("--rrule", metavar="RULE", multiple=True, help="RFC 5545: 'FREQ=MONTHLY;BYDAY=-1FR'; may be repeated.")
@click.option("--at", metavar="TIME", multiple=True, help="One instant, RFC 3339; may be repeated.")
@click.option(
    "--after-completion",
    metavar="DURATION",
    callback=parse.duration,
    help="So long after each run ended, in whatever way.",
)
@time_options
@click.option("-p", "--payload", metavar="JSON|@FILE|-", callback=parse.payload, help="Of each task.")
@click.option("-q", "--queue", help="Queue of the tasks. [default: that of their type]")
@click.option("--priority", type=click.Choice(["high", "normal", "low"]), default="normal", show_default=True)
@click.option("--max-attempts", type=click.IntRange(min=1), help="Runs before a task is dead. [default: 5]")
@click.option("--timeout", metavar="DURATION", callback=parse.duration, help="Of one run. [default: 60s]")
@click.option("--expires-in", metavar="DURATION", callback=parse.duration, help="Never start a task later than this.")
@click.option("--overlap", type=OVERLAPS, default="skip", show_default=True, help="While a run has not ended.")
@click.option(
    "--catch-up",
    type=click.Choice(["none", "latest", "all"]),
    default="latest",
    show_default=True,
    help="Which slots of the past are run.",
)
@click.option(
    "--catch-up-window",
    metavar="DURATION",
    callback=parse.duration,
    help="None that are later than this and over 5s. [default: 60s]",
)
@click.option("--jitter", metavar="DURATION", callback=parse.duration, help="Move each run by up to this.")
@click.option("--max-runs", type=click.IntRange(min=1), help="End after so many.")
@click.option("--pause-on-failure", is_flag=True, help="Pause when a task of it is dead.")
@click.option("--description", help="For people.")
@click.option("--create-only", is_flag=True, help="Change nothing where it exists.")
@parse.strict_option
@pass_invocation
def set_(
    given: Invocation,
    /,
    id: str,
    type: str,
    payload: Any,
    create_only: bool,
    strict: bool,
    calendars: tuple[str, ...],
    dates: tuple[str, ...],
    **fields: Any,
) -> None:
    """Create schedule ID, or replace it: it makes tasks of TYPE."""
    names = ("queue", "priority", "max_attempts", "timeout", "expires_in")
    task = {"type": type, "payload": payload}
    task |= {name: value for name in names if (value := fields.pop(name)) is not None}
    definition = definition_of({"id": id, "task": task, **times(calendars, dates, **fields)})
    with given.client(strict=strict) as client:
        answer = client.schedules.put(definition, create_only=create_only)
    if given.json:
        render.document(answer)
    else:
        render.say(f"{answer.status} {answer.id}, revision {answer.rev}")
    if answer.status == "exists":
        raise Failure(f"Schedule {id} exists; nothing was written.", CONFLICT)


@schedule.command(reads=("client", "schedule"), short_help="Set all schedules of a file.")
@click.option("-f", "--file", "file", metavar="FILE", required=True, help=".toml with [[schedule]] tables, or .json.")
@click.option(
    "--owner", default="apply", show_default=True, help="In whose name: a name for each file that is applied."
)
@click.option("--prune", is_flag=True, help="Remove what this owner has put and the file has not.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@parse.strict_option
@pass_invocation
def apply(given: Invocation, /, file: str, owner: str, prune: bool, dry_run: bool, strict: bool) -> None:
    """Create, update and with --prune remove schedules until they are as in the file.

    All are checked before any is written. What applications, other owners or people have put is never removed.
    """
    definitions = [definition_of(one, at) for at, one in enumerate(files.schedules(file))]
    with given.client(strict=strict) as client:
        done = client.schedules.apply(definitions, owner=owner, prune=prune, dry_run=dry_run)
    if given.json:
        render.document(done)
        return
    would = "would be " if dry_run else ""
    for word, ids in (
        ("created", done.created),
        ("updated", done.updated),
        ("unchanged", done.unchanged),
        ("removed", done.pruned),
    ):
        for one in ids:
            render.say(f"{would if word != 'unchanged' else ''}{word} {one}")
    if done.other:
        names = ", ".join(done.other)
        raise Failure(f"{names}: an application of which a worker lives has put it; it stays as it was.", CONFLICT)


@schedule.command(short_help="Show when an expression runs.")
@click.argument("cron", metavar="[EXPR]", nargs=-1)
@click.option("--every", metavar="DURATION", multiple=True, help="90s, or 1h/15m with a phase; may be repeated.")
@click.option("--rrule", metavar="RULE", multiple=True, help="RFC 5545; may be repeated.")
@time_options
@click.option("--from", "begin", metavar="TIME", callback=parse.instant, help="From then on. [default: now]")
@click.option("-n", "--count", type=click.IntRange(1, 1000), default=10, show_default=True)
@click.option("--id", "schedule_id", metavar="ID", default="preview", help="Its id: H and jitter depend on it.")
@pass_invocation
def preview(
    given: Invocation,
    /,
    schedule_id: str,
    begin: int | None,
    count: int,
    calendars: tuple[str, ...],
    dates: tuple[str, ...],
    **fields: Any,
) -> None:
    """Show the next runs of cron EXPR and notes at the edges of daylight saving time; nothing is written.

    With --from and without --exclude-calendar it needs no Redis.
    """
    from redsched.model.schedule_views import run_document
    from redsched.schedule.slots import Plan

    definition = definition_of({"id": schedule_id, "task": {"type": "preview"}, **times(calendars, dates, **fields)})
    if begin is not None and not calendars:
        runs = Plan(definition).preview(begin - 1, count)
    else:
        with given.client() as client:
            runs = client.schedules.preview(definition, start=begin, count=count)
    if given.json:
        render.document({"description": Plan(definition).describe(), "runs": [run_document(run) for run in runs]})
        return
    render.say(Plan(definition).describe())
    _runs(given, runs)


@schedule.command(short_help="Make no more runs for now.")
@click.argument("id")
@click.option("--reason", default="", help="Shown where somebody asks why.")
@click.option("--until", metavar="TIME", callback=parse.instant, help="Go on by itself then.")
@pass_invocation
def pause(given: Invocation, id: str, reason: str, until: int | None) -> None:
    """Make no runs until it is resumed; its slots meanwhile are counted as missed."""
    with given.client() as client:
        client.schedules.pause(id, reason=reason, until=until)
    render.did(given, id, "paused")


@schedule.command(short_help="Go on with a paused schedule.")
@click.argument("id")
@pass_invocation
def resume(given: Invocation, id: str) -> None:
    """Go on with the next slot."""
    with given.client() as client:
        was = client.schedules.resume(id)
    render.did(given, id, "resumed" if was else "active")


@schedule.command(reads=("client", "schedule"), short_help="Run a schedule's task now.")
@click.argument("id")
@click.option("-p", "--payload", metavar="JSON|@FILE|-", callback=parse.payload, help="In place of the schedule's.")
@_overlap_option
@parse.strict_option
@click.pass_context
@pass_invocation
def trigger(
    given: Invocation, context: click.Context, /, id: str, payload: Any, overlap: Overlap | None, strict: bool
) -> None:
    """Run its task now; its slots stay as they are."""
    said = context.get_parameter_source("payload") is click.core.ParameterSource.COMMANDLINE
    own = {"payload": payload} if said else {}
    with given.client(strict=strict) as client:
        made = client.schedules.trigger(id, overlap=overlap, **own)
    if given.json:
        render.document({"id": id, "task_id": made})
    else:
        render.say(f"made {made}" if made else "not made now: a run has not ended, and its overlap policy says so")


@schedule.command(short_help="Run slots of the past once more.")
@click.argument("id")
@click.option("--from", "begin", metavar="TIME", required=True, callback=parse.instant, help="First slot, included.")
@click.option("--to", "end", metavar="TIME", required=True, callback=parse.latest, help="Last slot, included.")
@_overlap_option
@click.option("--dry-run", is_flag=True, help="Only tell which.")
@pass_invocation
def backfill(given: Invocation, /, id: str, begin: int, end: int, overlap: Overlap | None, dry_run: bool) -> None:
    """Run its task for each slot of a range, at most 1000."""
    with given.client() as client:
        done = client.schedules.backfill(id, begin, end, overlap=overlap, dry_run=dry_run)
    if given.json:
        render.document(done)
        return
    for slot in done.slots:
        render.say(slot.isoformat())
    if not dry_run:
        render.say(f"made {len(done.ids)}, waiting {done.waiting}, left out by overlap {done.skipped}", err=True)


@schedule.command("rm", short_help="Remove schedules.")
@click.argument("ids", nargs=-1, required=True)
@pass_invocation
def remove(given: Invocation, ids: tuple[str, ...]) -> None:
    """Remove schedules for good; the tasks that they made stay."""
    with given.client() as client:
        gone = {one: client.schedules.delete(one) for one in ids}
    if given.json:
        render.document({one: "removed" if was else "missing" for one, was in gone.items()})
    else:
        for one, was in gone.items():
            render.say(f"{'removed' if was else 'no schedule'} {one}")
    if not all(gone.values()):
        raise Failure("Some were not there.", NOT_FOUND)


def _runs(given: Invocation, runs: Sequence[Run]) -> None:
    from redsched.model.duration import instant

    render.table(
        given,
        ("local time", "due", "note"),
        ((run.local, render.moment(instant(run.due_ms)), run.note) for run in runs),
    )


def _text(value: Any) -> str:
    import msgspec

    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
