"""What queues did, by minute, and what is due in them. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from redsched.model.errors import InvalidTask
from redsched.wire.call import Call
from redsched.wire.codec import count_of, pairs, text_of
from redsched.wire.keys import QueueKeys

MINUTE_MS = 60_000
MOST_PAST_MS = 3_600_000  # counters by minute are kept so long
MOST_AHEAD_MS = 366 * 86_400_000
MOST_STEPS = 1_000
SAMPLE = 100  # tasks of a queue that are looked at for their types
A_CALL = 1_500  # steps, minutes and samples of all queues of a call


class Told(msgspec.Struct, frozen=True):
    """One queue, as the server tells it; ``counts`` and ``due`` by the number of a step."""

    queue: str
    late: int
    later: int
    due: list[int]
    counts: dict[int, dict[str, int]]
    types: dict[str, int]


class Window(msgspec.Struct, frozen=True):
    """From when to when, all ms: ``past`` before now, ``ahead`` from now on, in steps."""

    past: int
    ahead: int
    step: int

    def check(self) -> None:
        """Raises InvalidTask where there is none."""
        if not 0 <= self.past <= MOST_PAST_MS:
            raise InvalidTask("past", "must be 0 to 1h: counters by minute are kept for an hour")
        if not 0 <= self.ahead <= MOST_AHEAD_MS:
            raise InvalidTask("ahead", "must be 0 to 366d")
        if self.step < MINUTE_MS or self.step % MINUTE_MS:
            raise InvalidTask("step", "must be whole minutes")
        if self.steps > MOST_STEPS:
            raise InvalidTask("step", f"makes more than {MOST_STEPS} steps; give a longer one", code="too_many_steps")

    @property
    def steps(self) -> int:
        """How many steps there are at most."""
        return (self.past + self.ahead) // self.step + 2

    def queues_at_once(self, sample: int) -> int:
        """How many queues one call takes."""
        return max(1, min(100, A_CALL // (self.steps + self.past // MINUTE_MS + 2 + sample)))


def timeline(queues: Sequence[QueueKeys], window: Window, sample: int) -> Call[tuple[int, int, list[Told]]]:
    """Now, the beginning of the first step (ms), and each queue."""

    def read(reply: list[Any]) -> tuple[int, int, list[Told]]:
        now, first, *found = reply
        return now, first, [_told(keys.queue, words) for keys, words in zip(queues, found, strict=True)]

    args = (0, window.past, window.ahead, window.step, sample)
    return Call("timeline", [keys.due for keys in queues], args, read)


def _told(queue: str, words: list[Any]) -> Told:
    counts: dict[int, dict[str, int]] = {}
    for number, flat in zip(words[3][::2], words[3][1::2], strict=True):
        step = counts.setdefault(number, {})
        for name, value in pairs(flat).items():
            step[name] = step.get(name, 0) + count_of(value)
    types = {text_of(name): count for name, count in zip(words[4][::2], words[4][1::2], strict=True)}
    return Told(queue, words[0], words[1], words[2], counts, types)
