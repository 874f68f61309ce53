"""The queues that a mover keeps time for: those of its worker, those that it is told of, those that it finds."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Sequence

from redsched.wire.cells import Cell
from redsched.wire.codec import is_name
from redsched.wire.keys import QueueKeys, queue_keys


class KnownQueues(Collection[str]):
    """Names with their keys. ``at_home``: queues of its own worker, which are never forgotten."""

    def __init__(self, cell: Cell, at_home: Sequence[str] = ()) -> None:
        self._cell = cell
        self.at_home = tuple(at_home)
        self._keys = {queue: queue_keys(cell, queue) for queue in at_home}

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __contains__(self, queue: object) -> bool:
        return queue in self._keys

    def keys_of(self, queue: str) -> QueueKeys | None:
        """The keys of a queue, which is known from now on; None where this can be no queue's name."""
        keys = self._keys.get(queue)
        if keys is None and is_name(queue):
            keys = self._keys[queue] = queue_keys(self._cell, queue)
        return keys

    def learn(self, queues: Iterable[str]) -> set[str]:
        """Know them from now on; those that are new."""
        return {queue for queue in set(queues) - self._keys.keys() if self.keys_of(queue) is not None}

    def keep(self, queues: Iterable[str]) -> None:
        """Forget all others but those at home."""
        for queue in self._keys.keys() - set(queues) - set(self.at_home):
            del self._keys[queue]


class Round:
    """Goes through names in turn, a few at a time, and begins again; what comes or goes is seen in the next round."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._left: list[str] = []  # of this round, the next one last

    def take(self, most: int, but: Container[str] = ()) -> list[str]:
        """The next of them, without those in ``but``; fewer at the end of a round."""
        taken: list[str] = []
        if not self._left and most > 0:
            self._left = list(self._names)[::-1]
        while self._left and len(taken) < most:
            if (name := self._left.pop()) not in but:
                taken.append(name)
        return taken
