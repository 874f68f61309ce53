"""The HTTP interface on a free loopback port in a thread of the test, and the least client that can talk to it."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import msgspec

from redsched.settings import Settings
from redsched.web import serve

JSON = {"content-type": "application/json"}
NDJSON = {"content-type": "application/x-ndjson"}


@dataclass
class Answer:
    """A response, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded; a problem's type is checked on the way."""
        is_problem = self.headers["content-type"] == "application/problem+json"
        assert is_problem or self.headers["content-type"] == "application/json", self.headers
        found = json.loads(self.body)
        assert not is_problem or (found["status"], found["request_id"]) == (self.status, self.headers["request-id"])
        return found

    @property
    def code(self) -> str:
        """Status and code of a problem: ``422 unknown_field``."""
        return f"{self.status} {self.json['code']}"

    @property
    def pointers(self) -> list[str]:
        """The fields that a problem names."""
        return [error["pointer"] for error in self.json["errors"]]


# Servers that were told to end: it takes uvicorn a fifth of a second, in which other tests may go on.
ENDING: deque[threading.Thread] = deque()
MOST_ENDING = 8


class ApiServer:
    """``with ApiServer(settings) as api: api.post("/v1/tasks", {...})``."""

    def __init__(self, redis_url: str, namespace: str = "rs", **settings: Any) -> None:
        given = {"api_port": 0, "retry_for_ms": 500, "redis_timeout_ms": 5_000, **settings}
        self.settings = Settings(redis_url=redis_url, namespace=namespace, **given)
        self.url = ""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._error: BaseException | None = None

    def __enter__(self) -> ApiServer:
        self._thread.start()
        assert self._ready.wait(60)
        if self._error is not None:
            raise self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._serving.cancel)
        ENDING.append(self._thread)
        while len(ENDING) > MOST_ENDING:
            oldest = ENDING.popleft()
            oldest.join(60)
            assert not oldest.is_alive()

    @property
    def ident(self) -> int | None:
        """Of the thread of its event loop."""
        return self._thread.ident

    def _run(self) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._serving = asyncio.ensure_future(serve(self.settings, on_ready=self._listening))
            await asyncio.wait([self._serving])
            if not self._serving.cancelled() and self._serving.exception() is not None:
                self._error = self._serving.exception()
                self._ready.set()

        asyncio.run(main())

    def _listening(self, url: str) -> None:
        self.url = url
        self._ready.set()

    def call(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        return call(self.url, method, path, body, headers)

    def put(self, path: str, value: Any, headers: Mapping[str, str] | None = None, *, method: str = "PUT") -> Answer:
        """PUT, or another method with a body of JSON."""
        return self.call(method, path, msgspec.json.encode(value), {**JSON, **(headers or {})})

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET."""
        return self.call("GET", path, headers=headers)

    def post(self, path: str, value: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """POST; ``value`` as JSON unless it is bytes, no body where it is None."""
        if value is None:
            return self.call("POST", path, b"", headers)
        body = value if isinstance(value, bytes) else msgspec.json.encode(value)
        return self.call("POST", path, body, {**JSON, **(headers or {})})


def call(
    url: str,
    method: str,
    path: str,
    body: bytes | Iterable[bytes] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())
    finally:
        connection.close()
