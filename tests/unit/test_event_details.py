"""Events as people read them: no milliseconds since the epoch."""

from __future__ import annotations

import pytest

from redsched.model.event_details import detail_texts
from redsched.model.explain import Told, explained


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("due", "1767225600000", ("due", "2026-01-01T00:00:00Z")),
        ("due", 1767225600123, ("due", "2026-01-01T00:00:00.123Z")),
        ("due", "0", ("due", "now")),
        ("slot", "1767225600000.b2", ("slot", "2026-01-01T00:00:00Z.b2")),
        ("kept_ms", "7200000", ("kept", "2h00m")),
        ("retention_ms", "1000", ("retention", "1s")),
        ("expires_at", "+60000", ("expires_at", "+1m00s")),
        ("finished_at", "1767225600000", ("finished_at", "2026-01-01T00:00:00Z")),
        ("n", "1767225600000", ("n", "1767225600000")),
        ("reason", "1767225600000", ("reason", "1767225600000")),
        ("due", "9" * 30, ("due", "9" * 30)),
        ("due", "soon", ("due", "soon")),
        ("after", "", ("after", "")),
    ],
)
def test_a_detail_is_shown_as_people_read_it(name: str, value: object, shown: tuple[str, str]) -> None:
    assert detail_texts([name, value]) == [shown]


def test_explain_tells_of_events_without_milliseconds() -> None:
    lists = {"event": [[1767225600000, "released", "after", "facts", "due", "1767229200000"]]}

    (told,) = explained(Told(queue="q", id="a", now=0, fields={"state": "ready"}, lists=lists)).events

    assert told == "2026-01-01 00:00:00 UTC released after facts due 2026-01-01T01:00:00Z"
