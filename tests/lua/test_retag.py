"""retag: tags that are added to tasks and taken from them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from redsched import InvalidTask
from redsched.wire import protocol
from redsched.wire.call import Call
from tests.support.halted import each_stop
from tests.support.lua_queue import HOUR, NOW, Queue


def retag(queue: Queue, *ids: str, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> dict[str, str]:
    """The words by id."""
    return queue.send(protocol.retag(queue.keys, ids, add=add, remove=remove))


def tags(queue: Queue, task_id: str) -> Any:
    """Those that it has."""
    return json.loads(queue.task(task_id).get("tags", "[]"))


def test_tags_are_added_and_taken_away(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {"tags": '["x","y"]'}), ("b", 0, {}), ("c", 0, {"tags": '["y"]'}))

    assert set(retag(queue, "a", "b", "c", add=("z", 'é/"'), remove=("y",)).values()) == {"retagged"}

    assert [tags(queue, one) for one in "abc"] == [["x", "z", 'é/"'], ["z", 'é/"'], ["z", 'é/"']]
    assert queue.redis.zrange(queue.key("tagged:z"), 0, -1) == ["q/a", "q/b", "q/c"]
    assert queue.redis.exists(queue.key("tagged:y")) == 0


def test_the_last_tag_takes_the_field_with_it(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {"tags": '["x"]'}))

    assert retag(queue, "a", remove=("x",)) == {"a": "retagged"}

    assert "tags" not in queue.task("a")


def test_a_task_that_runs_or_has_ended_is_retagged_too(queue: Queue) -> None:
    queue.running("r")
    queue.enqueue(("d", NOW + HOUR, {}))
    queue.send(protocol.cancel(queue.keys, ["d"]))

    assert retag(queue, "r", "d", "nobody", add=("x",)) == {"r": "retagged", "d": "retagged", "nobody": "missing"}


def test_a_tag_that_is_added_and_taken_away_is_refused(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {"tags": '["x"]'}))
    before = queue.dump()

    assert queue.refused("retag", NOW, '["y","x"]', '["x"]', "a").startswith("RS_INVALID 1 add ")
    with pytest.raises(InvalidTask, match="add: has a tag that remove has too"):
        retag(queue, "a", add=("x",), remove=("y", "x"))

    assert queue.dump() == before


def test_what_changes_nothing_or_is_too_much_writes_nothing(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {"tags": '["x"]'}), ("b", NOW + HOUR, {"tags": json.dumps([*map(str, range(16))])}))
    before = queue.dump()

    assert retag(queue, "a", "b", add=("x",)) == {"a": "unchanged", "b": "full"}

    assert queue.dump() == before


def test_a_task_has_up_to_16_tags(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {}), ("b", NOW + HOUR, {}))
    names = tuple(f"t{number}" for number in range(16))

    assert retag(queue, "a", add=names) == {"a": "retagged"}
    assert retag(queue, "a", remove=names) == {"a": "retagged"}
    assert retag(queue, "b", add=names[:8]) == retag(queue, "b", add=names[8:]) == {"b": "retagged"}
    assert tags(queue, "b") == list(names)


def test_the_tags_of_a_task_have_up_to_4096_bytes(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {}), ("b", NOW + HOUR, {"tags": '["y"]'}))
    text = json.dumps([f"{number}" + "x" * 499 for number in range(8)] + ["z" * 68], separators=(",", ":"))
    assert len(text) == 4_096

    assert queue.run("retag", [queue.keys.due], [NOW, text, "[]", "a", "b"]) == [b"retagged", b"full"]

    assert queue.task("a")["tags"] == text and tags(queue, "b") == ["y"]


def test_it_is_told_that_a_task_was_changed(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {"tags": '["x"]'}), ("b", NOW + HOUR, {"tags": '["z"]'}))

    retag(queue, "a", "b", add=("z",))

    assert queue.events()[-1] == "updated a" and "updated b" not in queue.events()


def test_the_first_tag_of_a_namespace_goes_with_its_task(queue: Queue) -> None:
    queue.enqueue(("a", NOW + HOUR, {"retention_ms": "1"}))
    retag(queue, "a", add=("x",))
    queue.send(protocol.cancel(queue.keys, ["a"]))

    queue.send(protocol.sweep([queue.keys]), now=NOW + 5)

    assert not queue.redis.exists(queue.keys.task("a")) and not queue.redis.exists(queue.key("tagged:x"))


@pytest.mark.parametrize("words", [("x", "[]"), ("[]", '{"a":"b"}'), ("[1]", "[]"), (json.dumps(["x"] * 17), "[]")])
def test_tags_are_json_arrays_of_texts(queue: Queue, words: tuple[str, str]) -> None:
    queue.enqueue(("a", NOW + HOUR, {}))

    assert queue.refused("retag", NOW, *words, "a").startswith("RS_INVALID 1 tags must be")


def test_wherever_it_stops_the_same_again_goes_on(queue: Queue) -> None:
    def scene(queue: Queue) -> Call[Any]:
        queue.enqueue(("a", NOW + HOUR, {"tags": '["x","y"]'}))
        return protocol.retag(queue.keys, ["a"], add=["z"], remove=["x"])

    for here, call in each_stop(queue, scene):
        here.send(call)
        assert tags(here, "a") == ["y", "z"]
        assert here.redis.zrange(here.key("tagged:z"), 0, -1) == ["q/a"]
