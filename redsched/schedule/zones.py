"""Time zones: from the local times of a rule to instants, right at both edges of daylight saving time.

The zones come from the tzdata wheel only, never from the machine, so that all nodes that run one version of it
agree. Times are naive local datetimes on the side of a rule, and integer ms since the epoch on the other.
"""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from typing import Literal, Protocol
from zoneinfo import ZoneInfo

import tzdata

from redsched.schedule.quoted import quoted_if_plain

Gap = Literal["run_after", "skip", "run_at_shifted"]
Fold = Literal["first", "last", "both"]
Note = Literal["", "dst_gap", "dst_fold"]

TZDATA_VERSION = str(tzdata.IANA_VERSION)  # such as 2026f
LAST_YEAR = 2096  # no rule goes further: instants end there

_EPOCH = datetime(1970, 1, 1)
_MILLISECOND = timedelta(milliseconds=1)
_SURROUNDINGS_MS = 25 * 3_600_000  # no zone ever moved its clocks by more than a day


class Rule(Protocol):
    """What names local times: a cron expression, a calendar rule, a recurrence."""

    @property
    def frequent(self) -> bool:
        """Whether it follows the clock on the wall, so that policies for gaps and folds do not apply."""

    def walls(self, after: datetime) -> Iterator[datetime]:
        """The naive local times strictly after ``after``, ascending; they end in ``LAST_YEAR`` at the latest."""


@cache
def names() -> frozenset[str]:
    """Every name of a zone."""
    return frozenset((resources.files("tzdata") / "zones").read_text().split())


@cache
def zone(name: str) -> ZoneInfo:
    """The zone of that IANA name.

    Raises:
        ValueError: there is none.
    """
    if name not in names():
        folded = {known.lower(): known for known in names()}
        near = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.8)
        hint = f"did you mean {folded[near[0]]}?" if near else "write an IANA name such as Europe/Paris"
        raise ValueError(f"{quoted_if_plain(name)} is no time zone; {hint}")
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def local(ms: int, zone: ZoneInfo) -> datetime:
    """The aware local time of an instant; its ``fold`` is 1 the second time round."""
    return zone.fromutc((_EPOCH + ms * _MILLISECOND).replace(tzinfo=zone))


def instants(rule: Rule, zone: ZoneInfo, after_ms: int, gap: Gap = "run_after", fold: Fold = "first") -> Iterator[int]:
    """The instants (ms) of a rule: strictly increasing, all later than ``after_ms``, even inside a repeated hour."""
    return (ms for ms, _ in noted(rule, zone, after_ms, gap, fold))


def noted(
    rule: Rule, zone: ZoneInfo, after_ms: int, gap: Gap = "run_after", fold: Fold = "first"
) -> Iterator[tuple[int, Note]]:
    """``instants``, each with what happened to it at an edge.

    ``dst_gap``: its local time does not exist that day, so it was moved. ``dst_fold``: its local time comes twice.
    """
    if rule.frequent:
        gap, fold = "skip", "both"
    waiting: list[tuple[int, Note]] = []  # a heap: instants that a later local time may still come before
    last = after_ms
    for wall in rule.walls(_EPOCH + (after_ms + _least_offset(after_ms, zone)) * _MILLISECOND):
        first = wall.replace(tzinfo=zone, fold=0)
        offset, offset_again = _offset(first), _offset(first.replace(fold=1))
        as_utc = (wall - _EPOCH) // _MILLISECOND
        found = reached = as_utc - offset  # no later local time gives an instant before `reached`
        note: Note = ""
        if offset > offset_again:
            note = "dst_fold"
            again = as_utc - offset_again
            if fold == "last":
                found = again
            elif fold == "both":
                heapq.heappush(waiting, (again, note))
        elif offset < offset_again:
            note = "dst_gap"
            reached = _gap_end(as_utc - offset_again, as_utc - offset, zone)
            if gap == "run_after":
                found = reached
        if not (note == "dst_gap" and gap == "skip"):
            heapq.heappush(waiting, (found, note))
        while waiting and waiting[0][0] <= reached:
            ms, its_note = heapq.heappop(waiting)
            if ms > last:
                last = ms
                yield ms, its_note
    while waiting:
        ms, its_note = heapq.heappop(waiting)
        if ms > last:
            last = ms
            yield ms, its_note


def note_of(ms: int, zone: ZoneInfo, wall: datetime | None = None) -> Note:
    """What to tell of an instant: ``wall`` is the local time that was planned, where it is known.

    ``dst_gap``: the planned time does not exist, the instant was moved. ``dst_fold``: its local time comes twice.
    """
    actual = local(ms, zone)
    if wall is not None and wall.replace(tzinfo=None) != actual.replace(tzinfo=None, fold=0):
        return "dst_gap"
    once, again = _offset(actual.replace(fold=0)), _offset(actual.replace(fold=1))
    return "dst_fold" if once > again else ""


def _offset(moment: datetime) -> int:
    """The offset from UTC in ms at an aware local time."""
    offset = moment.utcoffset()
    assert offset is not None
    return offset // _MILLISECOND


def _least_offset(ms: int, zone: ZoneInfo) -> int:
    """The least offset (ms) in force about an instant: a local time before it plus this is over for good."""
    around = (ms - _SURROUNDINGS_MS, ms, ms + _SURROUNDINGS_MS)
    return min(_offset(local(moment, zone)) for moment in around)


def _gap_end(before: int, after: int, zone: ZoneInfo) -> int:
    """The first instant (ms) after the gap that lies between two instants."""
    offset = _offset(local(before, zone))
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(local(middle, zone)) == offset:
            before = middle
        else:
            after = middle
    return after
