"""Cursors: where the next page begins, as a page told it. Anything else is refused here, before Redis reads it.

Over HTTP and on the command line a space of a cursor is written ``~``.
"""

from __future__ import annotations

import re

from redsched.model.errors import InvalidTask

_SCORE = r"-?(?:inf|[0-9]{1,40}(?:\.[0-9]{1,40})?(?:e[+-]?[0-9]{1,4})?)"
_OF_SET = re.compile(_SCORE + r" [0-9]{1,15}", re.ASCII)
_OF_STREAM = re.compile(r"(?:high|normal|low)/[0-9]{1,15}-[0-9]{1,15}", re.ASCII)
_OF_SCAN = re.compile(r"[0-9]{1,20}", re.ASCII)


def set_cursor(cursor: str | None) -> str:
    """Of a page of a sorted set: a score, and how many of that score were shown; raises InvalidTask."""
    return _checked(_OF_SET, (cursor or "").replace("~", " "))


def stream_cursor(cursor: str | None) -> str:
    """Of a page of ready streams: a priority and the id of an entry; raises InvalidTask."""
    return _checked(_OF_STREAM, cursor or "")


def scan_cursor(cursor: str | None) -> str:
    """Of a page of a hash, as SCAN tells it; raises InvalidTask."""
    found = _checked(_OF_SCAN, cursor or "")
    if found and int(found) >= 2**64:
        raise _refused()
    return found


def _checked(form: re.Pattern[str], cursor: str) -> str:
    if cursor and form.fullmatch(cursor) is None:
        raise _refused()
    return cursor


def _refused() -> InvalidTask:
    return InvalidTask("cursor", "is not one that a page answered", code="bad_cursor")
