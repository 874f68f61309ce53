"""A malformed call of any verb is refused with a text that begins with RS_, and has written nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import redis

from redsched.testing.clock import at_time
from redsched.wire import scripts
from tests.support.calls import CALLS
from tests.support.lua_queue import NOW, Queue

WORDS: tuple[Any, ...] = (
    "", " ", "abc", "-1", "1.5", "nan", "inf", "1e999", "0x1F", "99999999999999999999", "0", "1000000", "[]", "{",
    "a b", "a/b", "/", "=", "+", "+x", "none", "^", "~", "x" * 300, b"\x00\xff", "normal/", "normal/x-y", "begun/",
)  # fmt: skip
KEYS: tuple[tuple[str, ...], ...] = ((), ("x",), ("",), ("{}:due:q",), ("{a}:due:",), ("{a}:due:a b",), ("{a}:other",))
# verbs whose last argument has several words each time it repeats
IN_SEVERAL_WORDS = (
    "claim", "renew", "repair", "limit", "put_types", "about", "find", "defaults", "operate", "shift",
)  # fmt: skip


def called(queue: Queue, verb: str) -> tuple[list[Any], list[Any]]:
    """The keys and arguments of a call of which nothing is wrong."""
    call = at_time(CALLS[verb](2), NOW)
    keys = [str(key).replace("{rs}", f"{{{queue.namespace}}}") for key in call.keys]
    args = list(call.args)
    if verb == "pause_schedule":
        args[-1] = 0  # until it is resumed
    return keys, args


def malformed(keys: Sequence[Any], args: Sequence[Any]) -> Iterator[tuple[list[Any], list[Any]]]:
    """The call with each argument malformed in turn, cut off before each, with too much, and with other keys."""
    for at in range(len(args)):
        yield list(keys), list(args[:at])
        for word in WORDS:
            yield list(keys), [*args[:at], word, *args[at + 1 :]]
    for word in WORDS:
        yield list(keys), [*args, word]
    for other in KEYS:
        yield list(other), list(args)


def answered(queue: Queue, verb: str, keys: Sequence[Any], args: Sequence[Any]) -> str:
    """The text of the error; empty where the call was taken."""
    try:
        queue.run(verb, keys, args)
    except redis.ResponseError as error:
        code = getattr(error, "status_code", None)
        return f"{code} {error}" if code else str(error)
    return ""


def seed(queue: Queue) -> None:
    """Tasks that the calls are about: one that runs, one that waits, one that is dead."""
    queue.enqueue(("a", 0, {"conditions": '{"hold":{"token":"1.ab"}}'}), ("b", 0, {}), ("c", 0, {"max_attempts": 1}))
    queue.promote()
    queue.claim()


@pytest.mark.parametrize("verb", sorted(set(scripts.verbs()) - {"version"}))
def test_each_malformed_argument_is_answered_with_a_text_of_ours(real_queue: Queue, verb: str) -> None:
    seed(real_queue)
    keys, args = called(real_queue, verb)
    wrong = set()
    for some_keys, some_args in malformed(keys, args):
        before = real_queue.dump()  # a key may expire meanwhile
        error = answered(real_queue, verb, some_keys, some_args)
        if error and not error.startswith("RS_"):
            wrong.add((error.split(" script: ")[0][:150], str(some_args)[:200], str(some_keys)[:80]))
        written = [key for key, held in real_queue.dump().items() if held and before.get(key) != held] if error else []
        if written:
            wrong.add((f"{written} was written", error[:60], str(some_args)[:200]))
    assert not wrong, "\n".join(map(str, sorted(wrong)[:12]))


@pytest.mark.parametrize("verb", sorted(set(scripts.verbs()) - {"version"}))
def test_the_call_of_which_nothing_is_wrong_is_taken(real_queue: Queue, verb: str) -> None:
    seed(real_queue)

    assert answered(real_queue, verb, *called(real_queue, verb)) == ""


def test_a_reservation_without_its_lapse_is_not_begun(real_queue: Queue) -> None:
    answer = real_queue.key("answer:digest")
    for lapse in ([], [""], ["soon"], ["0"], ["-1"], ["999"], ["3600001"]):
        assert answered(real_queue, "reserve", [answer], ["body", *lapse]).startswith("RS_INVALID 1 lapse_ms")
        assert real_queue.redis.exists(answer) == 0


@pytest.mark.parametrize("verb", sorted(set(scripts.verbs()) - {"version"}))
def test_the_shape_of_a_call_is_that_of_its_header(verb: str) -> None:
    header = scripts.header(verb)
    assert [name for name in header.fixed_args if f"'{name}'" not in header.shape] == []
    assert ("each = " in header.shape) == (verb in IN_SEVERAL_WORDS)
