"""The types of an application as its worker puts them, without a worker."""

from __future__ import annotations

from redsched import App, Client
from redsched.engine.app_types import type_put
from redsched.wire import protocol


def put_types(client: Client, app: App) -> None:
    """Put them as a worker does that started at 5 ms."""
    types = [type_put(one) for one in app.tasks.values()]
    client.transport.send(protocol.put_types(client.cell_keys, app.name, None, "w", 5, types))
