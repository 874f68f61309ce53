"""What is told of an event, and the rules that make a task of each event of a name."""

from __future__ import annotations

import msgspec

from redsched.model.template import TaskTemplate
from redsched.schedule.definition import Duration


class Emitted(msgspec.Struct, frozen=True):
    """``fact``: its name; ``heard``: tasks told at once; ``more``: the mover goes on telling others; ``made``:
    ``<queue>/<id>`` of the tasks that rules made."""

    fact: str
    id: str
    heard: int
    more: bool
    made: list[str]


class Rule(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Each event ``on`` makes a task of ``task``, ``delay`` later.

    ``{subject}``, ``{event}`` and ``{id}`` (of the event) in ``task_id``, in the task's key and in its conditions stand
    for those of the event; ``bind`` puts ``subject``, ``event``, ``id``, ``data`` or ``data.<member>`` into members of
    the payload. ``task_id``: ``<rule>:{id}`` unless given; with one the task is made once as long as its id is known.
    """

    id: str = ""
    on: str
    task: TaskTemplate
    delay: Duration | None = None
    task_id: str | None = None
    bind: dict[str, str] | None = None


class BrokenRule(Rule, kw_only=True, forbid_unknown_fields=True):
    """A rule that makes no tasks, for ``problem``: somebody wrote it by hand."""

    problem: str


class RulePage(msgspec.Struct, frozen=True):
    """One page of rules; ``next_cursor`` is None on the last one."""

    items: list[Rule]
    next_cursor: str | None = None
