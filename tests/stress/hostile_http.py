"""Hostile requests to a real API process: whether it answers each with what the request deserves, and others meanwhile.

    python -m tests.stress.hostile_http --requests 20000

Nothing is known of a request but that it came over a socket: its method, path, query, headers and body are drawn from
a seed. A process of its own sends them; this one asks for ``/livez`` all the while. The floors are the same question
before, and while as many harmless requests come as the API can answer.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import multiprocessing
import multiprocessing.connection
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

from redsched.demo.ledger import percentile
from tests.support.api_server import JSON, call
from tests.support.processes import Redsched
from tests.support.servers import start_valkey

CLIENTS = 4  # connections at once
ANSWER_S = 30.0  # a request without an answer for so long has none
HARMLESS = b"GET /v1/tasks HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", True
HARD_ONES = 31
BROKEN_S = 0.3  # how long one that is not all there is kept open
PROBE_S = 0.01  # between two questions for /livez
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "post", "BREW", "G\tT")
GOOD = ("default", "q", "42", "s", "hard-1", "r")  # that name something, or may
NAMES = (
    "default", "q", "42", "", "a b", "a%20b", "%00", "%ff%fe", "%ed%a0%80", "%2e%2e", "..", "ä", "x" * 200,
    "x" * 9_000, "a:b:c", "a%3Acancel", "{rs}", "%7Brs%7D:due", "-", "q\x0b", "%0d%0aset-cookie:%20a=b", "'", '"',
    "☃", "a/b", "a%2Fb",
)  # fmt: skip
VERBS = ("cancel", "reschedule", "run", "revive", "drop", "confirm", "abandon", "pause", "resume", "trigger",
         "backfill", "preview", "apply", "batch", "bulk", "none", "", "CANCEL", "%63ancel")  # fmt: skip
ROUTES = tuple(
    route.split()
    for route in (
        "POST /v1/tasks",
        "GET /v1/tasks",
        "POST /v1/tasks:batch",
        "POST /v1/tasks:bulk",
        "GET /v1/tasks/{}",
        "POST /v1/tasks/{}:{v}",
        "GET /v1/tasks/{}/explain",
        "GET /v1/tasks/{}/tree",
        "GET /v1/tasks/{}/parents",
        "GET /v1/queues",
        "GET /v1/queues/{}",
        "POST /v1/queues/{}:{v}",
        "GET /v1/queues/{}/paused",
        "GET /v1/schedules",
        "POST /v1/schedules:preview",
        "POST /v1/schedules:apply",
        "GET /v1/schedules/{}",
        "PUT /v1/schedules/{}",
        "PATCH /v1/schedules/{}",
        "DELETE /v1/schedules/{}",
        "POST /v1/schedules/{}:{v}",
        "GET /v1/calendars",
        "GET /v1/calendars/{}",
        "PUT /v1/calendars/{}",
        "DELETE /v1/calendars/{}",
        "POST /v1/events",
        "GET /v1/rules",
        "GET /v1/rules/{}",
        "PUT /v1/rules/{}",
        "DELETE /v1/rules/{}",
        "POST /v1/workflows",
        "GET /livez",
        "GET /readyz",
        "GET /metrics",
    )
)
PATHS = ("/", "/v1", "/v1/{}", "/{}", "//v1/tasks", "/v1/tasks/", "*", "http://[::1", "/v1/tasks#x", "/v1/tasks/{}/{v}")
CURSORS = (
    "", "0", "1", "-1", "nan 1", "inf~5", "-inf~1", "1e999~1", "0x10~1", "(1~1", "[a", "1700000000000~3",
    "1~" + "9" * 40, "9" * 40, "normal/1-1", "normal/1", "high/" + "9" * 30 + "-1", "z/1-1", "%00", "%ff", "a b",
    "x" * 5_000, "1 2 3", "☃", "18446744073709551616",
)  # fmt: skip
PARAMETERS = ("cursor", "limit", "queue", "state", "type", "durability", "atomic", "verbose", "include", "next", "")
VALUES = ("1", "0", "-1", "1000", "1001", "99999999999999999999", "²", "true", "dead", "finished", "scheduled", "ready",
          "running", "quarantined", "replicas:1", "memory", "", "%00", "a%20b", "x" * 3_000)  # fmt: skip
SCALARS: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**64, -(2**70), 1.5, -0.0, 1e308, "", "x", "1h", "-5s", "P1D",
    "2027-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "\x00", "\ud800", "☃" * 300,
    "x" * 70_000, "*", "* * * * *", "${jndi:ldap://x}", "../../etc/passwd", "<script>", [], {}, [[]], [1, "a", None],
    {"a": 1}, {"": ""}, {"kind": "fixed"}, {"every": "1s"},
)  # fmt: skip
FIELDS = (
    "type", "payload", "queue", "id", "due", "delay", "priority", "max_attempts", "retry", "timeout", "expires_at",
    "expires_in", "key", "tags", "headers", "retention", "keep", "request", "conditions", "expect", "reason",
    "token", "event", "subject", "data", "ttl", "on", "task", "bind", "task_id", "chain", "group", "then",
    "otherwise", "action", "filter", "dry_run", "max", "cron", "crons", "every", "calendar", "random", "at", "rrule",
    "time_zone", "exclude", "start", "end", "from", "to", "count", "overlap", "catch_up", "catch_up_window",
    "jitter", "max_runs", "until", "schedules", "prune", "dates", "after_completion", "dst_gap", "dst_fold",
    "unless", "only_if", "wait_for", "cancel_on", "after", "unique", "digest", "late", "hold", "fact", "is",
    "__proto__", "\x00",
)  # fmt: skip
TASK: dict[str, Any] = {"type": "t", "delay": "1h"}
STARVED = "* * * 1-9,11-19,21-31 * *"
HARD = {"cron": "* * * * * *", "exclude": {"crons": [STARVED]}, "count": 1000, "time_zone": "Europe/Berlin"}
BODIES: tuple[Any, ...] = (
    TASK, {"type": "t", "queue": "q", "id": "42", "payload": {"a": 1}, "delay": "1h"}, [TASK, TASK],
    [TASK, {"type": 1}], {"reason": "r"}, {"due": "2027-01-01T00:00:00Z"}, {"delay": "1h"}, {"token": "CANARY"}, {},
    {"action": "cancel", "filter": {"state": "scheduled"}, "queue": "q"}, {"event": "e", "subject": "s", "data": {}},
    {"on": "e", "task": TASK}, {"chain": [TASK, TASK]}, {"group": [TASK, TASK], "then": TASK},
    {"cron": "0 9 * * MON", "task": {"type": "t"}}, {"every": "1h", "task": {"type": "t"}},
    {"cron": "0 9 * * *", "count": 3}, {"rrule": "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30", "task": {"type": "t"}},
    {"schedules": [{"id": "s", **HARD}]}, HARD,
    {"cron": "0 0 29 2 MON", "task": {"type": "t"}, "exclude": {"crons": ["* * * * *"]}}, {"dates": ["2027-12-25"]},
    {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}, {"conditions": {"wait_for": "e"}, **TASK},
)  # fmt: skip
FITTING: dict[str, Any] = {  # what a route takes, by how it begins
    "/v1/tasks": TASK, "/v1/tasks:batch": [TASK] * 3, "/v1/tasks:bulk": {"action": "drop", "filter": {"state": "dead"}},
    "/v1/tasks/": {}, "/v1/schedules/": {"cron": "0 9 * * *", "task": {"type": "t"}}, "/v1/schedules:preview": HARD,
    "/v1/schedules:apply": {"schedules": [{"id": "a", "cron": "@daily", "task": {"type": "t"}}]},
    "/v1/calendars/": {"dates": ["2027-12-25"]}, "/v1/events": {"event": "e"}, "/v1/queues/": {"reason": "r"},
    "/v1/rules/": {"on": "e", "task": TASK}, "/v1/workflows": {"chain": [TASK, TASK]},
}  # fmt: skip
RAW = (
    b"", b" ", b"{", b"[", b"nul", b"NaN", b"[1,]", b'{"type":"t","type":"u"}', b'{"type":"t","payload":NaN}',
    b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b'{"type":"\xed\xa0\x80"}',
    b'{"type":"t","payload":' + b"[" * 5_000 + b"]" * 5_000 + b"}", b"[" * 60_000, b'{"a":' * 20_000, b"{}" * 30_000,
    b'{"type":"t","payload":' + b"9" * 5_000 + b"}", b'{"type":"t","payload":1e999999}', b'{"\\u0000":1}',
    b"a=b&c=d", b"--x\r\ncontent-disposition: form-data\r\n\r\n", b"\x1f\x8b\x08\x00",
    b'"' + b"\\u0041" * 10_000 + b'"',
)  # fmt: skip
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"idempotency-key", b"k"), (b"idempotency-key", b"x" * 300), (b"idempotency-key", b"\xff"),
    (b"traceparent", b"00-x-y-01"), (b"request-id", b"a b"), (b"request-id", b"\x1b[31m"), (b"if-none-match", b"*"),
    (b"if-none-match", b'"x"'), (b"origin", b"null"), (b"origin", b"http://evil.example"),
    (b"sec-fetch-site", b"same-site"), (b"sec-fetch-site", b"cross-site"), (b"host", b"evil.example"),
    (b"host", b""), (b"authorization", b"Bearer \xff\xfe"), (b"authorization", b"Basic x"),
    (b"expect", b"100-continue"), (b"upgrade", b"websocket"), (b"connection", b"upgrade"),
    (b"content-encoding", b"gzip"), (b"x", b"y" * 7_000), (b"x" * 3_000, b"y"), (b"accept", b"text/html"),
    (b"range", b"bytes=0-1"), (b"cookie", b"a=b;" * 500), (b"x-forwarded-for", b"127.0.0.1"),
    (b"transfer-encoding", b"gzip"), (b"content-length", b"5"), (b"bad header", b"x"), (b"x", b"a\x00b"),
)  # fmt: skip
TYPES = (b"application/json",) * 12 + (
    b"application/x-ndjson", b"application/merge-patch+json", b"text/plain", b"", b"multipart/form-data",
    b"application/x-www-form-urlencoded", b"application/json; charset=utf-16",
)  # fmt: skip


def heavy() -> list[tuple[str, bytes]]:
    """Requests that cost much to read: path and body."""
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in "type").encode()
    return [
        ("/v1/workflows", b'{"chain":[' + b",".join([b'{"type":"t"}'] * 150_000) + b"]}"),
        ("/v1/workflows", b'{"group":[' + b",".join([b'{"type":"t"}'] * 9_000) + b'],"then":{"type":"t"},"x":1}'),
        ("/v1/tasks:batch", b"[" + b",".join([b'{"' + escaped + b'":"t"}'] * 300_000) + b"]"),
        ("/v1/tasks:batch", b"[" + b",".join([b'{"type":"t","payload":"' + b"\\u0041" * 4_000 + b'"}'] * 999) + b"]"),
        ("/v1/tasks:batch", b"[" + b",".join([b'"type"'] * 900_000) + b"]"),
        ("/v1/schedules:preview", msgspec.json.encode(HARD)),
        ("/v1/schedules:apply", msgspec.json.encode({"schedules": [{"id": "s", "cron": "@daily"}] * 3_000})),
    ]


class Hostile:
    """Draws requests."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._heavy: list[tuple[str, bytes]] = []

    def request(self, *, heavy_share: float) -> tuple[bytes, bool]:
        """One request as it goes over the wire, and whether it is all there."""
        draw = self._random
        if draw.random() < heavy_share:
            self._heavy = self._heavy or heavy()
            path, body = draw.choice(self._heavy)
            return self._framed(b"POST", path, body, [(b"content-type", b"application/json")])
        name = draw.choice(GOOD if draw.random() < 0.7 else NAMES)
        if "%" not in name and draw.random() < 0.95:
            name = quote(name)
        method, path = draw.choice(ROUTES)
        if draw.random() < 0.1:
            method = draw.choice(METHODS)
        if draw.random() < 0.05:
            path = draw.choice(PATHS)
        body = self._body(FITTING.get(path.partition("{")[0])) if draw.random() < 0.7 else b""
        path = path.replace("{v}", draw.choice(VERBS)).replace("{}", name) + self._query()
        headers = [(b"content-type", draw.choice(TYPES))] if draw.random() < 0.9 else []
        headers += draw.choices(HEADERS, k=draw.choice((0,) * 20 + (1, 1, 1, 2, 5)))
        if draw.random() < 0.01:
            headers += [(b"x", b"y")] * draw.choice((99, 120, 5_000))
        return self._framed(method.encode(), path, body, headers)

    def _query(self) -> str:
        draw, parts = self._random, []
        while draw.random() < 0.25:
            name = draw.choice(PARAMETERS)
            value = draw.choice(CURSORS if name == "cursor" else NAMES if name in ("queue", "type") else VALUES)
            parts.append(f"{name}={value if '%' in value or draw.random() < 0.1 else quote(value)}")
        return "?" + "&".join(parts) if parts else ""

    def _body(self, fitting: Any) -> bytes:
        draw = self._random
        if draw.random() < 0.15:
            return draw.choice(RAW)
        try:
            chosen = draw.choice(BODIES) if fitting is None or draw.random() < 0.4 else fitting
            text = msgspec.json.encode(self._changed(chosen))
        except (UnicodeEncodeError, OverflowError, ValueError, TypeError):
            return b'{"type":"t","id":"\\ud800","payload":"\\ud800"}'
        if draw.random() < 0.05:
            at = draw.randrange(len(text))
            text = text[:at] + bytes([draw.randrange(256)]) + text[at + draw.randrange(2) :]
        return text

    def _changed(self, value: Any) -> Any:
        """The same with something else in some places."""
        draw = self._random
        if isinstance(value, dict):
            found = {name: self._changed(one) for name, one in value.items() if draw.random() < 0.95}
            if draw.random() < 0.3:
                found[draw.choice(FIELDS)] = draw.choice(SCALARS)
            return found
        if isinstance(value, list):
            return [self._changed(one) for one in value] * draw.choice((1, 1, 1, 1, 1, 30))
        return draw.choice(SCALARS) if draw.random() < 0.08 else value

    def _framed(self, method: bytes, path: str, body: bytes, headers: list[tuple[bytes, bytes]]) -> tuple[bytes, bool]:
        draw = self._random
        named = {name for name, _ in headers}
        lines = [method + b" " + path.encode("utf-8", "surrogatepass") + b" HTTP/1.1", b"connection: close"]
        if b"host" not in named:
            lines.append(b"host: 127.0.0.1")
        way, whole = draw.random(), b"content-length" not in named and b"transfer-encoding" not in named
        if body and way < 0.1:
            size = max(1, len(body) // 3)
            parts = [body[at : at + size] for at in range(0, len(body), size)]
            body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
            body += b"0\r\n\r\n" if way < 0.08 else b"zz\r\n"
            lines.append(b"transfer-encoding: chunked")
        elif (body or way < 0.9) and b"content-length" not in named:
            length = len(body) if way < 0.97 else draw.choice((len(body) + 10, 10**12, -1))
            lines.append(b"content-length: %d" % length)
            whole = whole and length == len(body)
        lines += [name + b": " + value for name, value in headers]
        return b"\r\n".join(lines) + b"\r\n\r\n" + body, whole


class Sent(NamedTuple):
    """How requests were answered: by status (0: the connection was closed, -1: no answer), and those answered 5xx."""

    statuses: Counter[int]
    codes: Counter[str]  # of problems
    failures: list[tuple[bytes, bytes]]  # request, answer; both cut


async def _one(host: str, port: int, request: bytes, seconds: float) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(host, port)
    answer = b""
    try:
        async with asyncio.timeout(seconds):
            writer.write(request)
            await writer.drain()
            while part := await reader.read(65_536):
                answer = (answer + part)[:65_536]
    except TimeoutError:
        return (-1, b"") if not answer else (_status(answer), answer)
    except OSError:
        pass
    finally:
        writer.close()
    return _status(answer), answer


def _status(answer: bytes) -> int:
    while answer.startswith(b"HTTP/1.1 100"):
        answer = answer.partition(b"\r\n\r\n")[2]
    return int(answer[9:12]) if answer[9:12].isdigit() else 0


async def _send(url: str, seed: int, count: int, heavy_share: float | None) -> Sent:
    parts = urlsplit(url)
    hostile, left = Hostile(seed), count
    sent = Sent(Counter(), Counter(), [])

    async def client() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            request, whole = HARMLESS if heavy_share is None else hostile.request(heavy_share=heavy_share)
            status, answer = await _one(parts.hostname or "", parts.port or 0, request, ANSWER_S if whole else BROKEN_S)
            sent.statuses[status] += 1
            if b'"code":"' in answer and status >= 400:
                sent.codes[answer.partition(b'"code":"')[2].partition(b'"')[0].decode()] += 1
            if status >= 500 or (status == -1 and whole):
                sent.failures.append((request[:1_000], answer[:600]))

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return sent


def _sender(
    pipe: multiprocessing.connection.Connection, url: str, seed: int, count: int, heavy_share: float | None
) -> None:
    pipe.send("ready")
    pipe.send(asyncio.run(_send(url, seed, count, heavy_share)))


class Run(NamedTuple):
    """What the run found; ms that ``/livez`` took before it, beside harmless requests and beside the hostile ones."""

    sent: Sent
    seconds: float
    before: list[float]
    harmless: list[float]
    during: list[float]
    ended: int | None  # the exit code of the API process; None: it goes on


def prepare(url: str, hard_ones: int) -> None:
    """Something of each kind, among it schedules whose next runs are hard to find."""
    call(url, "PUT", "/v1/rules/r", b'{"on":"e","task":{"type":"t"}}', JSON)
    call(url, "PUT", "/v1/schedules/s", b'{"cron":"@daily","task":{"type":"t"}}', JSON)
    for number in range(hard_ones):
        hard = {name: value for name, value in HARD.items() if name != "count"} | {"task": {"type": "t"}}
        call(url, "PUT", f"/v1/schedules/hard-{number}", msgspec.json.encode(hard), JSON)
    for task_id in ("42", "q"):
        call(url, "POST", "/v1/tasks", msgspec.json.encode({**TASK, "id": task_id}), JSON)


def run(
    url: str, *, requests: int, seed: int = 1, heavy_share: float = 0.002, floor: int = 200, hard_ones: int = HARD_ONES
) -> Run:
    """Send so many to a server that is there already; ``hard_ones``: schedules whose next runs are hard to find."""
    prepare(url, hard_ones)
    before = [_livez(url) for _ in range(floor)]
    _, _, harmless = _beside(url, seed, requests // 4, None)
    sent, seconds, during = _beside(url, seed, requests, heavy_share)
    return Run(sent, seconds, before, harmless, during, None)


def _beside(url: str, seed: int, count: int, heavy_share: float | None) -> tuple[Sent, float, list[float]]:
    """Ask for ``/livez`` while the sender sends."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_sender, args=(there, url, seed, count, heavy_share))
    process.start()
    assert here.recv() == "ready"
    began, took = time.monotonic(), list[float]()
    while not here.poll(PROBE_S):
        if not process.is_alive() and not here.poll(0):
            raise RuntimeError(f"the sender ended with {process.exitcode}")
        took.append(_livez(url))
    sent: Sent = here.recv()
    process.join()
    return sent, time.monotonic() - began, took


def _livez(url: str) -> float:
    parts = urlsplit(url)
    began = time.perf_counter()
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/livez")
        assert connection.getresponse().read() == b"ok\n"
    finally:
        connection.close()
    return (time.perf_counter() - began) * 1_000


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 where a request was answered 5xx, or not at all, or the process ended."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress.hostile_http", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, start_valkey(Path(folder)) as server:
        redis = {"REDSCHED_REDIS_URL": server.url, "REDSCHED_LOG_FORMAT": "json"}
        api = Redsched("api", "--port", "0", env=redis)
        try:
            line = api.wait_for_error("api.listening")
            found = run(msgspec.json.decode(line.encode())["url"], requests=given.requests, seed=given.seed)
            found = found._replace(ended=api.process.poll())
        finally:
            api.process.kill()
            api.wait()
    return report(found)


def report(found: Run) -> int:
    """Print it."""
    statuses = ", ".join(f"{status} x {count:,}" for status, count in sorted(found.sent.statuses.items()))
    print(f"{sum(found.sent.statuses.values()):,} requests in {found.seconds:.1f} s: {statuses}")
    print("codes:", ", ".join(f"{code} x {count:,}" for code, count in found.sent.codes.most_common()))
    figured = (("before", found.before), ("beside harmless requests", found.harmless), ("meanwhile", found.during))
    for name, figures in figured:
        p50, p99 = percentile(figures, 50), percentile(figures, 99)
        longest = max(figures, default=0.0)
        print(f"/livez {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {longest:.1f} ms of {len(figures):,}")
    print(f"the process {'goes on' if found.ended is None else f'ended with {found.ended}'}")
    for request, answer in found.sent.failures[:50]:
        print(f"\n{request[:400]!r}\n  -> {answer[-400:]!r}")
    return int(bool(found.sent.failures) or found.ended is not None)


if __name__ == "__main__":
    sys.exit(main())
