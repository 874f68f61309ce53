# Made by tools/unasync.py from redsched/client/aio/schedules.py: change that, then `make sync-client`.
"""``client.schedules``: recurring schedules. ``steps.schedules`` says what each method does; this only drives it."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from redsched.client.requests import Verbs
from redsched.client.sync import runtime
from redsched.client.sync.transport import Transport
from redsched.model.schedule import Schedule
from redsched.model.schedule_views import Applied, Backfill, SchedulePage, SchedulePut, ScheduleView, Upcoming
from redsched.model.task_types import checked_version
from redsched.schedule.definition import Overlap, Run
from redsched.steps.conversation import Conversation, next_call
from redsched.steps.schedules import NOT_GIVEN, Fits, ScheduleSteps
from redsched.wire.call import Call

T = TypeVar("T")


def fits(verbs: Verbs) -> Fits:
    """What a strict client asks of the task of a schedule."""
    return partial(verbs.known_types.ask_and_check_template, verbs.cell_keys)


class Schedules:
    """Recurring schedules. Made by ``Client.schedules``."""

    def __init__(self, verbs: Verbs, transport: Transport) -> None:
        self._steps = ScheduleSteps(verbs, fits=fits(verbs) if verbs.known_types.strict else None)
        self._transport = transport

    def _run(self, steps: Conversation[T]) -> T:
        """What a conversation returns, with its work done where it holds up nobody."""
        reply: Any = None
        while True:
            call, found = self._next_call(steps, reply)
            if call is None:
                return found  # type: ignore[no-any-return]
            reply = self._transport.send(call)

    def _next_call(self, steps: Conversation[T], reply: Any) -> tuple[Call[Any] | None, Any]:
        """As ``steps.conversation.next_call``: what lies between two calls may take long to compute."""
        return runtime.compute(next_call, steps, reply)

    def put(
        self,
        schedule: Schedule,
        *,
        create_only: bool = False,
        owner: str | None = None,
        owner_version: str | None = None,
    ) -> SchedulePut:
        """Create or replace a schedule; the same definition again changes nothing, from however many nodes.

        ``owner``: a name, of an application say, whose it is from now on, with its version; None: that stays as it is.
        Where a worker of a newer version of the owner lives, or of another owner that has it, it stays as it is, and
        the answer is ``newer`` or ``other``.

        Raises:
            InvalidSchedule: a field cannot be used, or it never fires, or the client is strict and the task is one that
                it refuses; nothing was written.
        """
        mode = "create" if create_only else ""
        return self._run(self._steps.put(schedule, mode, owner, checked_version(owner_version)))

    def keep(
        self, owner: str, schedule_ids: Sequence[str], *, version: str | None = None, drop: bool = False
    ) -> builtins.list[str]:
        """Say that an owner has these schedules, up to 1000, and no others: what else belongs to it is paused, or with
        ``drop`` removed. Answers those. A version of which a newer one has a live worker decides nothing."""
        found = self._run(self._steps.keep(owner, checked_version(version), schedule_ids, drop=drop))
        return found.left_out

    def patch(self, schedule_id: str, patch: Mapping[str, Any]) -> SchedulePut:
        """Change some fields of a definition by a JSON merge patch (RFC 7396): None takes a field away.

        Raises:
            ScheduleNotFound: there is none.
            InvalidSchedule: what it would become cannot be used; nothing was written.
        """
        return self._run(self._steps.patch(schedule_id, patch))

    def get(self, schedule_id: str, *, stored: bool = False) -> ScheduleView:
        """All that is known of one; ``stored``: its payload is ``msgspec.Raw``, byte for byte as it is stored. Raises
        ScheduleNotFound."""
        return self._run(self._steps.get(schedule_id, stored))

    def list(self, *, limit: int = 50, cursor: str | None = None, stored: bool = False) -> SchedulePage:
        """One page of 1..100, the one that is looked at next first; ``stored``: as ``get``."""
        return self._run(self._steps.page(limit, cursor, stored))

    def upcoming(self, until_ms: int) -> Upcoming:
        """The runs that schedules will make up to then, ms since the epoch, as far as a second of work finds them."""
        return self._run(self._steps.upcoming(until_ms))

    def delete(self, schedule_id: str) -> bool:
        """Remove one; the tasks that it made stay. False where there is none."""
        return self._run(self._steps.delete(schedule_id))

    def pause(self, schedule_id: str, *, reason: str = "", until: datetime | int | str | None = None) -> None:
        """Make no runs until it is resumed, or until then; slots meanwhile are counted as missed. Raises
        ScheduleNotFound."""
        self._run(self._steps.pause(schedule_id, reason, until))

    def resume(self, schedule_id: str) -> bool:
        """Go on with the next slot; False where it was not paused. Raises ScheduleNotFound."""
        return self._run(self._steps.resume(schedule_id))

    def trigger(self, schedule_id: str, *, payload: Any = NOT_GIVEN, overlap: Overlap | None = None) -> str | None:
        """Run it now, its slots unchanged; the task's id, or None where its overlap policy left it out or keeps it.

        Raises:
            ScheduleNotFound: there is none; nothing was made.
            OutcomeUnknown: no answer came; it may have been triggered.
        """
        return self._run(self._steps.trigger(schedule_id, payload, overlap))

    def backfill(
        self,
        schedule_id: str,
        start: datetime | int | str,
        end: datetime | int | str,
        *,
        overlap: Overlap | None = None,
        dry_run: bool = False,
    ) -> Backfill:
        """Run it once more for each slot from ``start`` to ``end``, both included; at most 1,000."""
        return self._run(self._steps.backfill(schedule_id, start, end, overlap, dry_run))

    def preview(
        self, schedule: Schedule, *, start: datetime | int | str | None = None, count: int = 10
    ) -> builtins.list[Run]:
        """The next 1..1000 runs of a definition from ``start`` (None: now) on; nothing is written."""
        return self._run(self._steps.preview(schedule, start, count))

    def apply(
        self, schedules: Sequence[Schedule], *, owner: str = "apply", prune: bool = False, dry_run: bool = False
    ) -> Applied:
        """Put up to 1000 for an owner; ``prune`` removes what else it has put, and nothing of anybody else. All are
        checked before any is written."""
        return self._run(self._steps.apply(schedules, owner, prune, dry_run))

    def put_calendar(self, name: str, dates: Sequence[str]) -> None:
        """Keep dates (``2027-12-25``, or ``*-12-25`` for each year) that schedules may leave out by this name."""
        self._run(self._steps.put_calendar(name, dates))

    def calendars(self) -> dict[str, builtins.list[str]]:
        """The dates of every calendar."""
        return self._run(self._steps.calendars())

    def drop_calendar(self, name: str) -> bool:
        """Remove a calendar; False where there is none. Schedules that name it leave nothing out by it."""
        return self._run(self._steps.put_calendar(name, None)) == "dropped"
