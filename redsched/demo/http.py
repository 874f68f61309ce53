"""The demo's HTTP client: the standard library, one kept connection, JSON both ways."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import quote


class Api:
    """Calls one redsched HTTP interface. Not for sharing between threads."""

    def __init__(self, host: str, port: int, token: str = "") -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=10)
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def submit(self, task: dict[str, Any]) -> int:
        """Create one task; the status code (201, or 200 for a repeat).

        Raises:
            HttpError: it was refused.
        """
        return self._call("POST", "/v1/tasks", task)[0]

    def submit_batch(self, tasks: list[dict[str, Any]]) -> list[str]:
        """Create many in one call; the ids that were accepted."""
        answer = self._call("POST", "/v1/tasks:batch", tasks)[1]
        return [result["id"] for result in answer["results"] if result["status"] in ("created", "existing")]

    def cancel(self, id: str, queue: str, reason: str) -> int:
        """Cancel one task; the status code."""
        return self._call("POST", f"/v1/tasks/{quote(id)}:cancel?queue={quote(queue)}", {"reason": reason})[0]

    def emit(self, event: str, subject: str, data: dict[str, Any]) -> int:
        """Record an event; the status code."""
        body = {"event": event, "subject": subject, "data": data, "id": f"{event}-{subject}"}
        return self._call("POST", "/v1/events", body)[0]

    def explain(self, id: str, queue: str) -> str:
        """Why a task has not run, in a sentence."""
        return str(self._call("GET", f"/v1/tasks/{quote(id)}/explain?queue={quote(queue)}")[1]["text"])

    def put_schedule(self, id: str, definition: dict[str, Any]) -> int:
        """Create or replace a schedule; the status code."""
        return self._call("PUT", f"/v1/schedules/{quote(id)}", definition)[0]

    def runs(self, schedule: str) -> list[str]:
        """The ids of the last runs of a schedule."""
        return [run["id"] for run in self._call("GET", f"/v1/schedules/{quote(schedule)}")[1]["recent_runs"]]

    def preview(self, definition: dict[str, Any]) -> list[str]:
        """The local times of the next runs of a definition."""
        return [run["local"] for run in self._call("POST", "/v1/schedules:preview", definition)[1]["runs"]]

    def state(self, id: str, queue: str) -> str:
        """The state of a task; ``missing`` when there is none."""
        try:
            return str(self._call("GET", f"/v1/tasks/{quote(id)}?queue={quote(queue)}")[1]["state"])
        except HttpError as error:
            if error.status == 404:
                return "missing"
            raise

    def close(self) -> None:
        """Give up the connection."""
        self._connection.close()

    def _call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        content = None if body is None else json.dumps(body)
        for attempt in (1, 2):
            try:
                self._connection.request(method, path, content, self._headers)
                response = self._connection.getresponse()
                text = response.read()
                break
            except (http.client.HTTPException, OSError):
                # every task carries its own id: sending it once more cannot make a second one
                self._connection.close()
                if attempt == 2:
                    raise
        if response.status >= 400:
            raise HttpError(response.status, text.decode(errors="replace"))
        return response.status, json.loads(text)


class HttpError(Exception):
    """The interface refused a call."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text[:300]}")
        self.status = status
