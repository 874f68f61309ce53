"""One action on many tasks, by a filter: first they are found, in bounded pages, then exactly those are acted on.

A conversation of calls without I/O; the age of a task is judged by the server's clock. A dry run ends after the
first half.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from redsched.model.duration import span_ms
from redsched.model.errors import InvalidTask
from redsched.model.task import TaskView
from redsched.steps.batches import in_parts
from redsched.steps.exchange import Command
from redsched.wire import dead_letters, protocol
from redsched.wire.call import Call
from redsched.wire.codec import check_name
from redsched.wire.keys import QueueKeys

MAX_BULK = 10_000  # tasks that one bulk call acts on
PAGE = 500
SAMPLE = 20
ACTS_ON: dict[str, tuple[str, ...]] = {
    "revive": ("dead",),
    "drop": ("dead", "finished", "completed", "skipped", "expired", "cancelled"),
    "cancel": ("scheduled", "held", "ready", "running"),
}
_DONE = {"revive": ("revived",), "drop": ("dropped",), "cancel": ("cancelled", "requested")}


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks of a queue; None does not ask. ``older_than``: how long ago, by the server's clock, they ended (or,
    while they wait, were created) at least."""

    state: str = "dead"
    type: str | None = None
    reason: str | None = None
    older_than: timedelta | str | None = None


class Bulk(msgspec.Struct, frozen=True):
    """What a bulk call found, and did.

    ``matched``: tasks found; ``changed``: those the action was carried out on, 0 in a dry run; ``answers``: how many
    had which answer; ``sample``: ids of the first of them; ``more``: whether there may be others that match. Dead tasks
    whose start-by has passed are not revived: ``answers`` counts them under ``expires``, in a dry run too.
    """

    matched: int
    changed: int
    answers: dict[str, int]
    sample: list[str]
    more: bool
    dry_run: bool


def check_bulk(action: str, wanted: Filter, most: int) -> int | None:
    """The age asked for in ms, or None; raises InvalidTask where action, filter and bound do not fit together."""
    if action not in ACTS_ON:
        raise InvalidTask("action", f"must be one of {', '.join(ACTS_ON)}")
    if wanted.state not in ACTS_ON[action]:
        raise InvalidTask("where.state", f"must be one of {', '.join(ACTS_ON[action])} for {action}")
    if not 1 <= most <= MAX_BULK:
        raise InvalidTask("most", f"{most} is outside 1..{MAX_BULK}")
    if wanted.type is not None:
        check_name("where.type", wanted.type)
    if wanted.older_than is None:
        return None
    try:
        return span_ms(wanted.older_than)
    except ValueError as error:
        raise InvalidTask("where.older_than", str(error)) from None


def bulk(
    keys: QueueKeys, action: str, wanted: Filter, *, now_ms: int, dry_run: bool, most: int
) -> Generator[Call[Any], Any, Bulk]:
    """A conversation of calls: find, then act.

    Raises:
        InvalidTask: as ``check_bulk``; nothing was done.
    """
    age = check_bulk(action, wanted, most)
    latest = None if age is None else now_ms - age
    found: list[str] = []
    cursor: str | None = None
    expired = 0
    while True:
        page = yield protocol.list_tasks(keys, state=wanted.state, type_=wanted.type, limit=PAGE, cursor=cursor)
        for view in page.items:
            if matches(view, wanted.reason, latest):
                if action == "revive" and _has_expired(view, now_ms):
                    expired += 1
                else:
                    found.append(view.id)
        cursor = page.next_cursor
        if cursor is None or len(found) > most:
            break
    found = list(dict.fromkeys(found))  # one that moved while the pages were read may be on two of them
    more = len(found) > most
    del found[most:]
    answers = Counter({"expires": expired} if expired else {})
    for at in range(0, 0 if dry_run else len(found), PAGE):
        done = yield from in_parts(found[at : at + PAGE], lambda ids: _act(keys, action, ids))
        answers.update(done.values())
    changed = sum(answers[word] for word in _DONE[action])
    return Bulk(len(found) + expired, changed, dict(answers), found[:SAMPLE], more, dry_run)


def _has_expired(view: TaskView, now_ms: int) -> bool:
    return view.expires_at is not None and view.expires_at.timestamp() * 1_000 <= now_ms


def _act(keys: QueueKeys, action: str, ids: Sequence[str]) -> Call[dict[str, Any]]:
    if action == "revive":
        return protocol.revive(keys, ids)
    return dead_letters.drop(keys, ids) if action == "drop" else protocol.cancel(keys, ids)


def matches(view: TaskView, reason: str | None, latest: int | None) -> bool:
    """Whether it ended (or, while it waits, was created) for this reason and no later than ``latest``, ms."""
    if reason is not None and view.reason != reason:
        return False
    if latest is None:
        return True
    since = view.finished_at or view.created_at or view.due_at
    return since is not None and since.timestamp() * 1_000 <= latest


def clock() -> Generator[Command, Any, int]:
    """What time it is by the server's clock, ms since the epoch."""
    seconds, microseconds = yield ("TIME",)
    return int(seconds) * 1_000 + int(microseconds) // 1_000
