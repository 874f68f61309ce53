"""find: the tasks of all queues that a filter chooses, in bounded pages."""

from __future__ import annotations

from typing import Any

import pytest

from redsched.model.search import Search, Within, search_of
from redsched.wire import protocol
from redsched.wire.keys import CellKeys
from redsched.wire.search import Cut, find
from tests.support.lua_queue import DAY, HOUR, NOW, Queue
from tests.support.timetable import plain


def look(queue: Queue, where: str | Search, **options: Any) -> Cut:
    """One call."""
    return queue.send(find(CellKeys(queue.cell), search_of(where), **options))


def found(queue: Queue, where: str | Search, source: str = "", **options: Any) -> list[str]:
    """All pages, as ``<queue>/<id>``."""
    names: list[str] = []
    cursor = ""
    while True:
        cut = look(queue, where, source=source, cursor=cursor, **options)
        names += (f"{item.queue}/{item.id}" for item in cut.found.items)
        source, cursor = cut.source, cut.cursor
        if not cursor:
            return names


@pytest.fixture
def shop(queue: Queue) -> Queue:
    """Tasks of two queues."""
    queue.enqueue(
        ("order-1:remind", NOW + HOUR, {"tags": '["m:1","vip"]', "key": "k1", "type": "remind"}),
        ("order-1:mail", 0, {"tags": '["m:1"]', "type": "mail"}),
        ("order-1:bill", NOW + 2 * HOUR, {"tags": '["m:2"]', "type": "bill"}, 2),
        ("order-2:remind", NOW + 3 * HOUR, {"tags": '["m:1"]', "type": "remind"}, 2),
        ("plain", 0, {}),
    )
    return queue


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("order-1", ["q/order-1:mail", "q/order-1:remind", "r/order-1:bill"]),
        ("order-9", []),
        ("tag:m:1", ["q/order-1:mail", "q/order-1:remind", "r/order-2:remind"]),
        ("tag:m:1 tag:vip", ["q/order-1:remind"]),
        ("tag:m:1 tag:m:2", []),
        ("order-1 tag:m:2", ["r/order-1:bill"]),
        ("tag:m:1 order-2", ["r/order-2:remind"]),
        ("key:k1", ["q/order-1:remind"]),
        ("tag:m:1 key:k1 type:mail", []),
        ("tag:m:1 type:remind", ["q/order-1:remind", "r/order-2:remind"]),
        ("tag:m:1 queue:r", ["r/order-2:remind"]),
        ("order-1 queue:q", ["q/order-1:mail", "q/order-1:remind"]),
        ("order-1 state:ready", ["q/order-1:mail"]),
        ("order-1 state:waiting", ["q/order-1:mail", "q/order-1:remind", "r/order-1:bill"]),
        ("order-1 state:dead,finished", []),
        ("order-1 due:<1h", ["q/order-1:mail", "q/order-1:remind"]),
        ("order-1 due:>1h", ["q/order-1:remind", "r/order-1:bill"]),
        ("order-1 due:61m..", ["r/order-1:bill"]),
        ("order-1 due:<2027-01-15T09:00:00Z", ["q/order-1:mail", "q/order-1:remind"]),
        ("order-1 created:<1m", ["q/order-1:mail", "q/order-1:remind", "r/order-1:bill"]),
        ("order-1 created:>1m", []),
        ("order-1:mail", ["q/order-1:mail"]),
        ("id:plain", ["q/plain"]),
        ("id:plain queue:r", []),
        ("id:nobody", []),
    ],
)
def test_a_filter_chooses(shop: Queue, where: str, expected: list[str]) -> None:
    asked = search_of(where)

    for limit in (500, 1, 2):
        assert found(shop, asked, f"id:{asked.id}" if asked.id else "", limit=limit) == expected


@pytest.mark.parametrize("tags", ['["a","caf\\u00e9"]', '["a","café"]', '["a","say \\"x\\"","café"]'])
def test_a_tag_is_found_however_its_text_is_written(queue: Queue, tags: str) -> None:
    queue.enqueue(("a", NOW + HOUR, {"tags": tags}), ("b", NOW + HOUR, {"tags": '["a","cafe"]'}))

    assert found(queue, Search(tags=("a", "café"))) == ["q/a"]


def test_each_task_is_told_with_what_a_listing_shows(shop: Queue) -> None:
    (item,) = look(shop, "key:k1").found.items

    assert (item.queue, item.id, item.state, item.type, item.key, item.tags) == (
        "q",
        "order-1:remind",
        "scheduled",
        "remind",
        "k1",
        ["m:1", "vip"],
    )
    assert item.due_at and item.due_at.timestamp() * 1_000 == NOW + HOUR
    assert item.created_at and item.created_at.timestamp() * 1_000 == NOW


def test_the_smallest_key_is_gone_through(queue: Queue) -> None:
    queue.enqueue(*((f"a{at}", NOW + HOUR, {"tags": '["many"]'}) for at in range(20)))
    queue.enqueue(("few:1", NOW + HOUR, {"tags": '["many"]'}))

    cut = look(queue, "tag:many few")

    assert (cut.source, cut.found.looked, [item.id for item in cut.found.items]) == ("about:few", 1, ["few:1"])


def test_a_page_tells_no_more_than_is_asked_for(queue: Queue) -> None:
    queue.enqueue(*((f"a{at:02}", NOW + HOUR, {"tags": '["x"]'}) for at in range(20)))

    first = look(queue, "tag:x", most=3)
    second = look(queue, "tag:x", most=3, source=first.source, cursor=first.cursor)

    assert [item.id for item in (*first.found.items, *second.found.items)] == [f"a{at:02}" for at in range(6)]


def test_a_page_looks_at_no_more_than_its_limit(queue: Queue) -> None:
    queue.enqueue(*((f"a{at}", NOW + HOUR, {"tags": '["x"]'}) for at in range(5)))

    cut = look(queue, "tag:x", limit=2)

    assert (cut.found.looked, [item.id for item in cut.found.items]) == (2, ["a0", "a1"])


def test_no_page_looks_at_more_than_500(queue: Queue) -> None:
    queue.redis.zadd(queue.key("tagged:x"), {f"q/a{at:03}": 0 for at in range(502)})

    _, _, cursor, looked = plain(queue.run("find", [queue.key("queues")], [NOW, "", 600, 500, "tagged:x"]))

    assert (cursor, looked) == ("q/a499", 500)


def test_an_id_that_was_removed_is_told_for_a_day(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {"retention_ms": "1"}))
    queue.send(protocol.cancel(queue.keys, ["a"]))
    queue.send(protocol.sweep([queue.keys]), now=NOW + 5)

    def told(now: int) -> Any:
        return plain(queue.run("find", [queue.key("queues")], [now, "", 10, 10, "id:a", "id", "a"]))[4:]

    assert told(NOW + 4 + DAY) == [["q", "a", str(NOW + 5), "forgotten"]]
    assert told(NOW + 5 + DAY) == []


@pytest.mark.parametrize("place", ["due", "held", "ready", "running", "finished", "dead"])
def test_a_place_of_a_queue_is_gone_through(queue: Queue, place: str) -> None:
    queue.enqueue(
        ("s1", NOW + HOUR, {}), ("s2", NOW + 2 * HOUR, {}), ("h", 0, {"conditions": '{"hold":{"token":"t"}}'})
    )
    for outcome in ("complete", "dead", ""):
        queue.enqueue((outcome or "running", 0, {}))
        (started,) = queue.claim().tasks
        if outcome:
            queue.settle(started, outcome)
    queue.enqueue(("r1", 0, {"priority": "high"}), ("r2", 0, {}))
    expected = {
        "due": ["s1", "s2"],
        "held": ["h"],
        "ready": ["r1", "r2"],
        "running": ["running"],
        "finished": ["complete"],
        "dead": ["dead"],
    }

    for limit in (500, 1):
        assert found(queue, Search(), f"{place}:q", limit=limit) == [f"q/{name}" for name in expected[place]]


def test_only_what_is_due_within_a_time_is_looked_at(queue: Queue) -> None:
    queue.enqueue(*((f"a{at}", NOW + at * HOUR, {}) for at in range(1, 9)))
    where = Search(due=Within(since=f"+{2 * HOUR}", until=f"+{3 * HOUR}"))

    cut = look(queue, where, source="due:q")

    assert [item.id for item in cut.found.items] == ["a2", "a3"]
    assert (cut.found.looked, cut.cursor) == (2, "")


def test_names_without_such_a_task_are_passed_over(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {"tags": '["x"]'}))
    queue.redis.zadd(queue.key("tagged:x"), dict.fromkeys(("q/gone", "nobody", "q/two words", "r/a", "q/text"), 0))
    queue.redis.set(queue.keys.task("text"), "mine")
    queue.broken |= {"nobody", "gone", "text"}

    call = find(CellKeys(queue.cell), search_of("tag:x"))
    reply = queue.run("find", call.keys, [NOW, *call.args[1:]])

    assert [words[:2] for words in reply[4:]] == [[b"q", b"a"]]


def test_a_key_of_a_wrong_type_names_nobody(queue: Queue) -> None:
    queue.redis.set(queue.key("tagged:x"), "mine")
    call = find(CellKeys(queue.cell), search_of("tag:x"))

    assert queue.run("find", call.keys, [NOW, *call.args[1:]])[2:] == [b"", 0]


@pytest.mark.parametrize(
    "words",
    [("nonsense", "x"), ("due_from", "soon"), ("due_from", "+"), ("due_from", "9" * 16), ("tag",), ("due_x", "1")],
)
def test_a_filter_that_is_none_is_refused(queue: Queue, words: tuple[str, ...]) -> None:
    with pytest.raises(Exception, match="RS_INVALID 1 filter"):
        queue.run("find", [queue.key("queues")], [NOW, "", 1, 1, "", *words])


@pytest.mark.parametrize("source", ["due:two words", "nothing:x", "task:q", "due:"])
def test_a_source_that_is_none_is_refused(queue: Queue, source: str) -> None:
    with pytest.raises(Exception, match="RS_INVALID 1 source"):
        queue.run("find", [queue.key("queues")], [NOW, "", 1, 1, source])


@pytest.mark.parametrize("time", ["9" * 15, "+" + "9" * 15, "-0"])
def test_a_time_of_a_filter_has_up_to_15_digits(queue: Queue, time: str) -> None:
    assert queue.run("find", [queue.key("queues")], [NOW, "", 1, 1, "", "due_to", time]) == [NOW, b"", b"", 0]
