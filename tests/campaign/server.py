"""Servers that the campaign may break: killed, paused, cut off, given shims, and started again on the same port."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import redis

from redsched.embedded import die_with_parent, find_server_binary, free_port
from tests.support.servers import redis8_binary


def program(kind: str) -> str | None:
    """The path of a server program, redis7, redis8 or else the embedded one; None where this machine has none."""
    if kind == "redis7":
        return shutil.which("redis-server")
    if kind == "redis8":
        return redis8_binary()
    with contextlib.suppress(Exception):
        return find_server_binary()[0]
    return None


class Server:
    """One server over one directory and one port, for as many lives as it takes."""

    def __init__(
        self,
        kind: str,
        folder: Path,
        *,
        appendfsync: str = "always",
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        path = program(kind)
        if path is None:
            raise FileNotFoundError(f"no server program for {kind}")
        self.kind, self.folder, self._path = kind, folder, path
        self.more = [
            "--dir",
            str(folder),
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            appendfsync,
            "--maxmemory-policy",
            "noeviction",
            "--enable-debug-command",
            "yes",
            *arguments,
        ]
        self.environment = environment or {}
        self.process: subprocess.Popen[bytes]
        folder.mkdir(parents=True, exist_ok=True)
        for attempt in range(5):
            self.port = free_port()
            try:
                self.start()
                break
            except RuntimeError:
                if "ddress already in use" not in self.said() or attempt == 4:
                    raise

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.kill()

    def connect(self, **options: Any) -> redis.Redis:
        """A plain connection without retries."""
        return redis.Redis(
            port=self.port,
            decode_responses=True,
            protocol=2,
            socket_timeout=options.pop("socket_timeout", 5.0),
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
            **options,
        )

    def start(self, seconds: float = 60.0) -> None:
        """Start it, and wait until it has read its data."""
        with open(self.folder / "server.log", "ab") as output:
            self.process = subprocess.Popen(
                [self._path, "--bind", "127.0.0.1", "--port", str(self.port), *self.more],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
                env=os.environ | self.environment,
                preexec_fn=die_with_parent(),  # noqa: PLW1509
            )
        deadline = time.monotonic() + seconds
        with self.connect() as connection:
            while True:
                with contextlib.suppress(redis.RedisError):
                    if connection.ping():
                        return
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{self.kind} did not start:\n{self.said()}")
                time.sleep(0.01)

    def said(self) -> str:
        """The end of its log."""
        return (self.folder / "server.log").read_text(errors="replace")[-3_000:]

    def kill(self) -> None:
        """SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self.process.terminate()
        self.process.wait(20)

    def pause(self) -> None:
        """SIGSTOP."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.process.pid, signal.SIGCONT)
