"""``redsched find``: tasks of all queues, and all about one subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from redsched.cli import render
from redsched.cli.invocation import NOT_FOUND, Command, Failure, Invocation, pass_invocation
from redsched.model.errors import TaskNotFound
from redsched.model.event_details import detail_texts

if TYPE_CHECKING:
    from redsched.client import Client
    from redsched.model.search import Subject
    from redsched.model.task import TaskView

PAGES = 25  # that are looked through for the first task


@click.command(cls=Command, short_help="Find tasks in all queues, or all about one subject.")
@click.argument("words", nargs=-1, required=True)
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--cursor", help="Continue where the last page ended.")
@click.option("--scan", is_flag=True, help="Go through the queues, also for tasks of plain commands that wait.")
@pass_invocation
def find(given: Invocation, words: tuple[str, ...], limit: int, cursor: str | None, scan: bool) -> None:
    """Find the tasks for which all WORDS hold, whatever their queue and state.

    \b
    order-42            the part of their ids before the first colon
    order-42:remind     their id; also id:ID
    tag:T  key:K        type:T  queue:Q  reason:R
    state:S[,S]         scheduled ... dead; finished; waiting (scheduled, held or ready)
    due:<1h             within the next hour, or overdue; also >1h, 1h..2h, an instant
    created:>2d         more than two days ago; ended: likewise

    A subject alone shows all that there is about it: tasks, facts, lines, locks, schedules and events.

    \b
    redsched find order-42
    redsched find tag:merchant:M type:reminder state:waiting due:<1h
    """
    from redsched.model.search import Search, search_of

    where = search_of(words)
    with given.client() as client:
        if where == Search(subject=where.subject) and cursor is None and not scan:
            _tell_subject(given, client.subject(str(where.subject)))
            return
        found = client.search(where, limit=limit, cursor=cursor, scan=scan)
        pages = 1
        while not (given.json or found.items or found.next_cursor is None) and pages < PAGES:
            found = client.search(where, limit=limit, cursor=found.next_cursor, scan=scan)
            pages += 1
    if given.json:
        render.document(found)
        return
    if found.items:
        listing(given, found.items)
    for queue, at in found.forgotten.items():
        render.say(f"Task {where.id} of queue {queue} had ended, and was removed {render.moment(at)}.", err=True)
    if not (found.items or found.forgotten):
        render.say("No such task." if found.next_cursor is None else "None so far.", err=True)
    if found.next_cursor is not None:
        render.say(f"More: --cursor {found.next_cursor}", err=True)


def listing(given: Invocation, tasks: list[TaskView]) -> None:
    """One task a row, with its queue."""
    render.table(
        given,
        ("queue", "id", "type", "state", "due", "tags", "reason"),
        (
            (
                task.queue,
                task.id,
                task.type,
                task.state,
                render.moment(task.due_at),
                " ".join(task.tags or ()),
                task.reason or "",
            )
            for task in tasks
        ),
    )


def _tell_subject(given: Invocation, about: Subject) -> None:
    if given.json:
        render.document(about)
        return
    if about.tasks:
        listing(given, about.tasks)
    for queue, at in about.forgotten.items():
        render.say(f"task     {about.subject} of queue {queue} had ended, and was removed {render.moment(at)}")
    for fact in about.facts:
        render.say(f"fact     {fact.name} {fact.value}")
    for line in about.lines:
        render.say(f"line     {line.name} of queue {line.queue}: {line.tasks} in it, {line.first} is the first")
    for lock in about.locks:
        render.say(f"lock     {lock.key} of queue {lock.queue}: {lock.task} has it since {render.moment(lock.since)}")
    for one in about.schedules:
        when = "it is not looked at any more" if one.next_look is None else f"next {render.moment(one.next_look)}"
        render.say(f"schedule {one.id}: {f'paused, {one.paused}' if one.paused else when}")
    for event in about.events[:20]:
        flat = [word for pair in event.details.items() for word in pair]
        details = " ".join(f"{name}={text}" for name, text in detail_texts(flat))
        render.say(f"event    {render.moment(event.at)} {event.event} {event.id} {details}".rstrip())
    if about.more:
        render.say(f"There are more tasks: redsched find subject:{about.subject} -n 1000", err=True)
    if not any((about.tasks, about.forgotten, about.facts, about.lines, about.locks, about.schedules, about.events)):
        render.say(f"Nothing is known about {about.subject}.", err=True)


def queue_of(client: Client, task_id: str) -> str:
    """The queue in which a task with this id is; fails where there is none, or more than one."""
    try:
        return client.queue_of(task_id)
    except TaskNotFound as error:
        if error.removed:
            told = ", ".join(f"queue {queue}, {render.moment(at)}" for queue, at in error.removed.items())
            raise Failure(f"Task {task_id} had ended, and was removed: {told}", NOT_FOUND) from None
        raise Failure(
            f"No task {task_id} in any queue. With -q QUEUE, what was set aside there is looked at, too.", NOT_FOUND
        ) from None
