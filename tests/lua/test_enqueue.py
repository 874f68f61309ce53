"""enqueue: what becomes of tasks that are new, repeated, in conflict, due already, or not usable."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.acts import LATER, words
from tests.support.lua_queue import DAY, HOUR, NOW, Queue, raised

HASH = {"type": "t", "payload": "{}", "created_at": str(NOW)}


def test_a_task_that_is_due_later_waits_in_due_without_a_state(queue: Queue) -> None:
    assert queue.enqueue(("a", LATER, {})) == ["created"]

    assert queue.places() == {"due": {"a": LATER}}
    assert queue.task("a") == HASH
    assert queue.redis.smembers(queue.key("queues")) == {"q"}
    assert queue.totals() == {"enqueued": 1}
    assert queue.events() == []


def test_a_task_that_is_due_now_is_ready_at_once(queue: Queue) -> None:
    assert queue.enqueue(("a", 0, {}), ("b", NOW, {}), ("c", "+0", {})) == ["created"] * 3

    assert queue.places() == {"ready": {"normal": ["a", "b", "c"]}}
    for number, task_id in enumerate("abc", 1):
        assert queue.task(task_id) == HASH | {"state": "ready", "entry": f"normal/{number}", "due_at": str(NOW)}


def test_each_priority_has_its_stream(queue: Queue) -> None:
    queue.enqueue(("a", 0, {"priority": "low"}), ("b", 0, {"priority": "high"}), ("c", 0, {"priority": "normal"}))

    assert queue.places() == {"ready": {"high": ["b"], "normal": ["c"], "low": ["a"]}}
    assert queue.task("b")["entry"] == "high/1"


def test_a_relative_due_time_counts_from_the_servers_clock(queue: Queue) -> None:
    queue.enqueue(("a", "+90000", {"expires_at": "+120000"}), now=NOW + 7)

    assert queue.places() == {"due": {"a": NOW + 90_007}}
    assert queue.task("a")["expires_at"] == str(NOW + 120_007)


def test_without_a_virtual_clock_the_server_decides_what_time_it_is(queue: Queue) -> None:
    queue.redis.hdel(queue.key("meta"), "virtual_clock")
    seconds, _ = queue.redis.time()

    assert queue.refused("enqueue", NOW, *words()).startswith(raised(queue, "RS_CLOCK"))
    assert queue.enqueue(("a", "+60000", {}), now=0) == ["created"]

    assert 0 <= queue.places()["due"]["a"] - (seconds * 1_000 + 60_000) < 5_000


def test_every_field_of_a_producer_is_stored_as_given(queue: Queue) -> None:
    fields = {
        "type": "mail.send",
        "payload": '{"to":"\u00e9"}',
        "content_type": "application/json",
        "priority": "high",
        "retry": "list 1 2 3",
        "key": "customer 7",
        "tags": '["x"]',
        "headers": '{"h":"1"}',
        "traceparent": "00-ab-cd-01",
        "request": "r1",
        "keep": "1",
        "expires_at": str(NOW + DAY),
        "max_attempts": "1000",
        "timeout_ms": "86400000",
        "retention_ms": "31536000000",
    }
    assert queue.enqueue(("a", LATER, fields)) == ["created"]

    assert queue.task("a") == fields | {"created_at": str(NOW)}


def test_the_same_id_again_is_existing_for_the_same_task_and_a_conflict_for_another(queue: Queue) -> None:
    queue.enqueue(("a", LATER, {}))
    before = queue.dump()

    assert queue.enqueue(("a", 0, {}), ("a", LATER, {"payload": "[]"}), ("a", LATER, {"type": "u"})) == [
        "existing",
        "conflict",
        "conflict",
    ]

    assert queue.dump() == before


def test_a_repeat_with_the_same_request_is_answered_as_the_first_call_was(queue: Queue) -> None:
    task = ("a", LATER, {"request": "r1"})
    assert queue.enqueue(task) == ["created"]
    before = queue.dump()

    assert queue.enqueue(task) == ["created"]
    assert queue.enqueue(("a", LATER, {"request": "r2"})) == ["existing"]

    assert queue.dump() == before


def test_the_request_of_a_finished_task_is_remembered_until_its_retention_ends(queue: Queue) -> None:
    queue.enqueue(("a", 0, {"request": "r1"}))
    queue.settle(queue.claim().tasks[0], "complete")
    before = queue.dump()

    assert queue.enqueue(("a", 0, {"request": "r1"}), ("a", 0, {}), ("a", 0, {"type": "u"})) == [
        "created",
        "existing",
        "conflict",
    ]

    assert queue.dump() == before


def test_the_same_id_twice_in_one_call_is_one_task(queue: Queue) -> None:
    assert queue.enqueue(("a", LATER, {}), ("a", 0, {}), ("a", 0, {"payload": "1"})) == [
        "created",
        "existing",
        "conflict",
    ]

    assert queue.places() == {"due": {"a": LATER}}
    assert queue.totals() == {"enqueued": 1}


def test_one_call_fills_several_queues(queue: Queue) -> None:
    assert queue.enqueue(("a", LATER, {}), ("a", 0, {}, 2), ("b", 0, {}, 2)) == ["created"] * 3

    assert queue.places() == {"due": {"a": LATER}}
    assert queue.other("r").places() == {"ready": {"normal": ["a", "b"]}}
    assert queue.redis.smembers(queue.key("queues")) == {"q", "r"}
    assert (queue.totals(), queue.other("r").totals()) == ({"enqueued": 1}, {"enqueued": 2})


def test_a_task_that_is_past_its_start_by_is_expired_at_once(queue: Queue) -> None:
    assert queue.enqueue(("a", 0, {"expires_at": NOW})) == ["created"]

    assert queue.places() == {"finished": {"a": NOW + HOUR}}
    assert queue.task("a") == HASH | {
        "expires_at": str(NOW),
        "state": "expired",
        "due_at": str(NOW),
        "finished_at": str(NOW),
    }
    assert queue.events() == ["expired a"]
    assert queue.totals() == {"enqueued": 1, "expired": 1}


def test_an_expired_task_without_retention_leaves_nothing(queue: Queue) -> None:
    assert queue.enqueue(("a", 0, {"expires_at": NOW, "retention_ms": 0})) == ["created"]

    assert queue.places() == {}
    assert queue.task("a") == {}


def test_a_raw_hash_that_no_index_knows_is_no_task(queue: Queue) -> None:
    queue.write("a", type="t", payload="{}")

    assert queue.enqueue(("a", LATER, {})) == ["created"]

    assert queue.places() == {"due": {"a": LATER}}


def test_a_raw_task_that_waits_is_existing_or_in_conflict(queue: Queue) -> None:
    queue.seed("a", due=LATER)

    assert queue.enqueue(("a", 0, {}), ("a", 0, {"type": "u"})) == ["existing", "conflict"]

    assert queue.places() == {"due": {"a": LATER}}


def test_an_id_whose_key_is_no_hash_is_a_conflict_and_the_key_is_left_alone(queue: Queue) -> None:
    queue.broken.add("a")
    queue.redis.set(queue.keys.task("a"), "mine")

    assert queue.enqueue(("a", LATER, {}), ("b", LATER, {})) == ["conflict", "created"]

    assert queue.redis.get(queue.keys.task("a")) == "mine"
    assert queue.places() == {"due": {"b": LATER}}


def test_the_groups_of_ready_streams_that_were_deleted_by_hand_are_made_again(queue: Queue) -> None:
    queue.enqueue(("a", 0, {}))
    queue.settle(queue.claim().tasks[0], "complete")
    queue.redis.delete(queue.keys.ready)

    queue.enqueue(("b", 0, {}))

    assert [task.id for task in queue.claim().tasks] == ["b"]


@pytest.mark.parametrize("fields", [{}, {"priority": "low"}], ids=["plain", "not plain"])
def test_a_thousand_tasks_fit_one_call_and_one_more_does_not(real_queue: Queue, fields: dict[str, Any]) -> None:
    tasks = [(f"t{n}", LATER, fields) for n in range(1_001)]

    assert real_queue.refused("enqueue", NOW, *(word for task in tasks for word in words(task[0], **fields))) == (
        "RS_INVALID 1001 tasks more than 1000 in one call"
    )
    assert real_queue.enqueue(*tasks[:1_000]) == ["created"] * 1_000

    assert len(real_queue.places()["due"]) == 1_000


def test_no_task_at_all_is_an_empty_answer(queue: Queue) -> None:
    assert queue.enqueue() == []
    assert queue.places() == {}


TEXT_OF_256 = "x" * 256
REFUSED: list[tuple[str, list[Any], str]] = [
    ("no such queue", words(number=3), "queue is no number of a key"),
    ("queue is text", words(number="q"), "queue is no number of a key"),
    ("id empty", words(""), "id must be"),
    ("id with a space", words("a b"), "id must be"),
    ("id with a brace", words("a}"), "id must be"),
    ("id with a newline", words("a\n"), "id must be"),
    ("id not ASCII", words("\u00e9"), "id must be"),
    ("id begins with a colon", words(":a"), "id must be"),
    ("id too long", words("i" * 129), "id must be"),
    ("due in seconds", words(due=NOW // 1_000), "due must be"),
    ("due in microseconds", words(due=NOW * 1_000), "due must be"),
    ("due negative", words(due=-1), "due must be"),
    ("due a fraction", words(due="1800000000000.5"), "due must be"),
    ("due empty", words(due=""), "due must be"),
    ("due infinite", words(due="inf"), "due must be"),
    ("due relative and negative", words(due="+-1"), "due must be"),
    ("due relative and huge", words(due="+" + "9" * 13), "due must be"),
    ("no type", words(type=None, key="k"), "type is required"),
    ("no payload", words(payload=None, key="k"), "payload is required"),
    ("type empty", words(type=""), "type must be"),
    ("type with a colon", words(type="a:b"), "type must be"),
    ("type too long", words(type="t" * 101), "type is too long"),
    ("priority unknown", words(priority="urgent"), "priority must be high, normal or low"),
    ("priority in capitals", words(priority="High"), "priority must be high, normal or low"),
    ("no attempts", words(max_attempts=0), "max_attempts is no number in its range"),
    ("too many attempts", words(max_attempts=1_001), "max_attempts is no number in its range"),
    ("attempts in words", words(max_attempts="many"), "max_attempts is no number in its range"),
    ("attempts negative", words(max_attempts=-1), "max_attempts is no number in its range"),
    ("timeout 0", words(timeout_ms=0), "timeout_ms is no number in its range"),
    ("timeout over a day", words(timeout_ms=DAY + 1), "timeout_ms is no number in its range"),
    ("retention over a year", words(retention_ms=31_536_000_001), "retention_ms is no number in its range"),
    ("retention in hex", words(retention_ms="0x10"), "retention_ms is no number in its range"),
    ("expiry 0", words(expires_at=0), "expires_at must be ms since the epoch or +ms"),
    ("expiry in seconds", words(expires_at=NOW // 1_000), "expires_at must be ms since the epoch or +ms"),
    ("retry unknown", words(retry="sometimes 5"), "retry is no policy"),
    ("retry without a number", words(retry="fixed"), "retry is no policy"),
    ("retry negative", words(retry="fixed -5"), "retry is no policy"),
    ("retry factor too big", words(retry="exponential 1 11 10 0"), "retry is no policy"),
    ("retry factor not a number", words(retry="exponential 1 nan 10 0"), "retry is no policy"),
    ("retry jitter over 1", words(retry="exponential 1 2 10 1.1"), "retry is no policy"),
    ("retry jitter not a number", words(retry="exponential 1 2 10 nan"), "retry is no policy"),
    ("retry list empty", words(retry="list"), "retry is no policy"),
    ("retry too long", words(retry="list" + " 10" * 600), "retry is too long"),
    ("key too long", words(key="k" * 129), "key is too long"),
    ("tags too long", words(tags=TEXT_OF_256 * 17), "tags is too long"),
    ("headers too long", words(headers=TEXT_OF_256 * 257), "headers is too long"),
    ("traceparent too long", words(traceparent="t" * 129), "traceparent is too long"),
    ("request too long", words(request="r" * 129), "request is too long"),
    ("keep in words", words(keep="yes"), "keep must be 1, or 0"),
    ("keep of two digits", words(keep="11"), "keep must be 1, or 0"),
    ("tags no JSON", words(tags="urgent"), "tags must be a JSON array of texts"),
    ("tags an object", words(tags='{"a":"b"}'), "tags must be a JSON array of texts"),
    ("tags of numbers", words(tags='["a",1]'), "tags must be a JSON array of texts"),
    ("headers no JSON", words(headers="a=b"), "headers must be a JSON object of texts"),
    ("headers an array", words(headers='["a"]'), "headers must be a JSON object of texts"),
    ("headers of objects", words(headers='{"a":{}}'), "headers must be a JSON object of texts"),
    ("field unknown", words(color="red"), "fields hold one that is unknown"),
    ("a field of the scripts", words(state="ready"), "fields hold one that is unknown"),
    ("another field of the scripts", words(attempt="1"), "fields hold one that is unknown"),
    ("more fields than said", [1, "a", 0, 1, "type", "t", "payload", "{}"], "fields are not as many as said"),
    ("fewer fields than said", [1, "a", 0, 3, "type", "t", "payload", "{}"], "fields are not as many as said"),
    ("number of fields in words", [1, "a", 0, "two", "type", "t", "payload", "{}"], "fields are not as many as said"),
    ("too many fields", [1, "a", 0, 33, *["key", "k"] * 33], "fields are not as many as said"),
    ("words that end early", [1, "a"], "due must be"),
]


@pytest.mark.parametrize(("bad", "why"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_field_that_cannot_be_used_is_named_and_nothing_is_written(queue: Queue, bad: list[Any], why: str) -> None:
    assert queue.refused("enqueue", NOW, *words("first", 0), *bad).startswith(f"RS_INVALID 2 {why}")


@pytest.mark.parametrize(
    "key", ["due:q", "{ns}:due:", "{ns}:due:q:r", "{ns}:ready:q", "{ns}:due:" + "q" * 101, "{}:due:q"]
)
def test_a_key_that_is_no_due_set_is_refused(queue: Queue, key: str) -> None:
    for verb in ("enqueue", "promote", "show"):
        try:
            queue.run(verb, [key.replace("ns", queue.namespace)], [NOW, 10, "m"])
        except Exception as error:
            assert raised(queue, "RS_KEYS") in f"{getattr(error, 'status_code', '')} {error}"
        else:
            raise AssertionError(f"{verb} took the key")


def test_the_longest_id_and_the_longest_name_of_a_queue_are_taken(queue: Queue) -> None:
    longest = queue.other("q" * 100)

    assert longest.enqueue(("i" * 128, NOW + 5, {})) == ["created"]

    assert longest.places() == {"due": {"i" * 128: NOW + 5}}


def test_the_longest_delay_and_the_longest_fields_are_taken(queue: Queue) -> None:
    fields = {
        "type": "t" * 100,
        "content_type": "c" * 128,
        "retry": "list" + " 10" * 532,
        "key": "k" * 128,
        "keep": "1",
        "tags": f'["{"t" * 4_092}"]',
        "headers": f'{{"h":"{"t" * 65_528}"}}',
        "traceparent": "t" * 128,
        "request": "r" * 128,
        "expires_at": "+" + "9" * 12,
    }

    assert queue.enqueue(("a", "+" + "9" * 11 + "8", fields)) == ["created"]

    then = NOW + 999_999_999_999
    assert queue.places() == {"due": {"a": then - 1}}
    assert queue.task("a") == HASH | fields | {"expires_at": str(then)}


def test_a_time_has_at_most_fifteen_digits(queue: Queue) -> None:
    assert queue.enqueue(("a", f"00{LATER}", {})) == ["created"]
    assert queue.refused("enqueue", NOW, *words("b", f"000{LATER}")).startswith("RS_INVALID 1 due must be")

    assert queue.places() == {"due": {"a": LATER}}


def test_thirty_two_fields_are_taken(queue: Queue) -> None:
    many = [1, "a", LATER, 32, "type", "t", "payload", "{}", *["key", "k"] * 30]

    assert queue.run("enqueue", [queue.keys.due], [NOW, *many])[-1] == b"created"
