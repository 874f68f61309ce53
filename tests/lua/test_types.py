"""put_types and types: what workers say of a type counts for each task that does not say it itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from redsched.model.errors import InvalidTask
from redsched.model.task_types import QueueDefaults, TypeView
from redsched.wire import task_types
from redsched.wire.keys import CellKeys
from redsched.wire.task_types import TypePut, TypesPut
from tests.support.acts import append, ingest
from tests.support.halted import each_stop
from tests.support.lua_queue import HOUR, NOW, Queue, raised
from tests.support.timetable import Timetable

ALL = ("max_attempts", "2", "retry", "fixed 5000", "timeout_ms", "7000", "expires_at", "+60000", "retention_ms", "9000",
       "key", "k")  # fmt: skip
GIVEN = {"max_attempts": "2", "retry": "fixed 5000", "timeout_ms": "7000", "retention_ms": "9000", "key": "k"}
LIVE = 90_000
HOLDING: list[dict[str, Any]] = [
    {"wait_for": {"any": ["paid"]}}, {"after": {"ids": ["p"]}}, {"fifo": True}, {"hold": {"token": "c"}},
    {"digest": {"key": "d"}},
]  # fmt: skip
NO_DEFAULTS = (
    '{"max_attempts":"2"}', "[]", '["max_attempts"]', '["max_attempts","no"]', '["state","dead"]',
    '["expires_at","1800000000000"]', '["max_attempts",2]', '["payload","{}"]',
)  # fmt: skip


def put(
    queue: Queue,
    *types: TypePut,
    app: str = "shop",
    version: str | None = None,
    worker: str = "w",
    started: int = 5,
    now: int = NOW,
) -> TypesPut:
    """What a worker says of its types."""
    call = task_types.put_types(CellKeys(queue.cell), app, version, worker, started, types)
    return queue.send(call, now=now)


def known(queue: Queue, *names: str, now: int = NOW, **options: Any) -> list[TypeView]:
    """What is known of types."""
    return queue.send(task_types.types(CellKeys(queue.cell), names, **options), now=now).items


def given(queue: Queue, task_id: str) -> dict[str, str]:
    """What a task has of that which a type may give."""
    fields = queue.redis.hgetall(queue.keys.task(task_id))
    return {name: fields[name] for name in (*GIVEN, "expires_at") if name in fields}


def test_a_task_that_says_nothing_gets_what_its_type_gives_from_its_due_time_on(queue: Queue) -> None:
    put(queue, TypePut("t", "q", ALL))

    assert queue.enqueue(("now", 0, {}), ("later", NOW + HOUR, {}), ("soon", "+1000", {})) == ["created"] * 3

    assert given(queue, "now") == GIVEN | {"expires_at": str(NOW + 60_000)}
    assert given(queue, "later") == GIVEN | {"expires_at": str(NOW + HOUR + 60_000)}
    assert given(queue, "soon") == GIVEN | {"expires_at": str(NOW + 61_000)}


@pytest.mark.parametrize(("field", "value"), [*GIVEN.items(), ("expires_at", str(NOW + 5))])
def test_what_a_task_says_itself_comes_first(queue: Queue, field: str, value: str) -> None:
    said = {"max_attempts": "9", "retry": "list 1 2", "timeout_ms": "1", "retention_ms": "0", "key": "other"}
    own = said.get(field, value)
    put(queue, TypePut("t", "q", ALL))

    queue.enqueue(("a", NOW + 4, {field: own}))

    assert given(queue, "a") == GIVEN | {"expires_at": str(NOW + 60_004)} | {field: own}


def test_a_type_that_nobody_knows_or_that_gives_nothing_changes_nothing(queue: Queue) -> None:
    put(queue, TypePut("u", "q", ALL), TypePut("none", "q"))

    queue.enqueue(("a", 0, {}), ("b", 0, {"type": "none"}))
    queue.enqueue(("c", NOW + 5, {}))

    assert [given(queue, task_id) for task_id in "abc"] == [{}, {}, {}]


def test_tasks_of_several_types_in_one_call_get_each_their_own(queue: Queue) -> None:
    put(queue, TypePut("t", "q", ("max_attempts", "2")), TypePut("u", "q", ("max_attempts", "3")))

    queue.enqueue(("a", 0, {}), ("b", 0, {"type": "u"}), ("c", 0, {"type": "v"}), ("d", 0, {}))

    assert [given(queue, task_id).get("max_attempts") for task_id in "abcd"] == ["2", "3", None, "2"]


def test_a_task_that_waits_keeps_what_it_has(queue: Queue) -> None:
    put(queue, TypePut("t", "q", ("max_attempts", "2")))
    queue.enqueue(("a", NOW + HOUR, {}))

    put(queue, TypePut("t", "q", ("max_attempts", "3")), started=6)
    queue.enqueue(("b", NOW + HOUR, {}))
    put(queue, TypePut("t", "q"), started=7)
    queue.enqueue(("c", NOW + HOUR, {}))

    assert [given(queue, task_id).get("max_attempts") for task_id in "abc"] == ["2", "3", None]


def test_the_same_call_again_finds_its_tasks(queue: Queue) -> None:
    put(queue, TypePut("t", "q", ALL))
    for request, expected in (("r1", "created"), ("r1", "created"), ("r2", "existing")):
        assert queue.enqueue(("a", NOW + 5, {"request": request})) == [expected]
    assert queue.enqueue(("a", NOW + 5, {"request": "r3", "payload": "1"})) == ["conflict"]


def test_a_key_that_a_type_gives_makes_a_line(queue: Queue) -> None:
    put(queue, TypePut("t", "q", ("key", "k")))

    assert queue.plan("a", {"fifo": True}) == "created" and queue.plan("b", {"fifo": True}) == "created"

    assert queue.redis.zcard(queue.key("line:q:k")) == 2


@pytest.mark.parametrize("conditions", HOLDING)
def test_a_task_that_conditions_may_hold_gets_no_start_by_of_its_type(queue: Queue, conditions: dict[str, Any]) -> None:
    queue.seed("p", due=NOW + HOUR, type="u")
    put(queue, TypePut("t", "q", ALL))

    queue.plan("a", conditions)
    queue.plan("b", {"unless": {"fact": "paid"}})
    queue.seed("raw", due=NOW - 5, conditions=json.dumps(conditions))
    queue.promote()

    assert given(queue, "a") == given(queue, "raw") == GIVEN
    assert given(queue, "b") == GIVEN | {"expires_at": str(NOW + 60_000)}


def test_a_raw_task_gets_it_when_it_becomes_ready(queue: Queue) -> None:
    put(queue, TypePut("t", "q", ALL))
    queue.seed("a", due=NOW - 7)
    queue.seed("b", due=NOW - 7, max_attempts="9", expires_at=str(NOW + 5))
    queue.write("u", due=NOW, type="u", payload="1")

    queue.promote()

    assert given(queue, "a") == GIVEN | {"expires_at": str(NOW - 7 + 60_000)}
    assert given(queue, "b") == GIVEN | {"max_attempts": "9", "expires_at": str(NOW + 5)}
    assert given(queue, "u") == {}
    assert queue.places()["ready"]["normal"] == ["a", "b", "u"]


def test_a_raw_task_whose_types_start_by_has_passed_expires(queue: Queue) -> None:
    put(queue, TypePut("t", "q", ("expires_at", "+1000")))
    queue.seed("a", due=NOW - 1_001)

    queue.promote()

    assert queue.task("a")["state"] == "expired"


def test_an_entry_of_an_inbox_and_the_task_of_a_rule_get_it_too(queue: Queue) -> None:
    put(queue, TypePut("t", "q", ALL), TypePut("u", "r", ALL))
    append(queue, id="a", type="t", payload="{}")
    queue.run("put_rule", [queue.key("rules")], [NOW, "one", "paid", json.dumps({"fields": {"type": "u"}, "id": "b"})])

    ingest(queue)
    queue.emit("paid")

    assert given(queue, "a") == GIVEN | {"expires_at": str(NOW + 60_000)}
    assert given(queue.other("r"), "b") == GIVEN | {"expires_at": str(NOW + 60_000)}


def test_a_rule_that_names_a_queue_and_one_of_an_unknown_type_go_where_they_say(queue: Queue) -> None:
    put(queue, TypePut("t", "r"))
    for name, rule in (("one", {"queue": "q", "fields": {"type": "t"}}), ("two", {"fields": {"type": "u"}})):
        queue.run("put_rule", [queue.key("rules")], [NOW, name, "paid", json.dumps(rule)])

    assert queue.emit("paid").made == ["q/one:e1", "default/two:e1"]


def test_the_task_of_a_schedule_gets_it_from_its_planned_time_on(times: Timetable) -> None:
    queue = times.queue
    put(queue, TypePut("t", "q", ALL))
    times.planned(NOW - 1_000)

    times.fire("every", slots=[NOW - 1_000])

    (task_id,) = (key.rpartition(":")[2] for key in queue.redis.keys(queue.key("task:*")))
    assert given(queue, task_id) == GIVEN | {"expires_at": str(NOW + 59_000)}


def queue_gives(queue: Queue, **fields: Any) -> QueueDefaults:
    """Set what the queue gives; what it gives then."""
    return queue.send(task_types.defaults(queue.keys, fields))  # type: ignore[arg-type]


def test_a_type_comes_before_its_queue_and_a_queue_before_what_is_built_in(queue: Queue) -> None:
    put(queue, TypePut("t", "q", ("max_attempts", "2")))
    queue_gives(queue, max_attempts=3, key="k", expires_in="1m")

    queue.enqueue(("a", 0, {}), ("b", 0, {"type": "u"}), ("c", 0, {"type": "u", "key": "own"}), ("d", 0, {}, 2))
    queue.enqueue(("e", 0, {"type": "u"}))
    queue.seed("raw", type="u")
    queue.promote()

    late = str(NOW + 60_000)
    assert given(queue, "a") == {"max_attempts": "2", "key": "k", "expires_at": late}
    assert given(queue, "b") == given(queue, "e") == {"max_attempts": "3", "key": "k", "expires_at": late}
    assert given(queue, "c") == {"max_attempts": "3", "key": "own", "expires_at": late}
    assert given(queue.other("r"), "d") == {"max_attempts": "2"}
    assert given(queue, "raw") == {"max_attempts": "3", "key": "k", "expires_at": late}


def test_what_a_queue_gives_is_set_told_and_taken_back_field_by_field(queue: Queue) -> None:
    assert queue_gives(queue) == QueueDefaults()
    assert not queue.redis.exists(queue.key("defaults"))
    first = queue_gives(queue, max_attempts=3, retry="5s", timeout="7s")
    assert first == QueueDefaults(max_attempts=3, retry="fixed 5000", timeout_ms=7_000)
    assert queue_gives(queue, retry=None, retention="9s", expires_in="1m") == QueueDefaults(
        max_attempts=3, timeout_ms=7_000, retention_ms=9_000, expires_in_ms=60_000
    )
    assert queue_gives(queue, max_attempts=None, timeout=None, retention=None, expires_in=None) == QueueDefaults()
    assert not queue.redis.exists(queue.key("defaults"))
    assert queue.events()[0] == "defaults_set queue max_attempts=3 retry=fixed 5000 timeout_ms=7000"


def test_what_a_queue_cannot_give_is_refused_and_nothing_is_written(queue: Queue) -> None:
    for words, told in (
        (("payload", "{}"), "RS_INVALID 1 fields cannot be a default"),
        (("max_attempts", "0"), "RS_INVALID 1 max_attempts cannot be a default"),
        (("key", "k", "expires_at", str(NOW)), "RS_INVALID 1 expires_at cannot be a default"),
    ):
        assert queue.refused("defaults", NOW, *words) == told
    with pytest.raises(InvalidTask, match="priority: has no default; max_attempts, retry, timeout"):
        queue_gives(queue, priority="high")


def test_a_stop_half_way_leaves_what_the_same_call_mends(queue: Queue) -> None:
    def act(here: Queue) -> Any:
        put(here, TypePut("t", "q", ("max_attempts", "9"), b'"old"'))
        return task_types.put_types(CellKeys(here.cell), "shop", None, "w", 6, [TypePut("t", "r", ALL, b'"new"')])

    for here, call in each_stop(queue, act):
        here.send(call)

        (view,) = known(here, "t", schemas=True)
        assert (view.queue, view.max_attempts, view.key, view.payload) == ("r", 2, "k", "new")


def test_what_is_no_default_is_refused_and_nothing_is_written(queue: Queue) -> None:
    def refused(*words: Any) -> str:
        return refusal(queue, NOW, "shop", "-", "w", 5, *words)

    assert refused("t", "q", "x", "") == "RS_INVALID 1 defaults must be a JSON list of fields and values"
    for bad in NO_DEFAULTS:
        assert refused("t", "q", bad, "").startswith("RS_INVALID 1 defaults")
    assert refused("a b", "q", "", "").startswith("RS_INVALID 1 type ")
    assert refused("t", "a:b", "", "").startswith("RS_INVALID 1 queue ")
    assert refused("t", "q", "", "x" * 65_537) == "RS_INVALID 1 schema is too long"
    assert refused(*["t", "q", "", ""] * 51) == "RS_INVALID 1 types must be up to 50, of 4 words each"
    for words, field in (
        ((NOW, "a b", "-", "w", 5), "app"),
        ((NOW, "shop", "1.x", "w", 5), "version"),
        ((NOW, "shop", "1", "a b", 5), "worker"),
        ((NOW, "shop", "1", "w", "x"), "started"),
    ):
        assert refusal(queue, *words).startswith(("RS_INVALID 1 " + field, "RS_INVALID 1 ARGV"))
    for version in ("1.2.3.4.5.6.7.8.9", "1..2", "1.", ".1", "", "v1", "9" * 10):
        assert refusal(queue, NOW, "shop", version, "w", 5).startswith("RS_INVALID 1 version")


def refusal(queue: Queue, *words: Any) -> str:
    """The error of put_types, which writes nothing."""
    other = Queue(queue.server, queue.build, queue.raw, queue.redis, queue.namespace)
    before = other.dump()
    with pytest.raises(Exception, match="RS_") as caught:
        other.run("put_types", [other.key("types")], words)
    assert other.dump() == before
    return str(caught.value)


def test_what_somebody_wrote_by_hand_is_as_if_nothing_were_known(queue: Queue) -> None:
    for text in ("no json", "[1]", '["state","dead"]', '{"a":1}', '["max_attempts","0"]'):
        queue.redis.hset(queue.key("defaults"), "t", text)
        queue.enqueue((f"a{len(text)}", NOW + 5, {}))
        assert given(queue, f"a{len(text)}") == {}

    for name in ("defaults", "types"):
        queue.redis.unlink(queue.key(name))
        queue.redis.set(queue.key(name), "x")
    words = [NOW, 1, "b", NOW + 5, 2, "type", "t", "payload", "{}"]
    assert queue.run("enqueue", [queue.keys.due], words) == [b"created"]
    assert queue.run("types", [queue.key("types")], [NOW, "", 10, 0]) == [0]


def test_a_page_of_types_is_told_by_name_with_schemas_or_without(queue: Queue) -> None:
    for number in range(45):
        put(queue, TypePut(f"t{number:02}", "q", (), b'{"type":"object"}'), version="2.1")
    page = queue.send(task_types.types(CellKeys(queue.cell), limit=40))
    rest = queue.send(task_types.types(CellKeys(queue.cell), limit=40, cursor=page.next_cursor))

    assert [one.name for one in page.items + rest.items] == [f"t{number:02}" for number in range(45)]
    assert rest.next_cursor is None and {one.payload for one in page.items} == {None}
    with_schemas = queue.send(task_types.types(CellKeys(queue.cell), limit=40, schemas=True))
    assert len(with_schemas.items) == 20 and with_schemas.items[0].payload == {"type": "object"}
    assert known(queue, "t07", "no", "t03")[0] == with_schemas.items[7].__class__(
        name="t07", queue="q", app="shop", version="2.1", put_by=page.items[7].put_by, live=True
    )
    assert [one.name for one in known(queue, "t07", "no", "t03")] == ["t07", "t03"]
    assert not known(queue, "t07", now=NOW + LIVE)[0].live


def test_the_newest_version_with_a_live_worker_rules_in_whatever_order_they_start(queue: Queue) -> None:
    old, new = TypePut("t", "old"), TypePut("t", "new")
    for first, second in (((old, "2.9"), (new, "2.10")), ((new, "2.10"), (old, "2.9"))):
        queue.redis.unlink(*[queue.key(name) for name in ("types", "apps", "live:shop/2.9", "live:shop/2.10")])
        for kind, version in (first, second):
            ruling = put(queue, kind, version=version, worker=version).ruling
        assert ruling == "2.10"
        assert known(queue, "t")[0].queue == "new"
    assert put(queue, old, version="2.9", worker="2.9") == TypesPut("2.10", ["older"])


def test_an_older_version_rules_again_when_no_worker_of_the_newer_one_lives(queue: Queue) -> None:
    put(queue, TypePut("t", "new"), version="2", worker="a")
    put(queue, version="2", worker="b")
    put(queue, version="2", worker="a", started=0)
    assert put(queue, TypePut("t", "old"), version="1", worker="c") == TypesPut("2", ["older"])

    assert put(queue, version="2", worker="b", started=0).ruling == "1"

    assert put(queue, TypePut("t", "old"), version="1", worker="c") == TypesPut("1", ["put"])
    put(queue, TypePut("t", "new"), version="2", worker="d")
    assert put(queue, TypePut("t", "old"), version="1", worker="c", now=NOW + LIVE - 1) == TypesPut("2", ["older"])
    assert put(queue, TypePut("t", "old"), version="1", worker="c", now=NOW + LIVE) == TypesPut("1", ["put"])
    assert known(queue, "t", now=NOW + LIVE)[0].queue == "old"


def test_of_one_version_the_worker_that_started_last_rules(queue: Queue) -> None:
    put(queue, TypePut("t", "one"), started=10)
    assert put(queue, TypePut("t", "zero"), worker="v", started=9).words == ["older"]
    assert put(queue, TypePut("t", "one"), started=10).words == ["same"]
    assert put(queue, TypePut("t", "two"), worker="v", started=11).words == ["put"]
    assert known(queue, "t")[0].queue == "two"


def test_two_spellings_of_one_version_are_one(queue: Queue) -> None:
    assert put(queue, TypePut("t", "q"), version="2.0").ruling == "2.0"
    assert put(queue, TypePut("t", "r"), version="2", worker="v", started=6) == TypesPut("2", ["put"])


def test_a_version_is_newer_than_none(queue: Queue) -> None:
    put(queue, TypePut("t", "new"), version="0")
    assert put(queue, TypePut("t", "old"), worker="v", started=99) == TypesPut("0", ["older"])


def test_a_type_belongs_to_one_application_as_long_as_a_worker_of_it_lives(queue: Queue) -> None:
    put(queue, TypePut("t", "q"), app="shop")
    assert put(queue, TypePut("t", "r"), app="mail", worker="m").words == ["other shop"]
    assert known(queue, "t")[0].app == "shop"

    assert put(queue, TypePut("t", "r"), app="mail", worker="m", now=NOW + LIVE).words == ["put"]
    assert known(queue, "t")[0].app == "mail"


def test_at_most_5000_types_are_kept(queue: Queue) -> None:
    queue.redis.hset(queue.key("types"), mapping={f"t{n}": "q shop - 5" for n in range(5_000)})
    assert put(queue, TypePut("t1", "r"), TypePut("new", "q"), started=6).words == ["put", "full"]


def test_another_key_is_refused(queue: Queue) -> None:
    with pytest.raises(Exception, match=raised(queue, "RS_KEYS")):
        queue.run("put_types", [queue.key("type")], [NOW, "shop", "-", "w", 5])
    with pytest.raises(Exception, match=raised(queue, "RS_KEYS")):
        queue.run("types", [queue.key("due:q")], [NOW, "", 5, 0])


def test_who_puts_a_type_is_told(queue: Queue) -> None:
    put(queue, TypePut("t", "q"), version="1.2")
    assert queue.events() == ["type_put t app=shop version=1.2"]

    put(queue, TypePut("t", "q"), version="1.2", started=6)
    put(queue, TypePut("t", "r"), version="1.2", started=7)

    assert queue.events() == ["type_put t app=shop version=1.2"] * 2
