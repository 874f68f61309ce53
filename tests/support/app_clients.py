"""Clients for tests of applications, as ``redsched.testing`` gives them, on a clock that begins at a known time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from redsched import App
from redsched.testing import TestClient

START = datetime(2027, 1, 15, 8, tzinfo=UTC)
Make = Callable[..., TestClient]


@contextmanager
def clients_on(server: str) -> Iterator[Make]:
    """Makes clients that keep their tasks in ``memory`` or on an ``embedded`` server; closes them at the end."""
    made: list[TestClient] = []

    def new(app: App, **options: Any) -> TestClient:
        made.append(TestClient(app, **{"server": server, "start": START} | options))
        return made[-1]

    yield new
    for client in made:
        client.close()
