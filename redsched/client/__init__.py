"""The clients: the same verbs from threads and from one event loop."""

from redsched.client.async_client import AsyncClient
from redsched.client.client import Client

__all__ = ["AsyncClient", "Client"]
