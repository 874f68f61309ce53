"""The clients: the same verbs from threads and from one event loop."""

from redsched.client.aio.client import AsyncClient
from redsched.client.sync.client import Client

__all__ = ["AsyncClient", "Client"]
