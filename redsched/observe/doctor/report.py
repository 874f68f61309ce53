"""What the doctor says: lines for people and programs, and the faults behind them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Literal

import msgspec

from redsched.observe.doctor.rules import RULES
from redsched.wire.codec import text_of
from redsched.wire.doctor import Fault

Level = Literal["OK", "WARN", "FAIL"]
SHOWN = 5  # names in one line


class Line(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    level: Level
    check: str
    what: str
    why: str = ""  # why it matters
    mend: str = ""  # the command, or what to do


class Finding(msgspec.Struct, frozen=True):
    """One broken rule of one task, stream entry or key; ``mended`` says what became of it."""

    queue: str
    kind: str
    name: str
    rule: str
    task: str = ""
    mended: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The whole. ``cut``: there were more faults than one look collects."""

    level: Level
    lines: list[Line]
    findings: list[Finding]
    mended: list[Finding]
    tasks: int
    entries: int
    keys: int
    cut: bool = False


class Progress:
    """Tells how far a long look is, once in a while."""

    def __init__(self, tell: Callable[[str], None], every_s: float = 2.0) -> None:
        self._tell, self._every_s = tell, every_s
        self._next = time.monotonic() + every_s

    def tell(self, what: str) -> None:
        """Tell it, where it is time."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._every_s
            self._tell(what)


def finding(fault: Fault, mended: str = "") -> Finding:
    """A fault as it is told."""
    return Finding(fault.queue, fault.kind, text_of(fault.name), fault.rule, text_of(fault.task_id), mended)


def worst(lines: Sequence[Line]) -> Level:
    """The level of a whole report."""
    levels = {line.level for line in lines}
    return "FAIL" if "FAIL" in levels else "WARN" if "WARN" in levels else "OK"


def fault_lines(faults: Sequence[Fault], namespace: str) -> list[Line]:
    """One line for each rule that is broken in a queue."""
    lines = []
    for (rule, queue), group in groupby(sorted(faults, key=_by_rule), key=lambda fault: (fault.rule, fault.queue)):
        broken = list(group)
        known = RULES[rule]
        names = ", ".join(repr(text_of(fault.name)) for fault in broken[:SHOWN])
        more = f" and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
        mend = f"{known.mend}: redsched --namespace {namespace} doctor --repair" if known.mend else known.by_hand
        lines.append(Line(known.level, f"queue {queue}: {rule}", f"{known.what}: {names}{more}", known.why, mend))
    return lines


def _by_rule(fault: Fault) -> tuple[str, str, bytes]:
    return fault.rule, fault.queue, fault.name
