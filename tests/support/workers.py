"""Workers and movers as a user runs them, over a store of a test, with the ledger that their handlers write."""

from __future__ import annotations

import re
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from redsched import Client, Settings, Task, TaskView
from tests.apps.ledger import LEDGER, Ledger
from tests.support.consistency import assert_consistent
from tests.support.processes import PATIENCE_S, Redsched, until
from tests.support.servers import FIXTURES, Store, connect, start_redis7

Found = TypeVar("Found")
APP = "tests.apps.ledger:app"
SHORT = "4s"  # a lease that a test waits for: a worker that stands still for 2 s does not lose it
FINAL = ("completed", "dead", "cancelled", "expired", "skipped")


class Site:
    """A store with what runs on it; everything ends with the ``with`` block."""

    def __init__(self, store: Store, directory: Path) -> None:
        assert store.url is not None
        self.store = store
        self.url = store.url
        self.ledger = Ledger(directory / f"{store.namespace}.ledger")
        self._stack = ExitStack()
        self.client: Client = self._stack.enter_context(store.client())

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *problem: Any) -> None:
        self._stack.close()

    def settings(self, **changes: Any) -> Settings:
        """For workers and movers inside the test's own process."""
        plain = Settings(redis_url=self.url, namespace=self.store.namespace)
        return msgspec.structs.replace(plain, **changes)

    def start(self, command: str, *arguments: str, tree: Path | None = None, **environment: str) -> Redsched:
        """``redsched <command> ...`` on this store, of this version or of another tree."""
        if tree is not None:
            environment |= {"PYTHONPATH": str(tree)}
        variables = {LEDGER: str(self.ledger.path), "REDSCHED_LOG_FORMAT": "text"} | environment
        return self._stack.enter_context(
            Redsched("-r", self.url, "--namespace", self.store.namespace, command, *arguments, env=variables, cwd=tree)
        )

    def worker(self, *arguments: str, ready: bool = True, tree: Path | None = None, **environment: str) -> Redsched:
        """A worker of the queue ``default``; later arguments win."""
        worker = self.start("worker", APP, "-q", "default", *arguments, tree=tree, **environment)
        if ready:
            worker.wait_for_error("worker.started")
        return worker

    def mover(self) -> Redsched:
        """A mover without a worker."""
        mover = self.start("mover")
        mover.wait_for_error("mover.started")
        return mover

    def enqueue(self, type_: str, count: int, *, payload: Any = None, **options: Any) -> list[str]:
        """Many tasks; their ids."""
        tasks = [Task(type=type_, payload=payload, **options) for _ in range(count)]
        batches = (tasks[at : at + 1_000] for at in range(0, count, 1_000))
        return [answer.id for batch in batches for answer in self.client.enqueue_many(batch)]

    def views(self, ids: Iterable[str], queue: str = "default") -> list[TaskView]:
        """What is known of them; each must be there."""
        wanted = list(ids)
        found: dict[str, TaskView | None] = {}
        for at in range(0, len(wanted), 100):
            found |= self.client.show(wanted[at : at + 100], queue=queue)
        missing = [task_id for task_id in wanted if found[task_id] is None]
        assert not missing, f"lost: {missing}"
        return [view for view in found.values() if view is not None]

    def depths(self, queue: str = "default") -> dict[str, int]:
        """How many tasks are in each state that is not empty."""
        found = msgspec.structs.asdict(self.client.stats([queue])[0])
        places = ("scheduled", "held", "ready", "running", "finished", "dead", "quarantined")
        return {place: found[place] for place in places if found[place]}

    def until_depths(self, seconds: float = PATIENCE_S, queue: str = "default", **wanted: int) -> None:
        """Wait until the queue holds exactly this."""
        until(lambda: self.depths(queue) == wanted, lambda: f"{self.depths(queue)} is not {wanted}", seconds)

    def until_started(self, count: int, seconds: float = PATIENCE_S) -> None:
        """Wait until so many runs were noted."""
        until(lambda: len(self.ledger.runs("started")) >= count, lambda: str(self.depths()), seconds)

    def until_begun(self, ids: Iterable[str], queue: str = "default") -> None:
        """Wait until their worker has told that their handlers have begun: from then on a crash uses up an attempt."""
        keys = [self.store.key(f"task:{queue}:{task_id}") for task_id in ids]
        until(lambda: all(self.store.redis.hget(key, "begun") for key in keys))

    def until_state(self, task_id: str, *states: str, queue: str = "default", seconds: float = PATIENCE_S) -> TaskView:
        """The task, once it is in one of these states; without any, in a final one."""

        def look() -> TaskView | None:
            view = self.client.show(task_id, queue=queue)[task_id]
            return view if view is not None and view.state in (states or FINAL) else None

        return until(look, lambda: str(self.client.show(task_id, queue=queue)[task_id]), seconds)

    def run(self, type_: str, payload: Any = None, *, until_state: str = "", **options: Any) -> TaskView:
        """Enqueue one task and wait for its end."""
        made = self.client.enqueue(type_, payload, **options)
        states = (until_state,) if until_state else ()
        return self.until_state(made.id, *states, queue=options.get("queue", "default"))

    def until(self, look: Callable[[], Found | None], seconds: float = PATIENCE_S) -> Found:
        """What ``look`` finds, once it finds something."""
        return until(look, lambda: str(self.depths()), seconds)

    def assert_consistent(self) -> None:
        """Every task is in the one place that its state names."""
        assert_consistent(self.store.redis, self.store.namespace)

    @staticmethod
    def names_of(worker: Redsched) -> list[str]:
        """The consumer that a worker is."""
        return re.findall(r"consumer=(\S+)", worker.wait_for_error("worker.started"))

    def _consumers(self, queue: str) -> list[dict[str, Any]]:
        streams = [self.store.key(f"ready:{queue}{suffix}") for suffix in ("", ":high", ":low")]
        return [consumer for stream in streams for consumer in self.store.redis.xinfo_consumers(stream, "workers")]

    def consumers(self, queue: str = "default") -> list[str]:
        """The names in the consumer groups of a queue."""
        return sorted({consumer["name"] for consumer in self._consumers(queue)})

    def unread(self, queue: str = "default") -> int:
        """How many entries of a queue its workers' blocking reads were given and have not acknowledged."""
        return sum(consumer["pending"] for consumer in self._consumers(queue))


@contextmanager
def own_site() -> Iterator[Site]:
    """A Redis of its own, for campaigns that pytest does not run."""
    with tempfile.TemporaryDirectory() as folder:
        server = start_redis7(Path(folder))
        try:
            store = Store("redis", connect(server.url), url=server.url)
            with Site(store, Path(folder)) as site:
                yield site
        finally:
            server.stop()


@contextmanager
def site_on(request: pytest.FixtureRequest, kind: str, directory: Path) -> Iterator[Site]:
    """A namespace of its own on a server of this pytest process: one of FIXTURES."""
    server = request.getfixturevalue(FIXTURES[kind])
    store = Store(kind, connect(server.url), url=server.url)
    with Site(store, directory) as site:
        yield site
    store.clear()
    store.redis.close()


def killed(process: Redsched) -> None:
    """SIGKILL it, as an out-of-memory killer would."""
    process.send(signal.SIGKILL)
    process.wait()


def mover_name(mover: Redsched) -> str:
    """What a mover calls itself."""
    found = re.search(r"mover=(\w+)", mover.wait_for_error("mover.started"))
    assert found is not None
    return found[1]
