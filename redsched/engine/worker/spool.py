"""Spool of late answers: what a worker could not tell Redis before it ended, kept in a file and told at its next start.

Each answer carries the token of its claim, so telling it late is safe: ``lost`` where another worker has the task by
then. It is told to no other server than its own. The file holds no payload, only how runs ended; results and errors are
in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec

from redsched.client import AsyncClient
from redsched.model.errors import StoreDenied
from redsched.redis_url import address
from redsched.settings import Settings, default_data_dir
from redsched.steps import install as installing
from redsched.wire.claims import Settlement
from redsched.wire.codec import TASK_ID, is_name
from redsched.wire.ids import nonce

log = logging.getLogger("redsched.worker")
OUTCOMES = ("complete", "retry", "snooze", "return", "dead", "cancelled")
MAX_BYTES = 16_777_216  # of the file; what does not fit is told in the log


class _Line(msgspec.Struct):
    queue: str
    task_id: str
    token: str
    outcome: str
    first: str
    error: str
    traceback: str


class Spool:
    """One file per server and namespace in a folder of the user's; every line is one answer."""

    def __init__(self, settings: Settings) -> None:
        self._folder = Path(settings.data_dir or default_data_dir()) / "spool"
        self._namespace = settings.namespace
        self._taken: Path | None = None  # the file with what is being told
        self._belong_to(address(settings.redis_url))

    def _belong_to(self, server: str) -> None:
        """Another server must never be told: it would answer ``lost``, and the answer would be gone."""
        name = hashlib.sha256(server.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self.path = self._folder / f"late-answers-{self._namespace}-{name}.jsonl"

    async def identify(self, client: AsyncClient) -> None:
        """From now on it is the file of this namespace's data, wherever its server is: ``meta`` names them. A server
        that does not tell is known by its address."""
        try:
            epoch = await client.transport.steps("epoch", installing.epoch(client.cell_keys))
        except StoreDenied:
            return
        if epoch:
            self._belong_to(f"epoch {epoch}")

    def keep(self, ends: Sequence[Settlement]) -> int:
        """Append the answers; how many were written."""
        if not ends:
            return 0
        lines = b"".join(msgspec.json.encode(_line(end)) + b"\n" for end in ends)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
            file = os.open(self.path, flags, 0o600)
            try:
                if os.fstat(file).st_size + len(lines) > MAX_BYTES:
                    raise OSError(f"{self.path} is full")
                os.write(file, lines)
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            tasks = ",".join(end.task_id for end in ends[:50])
            log.error("answers.dropped", extra={"n": len(ends), "tasks": tasks, "error": str(error)})
            return 0
        log.warning("answers.spooled", extra={"n": len(ends), "file": str(self.path)})
        return len(ends)

    def take(self) -> list[Settlement]:
        """The answers of the last time, moved aside so that only one process tells them. What is no such file is told
        in the log; it stays aside, so that it is told once."""
        mine = self.path.with_suffix(f".{os.getpid()}-{nonce()[:8]}")
        try:
            self.path.rename(mine)
            text = _content(mine)
        except FileNotFoundError:
            return []
        except OSError as error:
            log.error("answers.unreadable", extra={"file": str(self.path), "error": str(error)})
            return []
        self._taken = mine
        ends, lines = [], text.split(b"\n")
        for line in filter(None, lines):
            with contextlib.suppress(ValueError, RecursionError):  # a line cut short by a crash, or by anybody
                ends.append(_settlement(line))
        if len(ends) < sum(map(bool, lines)):
            log.error("answers.malformed", extra={"file": str(self.path), "n": sum(map(bool, lines)) - len(ends)})
        return ends

    def told(self) -> None:
        """What was taken has been told."""
        if self._taken is not None:
            try:
                self._taken.unlink(missing_ok=True)
            except OSError as error:  # the next start may tell them again, which is safe
                log.error("answers.unreadable", extra={"file": str(self._taken), "error": str(error)})
            self._taken = None


def _line(end: Settlement) -> _Line:
    first = end.first.decode() if isinstance(end.first, bytes) else str(end.first)
    return _Line(end.queue, end.task_id, end.token, end.outcome, first, end.error, end.traceback)


def _content(path: Path) -> bytes:
    """What a plain file holds.

    Raises:
        OSError: it is no plain file, or longer than one of ours.
    """
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
            raise OSError(f"{path} is no file of answers")
        with open(file, "rb", closefd=False) as opened:
            return opened.read(MAX_BYTES)
    finally:
        os.close(file)


def _settlement(line: bytes) -> Settlement:
    """One answer; raises ValueError where the line holds none that Redis would take."""
    found = msgspec.json.decode(line, type=_Line)
    if not is_name(found.queue) or TASK_ID.fullmatch(found.task_id) is None or found.outcome not in OUTCOMES:
        raise ValueError("no answer")
    return Settlement(**msgspec.structs.asdict(found))
