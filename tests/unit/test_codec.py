"""Between Python values and the words of the wire.

What cannot be written is refused by its name; what cannot be read is left out.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from redsched import Explicit, Exponential, Fixed, InvalidTask, Task
from redsched.wire import codec, protocol
from redsched.wire.cells import Cell
from redsched.wire.codec import check_id, check_name, json_bytes, pairs, text_of
from redsched.wire.field_words import due_word
from redsched.wire.keys import queue_keys
from redsched.wire.task_view import task_view
from redsched.wire.task_words import option_words

AT = datetime(2027, 1, 31, 9, tzinfo=UTC)
AT_MS = 1_801_386_000_000


def words(**fields: Any) -> dict[str, Any]:
    flat = option_words(Task(type="x", **fields), None)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def refused(**fields: Any) -> InvalidTask:
    with pytest.raises(InvalidTask, match="nothing was written") as caught:
        option_words(Task(type="x", **fields), None)
    return caught.value


def test_a_field_that_has_its_default_is_not_written() -> None:
    assert words(priority="normal", tags=[], headers={}, keep=False) == {}


def test_every_option_has_its_word() -> None:
    assert words(
        priority="high",
        max_attempts=3,
        retry=Fixed("5s"),
        timeout="30s",
        expires_at=AT,
        key="user-1",
        tags=["a", "b"],
        headers={"tenant": "acme"},
        traceparent="00-x",
        retention=timedelta(days=1),
        keep=True,
        request="r1",
    ) == {
        "priority": "high",
        "max_attempts": 3,
        "retry": "fixed 5000",
        "timeout_ms": 30_000,
        "expires_at": AT_MS,
        "key": "user-1",
        "tags": b'["a","b"]',
        "headers": b'{"tenant":"acme"}',
        "traceparent": "00-x",
        "retention_ms": 86_400_000,
        "keep": 1,
        "request": "r1",
    }


@pytest.mark.parametrize(
    ("policy", "line"),
    [
        (Exponential(base="1s", factor=1.5, max="1m", jitter=0), "exponential 1000 1.5 60000 0"),
        (Explicit(["1ms", "2s", timedelta(minutes=1)]), "list 1 2000 60000"),
        (["10ms", "20ms"], "list 10 20"),
        (timedelta(seconds=3), "fixed 3000"),
        ("5s", "fixed 5000"),
    ],
)
def test_a_policy_is_one_line(policy: Any, line: str) -> None:
    assert words(retry=policy) == {"retry": line}


@pytest.mark.parametrize(
    ("due", "delay", "word"),
    [
        (None, None, 0),
        (AT, None, AT_MS),
        (AT_MS, None, AT_MS),
        ("2027-01-31T10:00:00+01:00", None, AT_MS),
        (0, None, 0),
        (None, "90s", "+90000"),
        (None, "5ms", "+5"),
        (None, timedelta(hours=1), "+3600000"),
    ],
)
def test_a_due_time_is_a_number_and_a_delay_is_left_to_the_servers_clock(due: Any, delay: Any, word: Any) -> None:
    assert due_word(due, delay) == word
    assert words(expires_in="2m") == {"expires_at": "+120000"}


@pytest.mark.parametrize(
    ("due", "delay"),
    [
        (datetime(2027, 1, 31, 9), None),  # naive
        ("2027-01-31T09:00:00", None),
        ("tomorrow", None),
        (1_800_000_000, None),
        (AT_MS * 1_000, None),
        (None, -1),
        (None, "soon"),
        (None, timedelta(days=366)),
        (None, True),
        (AT, "1s"),
        (1.5, None),
    ],
)
def test_a_time_that_can_be_misread_is_refused(due: Any, delay: Any) -> None:
    with pytest.raises(InvalidTask) as caught:
        due_word(due, delay)
    assert caught.value.field in ("due", "delay")


@pytest.mark.parametrize(
    "fields",
    [
        {"priority": "urgent"},
        {"max_attempts": 0},
        {"max_attempts": 1_001},
        {"max_attempts": True},
        {"max_attempts": 1.5},
        {"retry": "fast"},
        {"retry": []},
        {"retry": Exponential(jitter=2)},
        {"timeout": 0},
        {"timeout": True},
        {"timeout": 86_400_001},
        {"timeout": "2d"},
        {"expires_at": 5},
        {"expires_at": 0},
        {"expires_in": "x"},
        {"key": "a b"},
        {"key": ""},
        {"key": "x" * 129},
        {"tags": "one"},
        {"tags": ["x"] * 17},
        {"tags": [1]},
        {"tags": [""]},
        {"headers": [1]},
        {"headers": {"a": 1}},
        {"headers": {"a": "x" * 70_000}},
        {"retention": "2y"},
        {"retention": timedelta(days=366)},
        {"request": "ä"},
        {"traceparent": "a\nb"},
    ],
)
def test_a_value_out_of_range_is_refused_by_its_name(fields: dict[str, Any]) -> None:
    assert refused(**fields).field == next(iter(fields))


def test_a_start_by_is_given_once() -> None:
    assert refused(expires_at=AT, expires_in="1s").field == "expires_in"


@pytest.mark.parametrize("name", ["a", "A9", "a.b_c@d+e-f", "9", "x" * 100])
def test_a_name_is_of_the_grammar(name: str) -> None:
    assert check_name("queue", name) == check_id(name) == name


@pytest.mark.parametrize("name", ["", ".a", "-a", "a b", "a/b", "a{b}", "ä", "a\n", "x" * 101, 5, None])
def test_a_name_outside_the_grammar_is_refused(name: Any) -> None:
    with pytest.raises(InvalidTask) as caught:
        check_name("queue", name)
    assert caught.value.field == "queue"


def test_an_id_may_hold_colons_and_be_longer_than_a_name() -> None:
    assert check_id("order-42:remind:2") == "order-42:remind:2"
    assert check_id("x" * 128)
    for bad in ("x" * 129, ":a", "a b", ""):
        with pytest.raises(InvalidTask):
            check_id(bad)
    with pytest.raises(InvalidTask):
        check_name("type", "a:b")


def test_a_payload_that_json_cannot_hold_or_that_is_too_long_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)

    assert json_bytes("payload", {"a": [1, None, "ä"]}, 100) == '{"a":[1,null,"ä"]}'.encode()
    for value in (object(), {1, object()}, endless):
        with pytest.raises(InvalidTask, match="payload: cannot be written as JSON"):
            json_bytes("payload", value, 100)
    with pytest.raises(InvalidTask) as caught:
        json_bytes("payload", "x" * 99, 100)
    assert caught.value.code == "payload_too_large"


def test_a_fault_in_a_batch_names_the_place_and_an_endless_batch_is_refused() -> None:
    good = Task(type="x")

    with pytest.raises(InvalidTask, match=r"tasks\[1\]\.priority: a text of 6") as caught:
        protocol.enqueue(Cell("rs"), [good, Task(type="x", priority="urgent")], max_payload=100)  # type: ignore[arg-type]
    assert caught.value.index == 1
    for batch in ([], [good] * 1_001):
        with pytest.raises(InvalidTask) as caught:
            protocol.enqueue(Cell("rs"), batch, max_payload=100)
        assert caught.value.code == "batch_too_large"


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(InvalidTask) as caught:
        check_id("x" * 10_000)
    assert len(str(caught.value)) < 300


def test_a_hash_becomes_a_view() -> None:
    found = {
        "type": b"x",
        "state": b"running",
        "payload": b'{"a":1}',
        "attempt": b"2",
        "max_attempts": b"5",
        "due_at": str(AT_MS).encode(),
        "tags": b'["a"]',
        "headers": b'{"h":"v"}',
        "keep": b"1",
        "priority": b"high",
        "cancel_requested": b"why",
    }
    outcome = {
        "error": b"it failed",
        "progress": b"[1]",
        "attempt:1": f"{AT_MS} retry w1 it failed".encode(),
        "attempt:10": b"1801386000000 lease - ",
        "attempt:x": b"odd",
        "attempt:2": b"no history at all",
    }

    view = task_view("t", "q", found, outcome, lease=str(AT_MS).encode())

    assert (view.id, view.queue, view.state, view.type, view.payload) == ("t", "q", "running", "x", {"a": 1})
    assert (view.due_at, view.lease_until, view.keep, view.cancel_requested) == (AT, AT, True, True)
    assert (view.tags, view.headers, view.progress, view.error) == (["a"], {"h": "v"}, [1], "it failed")
    assert [(a.attempt, a.outcome, a.worker, a.error) for a in view.history or ()] == [
        (1, "retry", "w1", "it failed"),
        (10, "lease", "", ""),
    ]


def test_a_hash_that_anybody_may_have_written_never_raises() -> None:
    garbage = (b"\xff\xfe", b"", b"{", b"1e400", b"nan", b"-1", b"9" * 400, b"[" * 100_000, b'{"a":{}}', b"\x00")
    fields = [
        "type",
        "state",
        "payload",
        "attempt",
        "max_attempts",
        "due_at",
        "created_at",
        "expires_at",
        "tags",
        "headers",
        "keep",
        "retention_ms",
        "timeout_ms",
        "request",
        "traceparent",
        "priority",
        "content_type",
        "reason",
    ]
    for value in garbage:
        found = dict.fromkeys(fields, value)
        outcome = {"error": value, "result": value, "progress": value, "attempt:1": value, "traceback": value}
        view = task_view("t", "q", found, outcome, due=value, lease=value)
        assert view.id == "t"


def test_before_it_is_promoted_the_score_is_the_due_time() -> None:
    assert task_view("t", "q", {"type": b"x"}, {}, due=str(AT_MS).encode()).due_at == AT
    assert task_view("t", "q", {"type": b"x"}, {}).state == "scheduled"


def test_words_of_a_reply_are_shown_even_where_they_are_no_text() -> None:
    assert text_of(b"\xff") == "\\xff"
    assert pairs([b"a", b"1", "b", b"2"]) == {"a": b"1", "b": b"2"}
    assert codec.is_name("a") and not codec.is_name("a:b")


@pytest.mark.parametrize("given", [202612010900, "202612010900"])
@pytest.mark.parametrize("field", ["due", "expires_at"])
def test_a_date_without_its_signs_is_no_time_of_a_task(field: str, given: int | str) -> None:
    with pytest.raises(InvalidTask, match=rf"{field}: as ms since the epoch this is the year 1976"):
        protocol.enqueue(Cell("rs"), [Task(type="t", **{field: given})], max_payload=100)


def test_a_due_time_within_a_millisecond_is_rounded_up_and_an_end_is_rounded_down() -> None:
    moment = datetime(2027, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    for given in (moment, "2027-01-01T00:00:00.000001Z"):
        words = protocol.enqueue(Cell("rs"), [Task(type="t", due=given)], max_payload=100).args
        assert words[3] == 1_798_761_600_001
        words = protocol.enqueue(Cell("rs"), [Task(type="t", expires_at=given)], max_payload=100).args
        assert words[words.index("expires_at") + 1] == 1_798_761_600_000
    assert protocol.reschedule(queue_keys(Cell("rs"), "q"), ["a"], due=moment).args[1] == 1_798_761_600_001
    assert protocol.reschedule(queue_keys(Cell("rs"), "q"), ["a"], delay=timedelta(microseconds=1)).args[1] == "+1"
