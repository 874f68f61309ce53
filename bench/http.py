"""How many tasks a second one ``redsched api`` process accepts: single submits and batches of 500 NDJSON lines.

Eight connections are kept alive, and each sends its next request when its answer is there. The load comes from core 0,
which the server uses little of, so that the API has core 1 to itself. The floor is the same submits through
AsyncClient without HTTP, and the same connections asking ``/livez``, which touches no task.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
import socket
import time
from collections.abc import Iterator, Sequence

import msgspec

from bench.common import QUEUE, SERVER_CORE, TYPE, Options, Stage, Tick, main, now_ms, payload, task
from bench.noise import on_core
from bench.report import Report, percentile
from redsched import AsyncClient, Task
from redsched.embedded import free_port
from redsched.eventloop import loop_factory

CONNECTIONS = 8
BATCH = 500
SINGLES, BATCHES = 8_000, 100
HOUR_MS = 3_600_000


def measure(options: Options, tick: Tick) -> Report:
    """Tasks a second over HTTP."""
    report = Report(name="http", title=f"tasks a second through one API process, {CONNECTIONS} connections")
    with Stage(report, options) as stage:
        for run in range(1, options.runs + 1):
            stage.clear()
            port = free_port()
            with stage.child("api", ["api", "--port", str(port)]) as process:
                stage.until(functools.partial(_listens, port), 30, "the API", process)
                _http(stage, port, process.pid)
            _without_http(stage)
            tick(f"run {run}")
    return report


def _http(stage: Stage, port: int, pid: int) -> None:
    report, sized = stage.report, stage.options.sized
    due = now_ms() + HOUR_MS
    single = [_post("/v1/tasks", "application/json", _body(n, due)) for n in range(sized(SINGLES))]
    lines = [b"\n".join(_body(n, due) for n in range(BATCH)) for _ in range(sized(BATCHES))]
    batches = [_post("/v1/tasks:batch", "application/x-ndjson", body) for body in lines]
    alive = [b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"] * sized(SINGLES)
    with on_core(SERVER_CORE):
        load(port, single[:200])  # warm
        watch = stage.watch(api=pid)
        seconds, took = load(port, single)
        stage.watched(watch)
        report.add("single submits", len(single) / seconds, "tasks/s", target=2_500)
        report.add("single submits: p50", percentile(took, 0.5) * 1e3, "ms")
        report.add("single submits: p99", percentile(took, 0.99) * 1e3, "ms")
        report.add("single submits: API's CPU", watch.used["api"] * 1e6 / len(single), "us/task")
        watch = stage.watch(api=pid)
        seconds, _ = load(port, batches)
        stage.watched(watch)
        report.add(f"batches of {BATCH}", len(batches) * BATCH / seconds, "tasks/s", target=30_000)
        report.add(f"batches of {BATCH}: API's CPU", watch.used["api"] * 1e6 / (len(batches) * BATCH), "us/task")
        seconds, _ = load(port, alive)
        report.add("GET /livez", len(alive) / seconds, "requests/s", floor=True)


def _without_http(stage: Stage) -> None:
    sized = stage.options.sized
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        rates = runner.run(_submit(stage.url, sized(SINGLES), sized(BATCHES)))
    for name, rate in rates.items():
        stage.report.add(name, rate, "tasks/s", floor=True)


async def _submit(url: str, singles: int, batches: int) -> dict[str, float]:
    due = now_ms() + HOUR_MS
    async with AsyncClient(url, name="bench") as client:

        async def submit(left: Iterator[int]) -> None:
            for n in left:
                await client.enqueue(TYPE, payload(n, due), queue=QUEUE, due=due)

        async def submit_many(left: Iterator[list[Task]]) -> None:
            for tasks in left:
                await client.enqueue_many(tasks)

        left = iter(range(singles))
        made = iter([[task(n, due) for n in range(BATCH)] for _ in range(batches)])
        await client.enqueue(TYPE, payload(0, due), queue=QUEUE, due=due)
        began = time.perf_counter()
        await asyncio.gather(*(submit(left) for _ in range(CONNECTIONS)))
        between = time.perf_counter()
        await asyncio.gather(*(submit_many(made) for _ in range(CONNECTIONS)))
        ended = time.perf_counter()
    return {
        f"AsyncClient.enqueue, {CONNECTIONS} at once": singles / (between - began),
        f"AsyncClient.enqueue_many of {BATCH}, {CONNECTIONS} at once": batches * BATCH / (ended - between),
    }


def load(port: int, requests: Sequence[bytes]) -> tuple[float, list[float]]:
    """Send every request over the kept connections; the seconds in all and of each request.

    Raises:
        RuntimeError: an answer was no success.
    """
    left, took = iter(requests), []
    began = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for _ in range(CONNECTIONS):
            connection = _Connection(port)
            if connection.send(left):
                selector.register(connection.socket, selectors.EVENT_READ, connection)
        while selector.get_map():
            for key, _ in selector.select():
                connection = key.data
                if connection.answered():
                    took.append(time.perf_counter() - connection.sent_at)
                    if not connection.send(left):
                        selector.unregister(connection.socket)
                        connection.socket.close()
    return time.perf_counter() - began, took


class _Connection:
    """One kept connection with one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self._answer = b""

    def send(self, left: Iterator[bytes]) -> bool:
        """Send the next request, where there is one."""
        request = next(left, None)
        if request is None:
            return False
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)
        return True

    def answered(self) -> bool:
        """Read what has come; whether the answer is whole."""
        chunk = self.socket.recv(262_144)
        if not chunk:
            raise RuntimeError("the API closed a kept connection")
        self._answer += chunk
        head, blank, body = self._answer.partition(b"\r\n\r\n")
        if not blank or len(body) < _content_length(head):
            return False
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
            raise RuntimeError(f"the API answered {self._answer[:400]!r}")
        self._answer = b""
        return True


def _content_length(head: bytes) -> int:
    _, found, after = head.lower().partition(b"\r\ncontent-length:")
    if not found:
        raise RuntimeError(f"an answer without a length: {head!r}")
    return int(after.partition(b"\r\n")[0])


def _post(path: str, content_type: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _body(number: int, due_ms: int) -> bytes:
    return msgspec.json.encode({"type": TYPE, "queue": QUEUE, "due": due_ms, "payload": payload(number, due_ms)})


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main(measure, __doc__)
