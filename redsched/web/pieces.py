"""Large JSON read in pieces, so that no step holds the interpreter for long and a huge text costs no more than its part
that may be used: the values of an array or of an object, one by one, as text.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator

from redsched.web.problems import Problem, unwritten

FIRST = 2_048  # bytes that are looked at for a value; then eight times as many, up to the longest value that is taken
MARGIN = 2  # characters that may belong to a number which a window cuts, such as the last ones of 1e+
TOO_DEEP = "nested too deeply"
NO_UTF8 = "not UTF-8"
_SPACE = re.compile(rb"[ \t\r\n]*")
_scan = json.JSONDecoder().raw_decode
_utf8 = codecs.getincrementaldecoder("utf-8")


class TooLong(Exception):
    """A value is longer than any that is taken; where it ends is not known."""


class Pieces:
    """A reader at a place in a text. ``longest``: bytes of a value."""

    def __init__(self, body: bytes, longest: int) -> None:
        self._body = body
        self._longest = longest
        self._at = self._last = 0

    def next(self) -> bytes:
        """The next byte that is no space, still to be taken; empty at the end."""
        found = _SPACE.match(self._body, self._at)
        assert found is not None
        self._at = found.end()
        return self._body[self._at : self._at + 1]

    def take(self, byte: bytes, what: str) -> None:
        """Go beyond that byte; ``what`` it comes after, for the message."""
        if self.next() != byte:
            raise Problem("malformed_json", f"expected {byte.decode()!r} {what}{unwritten()}")
        self._at += 1

    def value(self, what: str) -> bytes:
        """The text of the value that comes next.

        Raises:
            Problem: malformed_json.
            TooLong: it has more than ``longest`` bytes.
        """
        self.next()
        most = self._longest + MARGIN + 1
        size = min(max(FIRST, self._last + self._last // 4), most)  # the next one is about as long as the last one
        while True:
            window = self._body[self._at : self._at + size]
            rest = self._at + size >= len(self._body)
            try:
                text = _utf8().decode(window, final=rest)
                end = _scan(text)[1]
                if rest or end + MARGIN < len(text):
                    found = text[:end].encode()
                    self._at += len(found)
                    self._last = len(found)
                    return found
            except UnicodeDecodeError:
                raise Problem("malformed_json", NO_UTF8 + unwritten()) from None
            except RecursionError:
                raise Problem("malformed_json", f"{what}: {TOO_DEEP}{unwritten()}") from None
            except ValueError:
                if rest:
                    raise Problem("malformed_json", f"{what}: no JSON{unwritten()}") from None
            if size >= most:
                raise TooLong
            size = min(size * 8, most)

    def items(self, name: str) -> Iterator[bytes]:
        """The texts of an array's items; afterwards the reader stands behind it."""
        self.take(b"[", "at the beginning")
        if self.next() == b"]":
            self._at += 1
            return
        count = 0
        while True:
            yield self.value(f"{name}[{count}]")
            count += 1
            if self.next() == b"]":
                self._at += 1
                return
            self.take(b",", f"or ']' after {name}[{count - 1}]")

    def end(self) -> None:
        """Raises Problem where more follows."""
        if self.next():
            raise Problem("malformed_json", "there is more after the end; nothing was written")
