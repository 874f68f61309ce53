"""Schedules of plain words and their times, as texts to compare."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from redsched.model.schedule import Schedule
from redsched.model.template import TaskTemplate
from redsched.schedule.slots import Plan

HOUR, DAY = 3_600_000, 86_400_000
JANUARY = 1_798_761_600_000  # 2027-01-01T00:00:00Z


def schedule(**fields: Any) -> Schedule:
    """A schedule with a task."""
    return Schedule(**{"id": "nightly", "task": TaskTemplate(type="report.send"), **fields})


def plan(holidays: dict[str, frozenset[str]] | None = None, **fields: Any) -> Plan:
    """The plan of a schedule."""
    return Plan(schedule(**fields), holidays)


def ms(text: str) -> int:
    """The instant of RFC 3339 text."""
    return round(datetime.fromisoformat(text).timestamp() * 1_000)
