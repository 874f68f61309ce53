"""A namespace of a server with a Redis user for each role, and whether one of them is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import redis

from redsched import Client, Settings
from redsched.wire import acl
from tests.support import servers
from tests.support.servers import Store

QUEUE = "q"


@dataclass
class Users:
    """A namespace of a server with a user for each role; the Lua is there, as the deployer left it."""

    store: Store

    def name(self, role: str) -> str:
        return acl.user_of(role, self.store.namespace, [QUEUE])

    def make(self) -> None:
        for role in acl.ROLES:
            line = acl.role(role, self.store.namespace, [QUEUE]).line(self.name(role))
            self.store.redis.execute_command(*line.replace(f">{acl.SECRET}", f">pw-{role}").split())

    def remove(self) -> None:
        self.store.redis.acl_deluser(*map(self.name, acl.ROLES))

    def url(self, role: str) -> str:
        """The server's URL with the credentials of a role."""
        assert self.store.url is not None
        return f"redis://{self.name(role)}:pw-{role}@127.0.0.1:{urlsplit(self.store.url).port}/0"

    def connect(self, role: str) -> redis.Redis:
        return servers.connect(self.url(role))

    def client(self, role: str, **options: Any) -> Client:
        return Client(self.url(role), namespace=self.store.namespace, **options)

    def settings(self, role: str, **changes: Any) -> Settings:
        return Settings(redis_url=self.url(role), namespace=self.store.namespace, queues=(QUEUE,), **changes)

    def key(self, name: str) -> str:
        return self.store.key(name)


def denied(connection: redis.Redis, *command: Any) -> str:
    """The refusal of a command; fails where it is carried out."""
    try:
        answer = connection.execute_command(*command)
    except (redis.exceptions.NoPermissionError, redis.ResponseError) as error:
        text = str(error).lower()
        assert "permission" in text or "can't" in text or "acl" in text or "can not" in text, f"{command}: {error}"
        return text
    raise AssertionError(f"{command} was carried out: {answer!r}")
