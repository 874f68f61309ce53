"""put_types remembers the queues that a type had before, and types tells in which of its queues an id is."""

from __future__ import annotations

import pytest

from redsched.wire import task_types
from redsched.wire.keys import CellKeys
from redsched.wire.task_types import TypePut
from tests.support.lua_queue import HOUR, NOW, Queue

DAYS = 24 * HOUR


def put(queue: Queue, *queues: str, at: int = NOW) -> None:
    """A later worker each says that the type t has this queue, an hour after the one before."""
    for number, name in enumerate(queues):
        call = task_types.put_types(CellKeys(queue.cell), "shop", None, "w", at + number, [TypePut("t", name)])
        assert queue.send(call, now=at + number * HOUR).words == ["put"]


def former(queue: Queue, now: int = NOW) -> dict[str, int]:
    """The former queues of the type, as hours from NOW at which each was left."""
    (view,) = queue.send(task_types.types(CellKeys(queue.cell), ["t"]), now=now).items
    return {name: int(left.timestamp() * 1_000 - NOW) // HOUR for name, left in (view.former_queues or {}).items()}


def place(queue: Queue, *ids: str, name: str = "t", now: int = NOW) -> list[str | None]:
    """In which queue each id of the type is."""
    return queue.send(task_types.type_places(CellKeys(queue.cell), [(name, one) for one in ids]), now=now)


def test_a_type_remembers_its_last_four_queues_and_not_the_one_that_it_has(queue: Queue) -> None:
    put(queue, "a")
    assert former(queue) == {}
    put(queue, "b", at=NOW + HOUR)
    assert former(queue) == {"a": 1}
    put(queue, "b", at=NOW + 2 * HOUR)
    assert former(queue) == {"a": 1}
    put(queue, "a", at=NOW + 3 * HOUR)
    assert former(queue) == {"b": 3}
    put(queue, "b", "c", "d", "e", "f", at=NOW + 4 * HOUR)
    assert list(former(queue).items()) == [("e", 8), ("d", 7), ("c", 6), ("b", 5)]


def test_a_queue_counts_for_35_days_after_it_was_left(queue: Queue) -> None:
    put(queue, "q", "r")
    queue.enqueue(("one", NOW, {}))
    left = NOW + HOUR

    assert place(queue, "one", now=left + 35 * DAYS - 1) == ["q"] and former(queue, left + 35 * DAYS - 1) == {"q": 1}
    assert place(queue, "one", now=left + 35 * DAYS) == [None] and former(queue, left + 35 * DAYS) == {}
    put(queue, "s", at=left + 36 * DAYS)
    assert list(former(queue, left + 36 * DAYS)) == ["r"]


def test_only_a_task_of_the_type_counts_and_the_latest_former_queue_first(queue: Queue) -> None:
    put(queue, "p", "q", "r")
    queue.enqueue(("old", NOW, {}), ("other", NOW, {"type": "u"}))
    queue.redis.hset(queue.other("p").keys.task("old"), "type", "t")
    queue.redis.hset(queue.other("r").keys.task("here"), "type", "t")
    queue.redis.set(queue.keys.task("broken"), "x")
    queue.broken.update(("old", "here", "broken"))

    assert place(queue, "old", "other", "here", "no", "broken") == ["q", None, "r", None, None]
    assert place(queue, "old", name="u") == [None]


def test_a_circle_of_notes_ends(queue: Queue) -> None:
    put(queue, "q", "r")
    queue.broken.add("one")
    for here, there in (("q", "x"), ("x", "q")):
        note = {"type": "t", "state": "skipped", "reason": f"moved to {there}"}
        queue.redis.hset(queue.other(here).keys.task("one"), mapping=note)

    assert place(queue, "one") == ["q"]


@pytest.mark.parametrize(
    "line", ["", "q", "q shop - 5 r", "q shop - 5 a:b 7 r x", "q shop - 5x r 7", "q shop - 5 r 9" * 99]
)
def test_what_somebody_wrote_by_hand_is_no_former_queue(queue: Queue, line: str) -> None:
    queue.redis.hset(queue.key("types"), "t", line)
    queue.enqueue(("one", NOW, {}))

    assert former(queue) == {}
    assert place(queue, "one", "a b") == ["q" if line.startswith("q") else None, None]
    put(queue, "s")


def test_one_call_tells_of_100_ids(queue: Queue) -> None:
    put(queue, "q", "r")
    words = [NOW, "", 0, 2, *["t", "one"] * 300]

    assert len(queue.run("types", [queue.key("types")], words)) == 101
    assert queue.run("types", [queue.key("types")], [NOW, "", 0, 2, "t"]) == [0, b""]
