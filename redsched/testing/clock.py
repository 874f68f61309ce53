"""The clock of a test: it stands still until the test moves it. Every verb that asks what time it is gets this time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from redsched.model.duration import instant, instant_ms, span_ms
from redsched.wire import scripts
from redsched.wire.call import Call

T = TypeVar("T")


class VirtualClock:
    """What time it is in a test, in ms since the epoch."""

    def __init__(self, start: datetime | int | str | None = None) -> None:
        """``start``: None is the time at which the test runs.

        Raises:
            ValueError: ``start`` is no instant that redsched can work with.
        """
        try:
            self.now_ms = instant_ms(datetime.now(UTC) if start is None else start)
        except ValueError as error:
            raise ValueError(f"start {error}") from None

    @property
    def now(self) -> datetime:
        """The same as an aware UTC datetime."""
        return instant(self.now_ms)

    def after(self, duration: timedelta | str | None, parts: dict[str, float]) -> int:
        """The time, in ms, that lies a duration or the sum of ``parts`` (hours, minutes, ...) ahead.

        Raises:
            TypeError: neither or both are given.
            ValueError: the duration is negative, or no duration.
        """
        given = {name: number for name, number in parts.items() if number}
        if (duration is None) == (not given):
            raise TypeError("advance takes a duration such as '1d', or hours=24 and the like: one of both")
        try:
            return self.now_ms + span_ms(timedelta(**given) if duration is None else duration)
        except ValueError as error:
            raise ValueError(f"advance: {error}; the clock has not moved") from None

    def moment(self, value: datetime | int | str) -> int:
        """An instant in ms, which must not lie behind.

        Raises:
            ValueError: it lies behind, or is no instant.
        """
        try:
            found = instant_ms(value)
        except ValueError as error:
            raise ValueError(f"advance_to: {error}; the clock has not moved") from None
        if found < self.now_ms:
            raise ValueError(
                f"advance_to: {instant(found).isoformat()} is before {self.now.isoformat()}, the time of the test; "
                "the clock has not moved"
            )
        return found


def at_time(call: Call[T], now: int) -> Call[T]:
    """The call at this time; one whose verb asks for no time is as it was."""
    if call.chain:
        chain = tuple(at_time(one, now) if isinstance(one, Call) else one for one in call.chain)
        call = msgspec.structs.replace(call, chain=chain)
    names = scripts.header(call.verb).args
    if "now" not in names:
        return call
    args, at = list(call.args), names.index("now")
    args[at : at + 1] = [now]  # also where it is the last word and was left out
    return msgspec.structs.replace(call, args=args)
