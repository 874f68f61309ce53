"""What becomes of a call whose request or reply is lost: done once, and answered as if nothing had happened."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from redsched import Settings, Task
from redsched.model.errors import OutcomeUnknown, StoreUnavailable
from redsched.wire import protocol
from redsched.wire.cells import Cell
from redsched.wire.claims import Settlement
from redsched.wire.keys import queue_keys
from tests.support.clients import Connect, Face
from tests.support.lossy_proxy import Fate, Proxy, the_first
from tests.support.servers import Store


class Line:
    """A client behind a proxy, and one beside it."""

    def __init__(self, store: Store, connect: Connect) -> None:
        self.store, self._connect = store, connect
        self.sure = connect(store)
        self.proxies: list[Proxy] = []

    def losing(self, fate: Callable[[list[bytes]], Fate], **settings: int) -> tuple[Face, Proxy]:
        """A client whose commands meet this fate."""
        assert self.store.url is not None
        proxy = Proxy(self.store.url, fate)
        self.proxies.append(proxy)
        options = Settings(redis_url=proxy.url, namespace=self.store.namespace, **settings)
        return self._connect(proxy.url, settings=options), proxy


@pytest.fixture(params=["valkey_store", "scripts_store"])
def line(request: pytest.FixtureRequest, connect: Connect) -> Iterator[Line]:
    """Over functions and over scripts."""
    line = Line(request.getfixturevalue(request.param), connect)
    yield line
    for proxy in line.proxies:
        proxy.close()


@pytest.fixture
def scripts_store(scripts_server: object) -> Iterator[Store]:
    """A namespace on the server without functions."""
    from tests.support import servers

    url: str = scripts_server.url  # type: ignore[attr-defined]
    store = Store("valkey-scripts", servers.connect(url), url=url)
    yield store
    store.clear()
    store.redis.close()


LOST: list[Fate] = ["lose reply", "lose request"]


@pytest.mark.parametrize("fate", LOST)
@pytest.mark.parametrize("times", [1, 2])
def test_an_enqueue_is_answered_created_and_stored_once(line: Line, fate: Fate, times: int) -> None:
    client, proxy = line.losing(the_first("enqueue", fate, times))

    assert client.enqueue("t", 1).status == "created"
    assert client.enqueue("t", 1, id="mine").status == "created"

    assert len(proxy.named("enqueue")) == 2 + times
    assert sorted(one.id == "mine" for one in line.sure.start()) == [False, True]
    assert line.sure.stats(["default"])[0].totals["enqueued"] == 2


def test_an_enqueue_with_an_id_is_answered_created_although_its_first_reply_was_lost(line: Line) -> None:
    client, _ = line.losing(the_first("enqueue", "lose reply"))

    assert client.enqueue("t", 1, id="mine").status == "created"

    assert line.sure.enqueue("t", 1, id="mine").status == "existing"
    assert line.sure.stats(["default"])[0].totals["enqueued"] == 1


def test_a_server_that_is_full_at_the_repeat_cannot_say_what_the_first_call_did(line: Line) -> None:
    lost = the_first("enqueue", "lose reply")

    def fate(command: list[bytes]) -> Fate:
        if line.proxies[0].named("enqueue")[1:]:
            line.store.redis.config_set("maxmemory", 1)
        return lost(command)

    client, _ = line.losing(fate)
    try:
        if line.store.kind == "valkey":
            with pytest.raises(OutcomeUnknown, match="may or may not"):
                client.enqueue("t", id="a")
        else:  # a script is refused at its first write, and the repeat writes nothing
            assert client.enqueue("t", id="a").status == "created"
    finally:
        line.store.redis.config_set("maxmemory", 0)

    assert line.sure.task("a").state == "ready"


def test_a_batch_is_answered_as_the_first_time(line: Line) -> None:
    client, _ = line.losing(the_first("enqueue", "lose reply"))
    line.sure.enqueue("t", 1, id="old")
    tasks = [Task(type="t"), Task(type="t", payload=1, id="old"), Task(type="u", id="old"), Task(type="t", id="new")]

    assert [one.status for one in client.enqueue_many(tasks)] == ["created", "existing", "conflict", "created"]

    assert line.sure.stats(["default"])[0].totals["enqueued"] == 3


def test_a_cancel_is_answered_as_the_first_time(line: Line) -> None:
    client, _ = line.losing(the_first("cancel", "lose reply"))
    line.sure.enqueue("t", id="a", delay="1h")

    assert client.cancel("a") == {"a": "cancelled"}

    assert line.sure.stats(["default"])[0].totals["cancelled"] == 1


def test_a_claim_starts_nothing_twice(line: Line) -> None:
    client, proxy = line.losing(the_first("claim", "lose reply"))
    line.sure.enqueue_many([Task(type="t", id=name) for name in ("a", "b", "c")])

    started = client.start(count=2)

    assert [one.id for one in started] == ["a", "b"]
    assert len(proxy.named("claim")) == 2
    assert [(view.state, view.attempt) for view in line.sure.show(["a", "b", "c"]).values()] == [
        ("running", 1),
        ("running", 1),
        ("ready", 0),
    ]
    assert [line.sure.settle(one, "complete") for one in started] == ["completed", "completed"]


def test_a_settle_is_answered_already(line: Line) -> None:
    client, _ = line.losing(the_first("settle", "lose reply"))
    line.sure.enqueue("t", id="a")
    (started,) = line.sure.start()

    assert client.settle(started, "complete") == "already"

    assert line.sure.task("a").state == "completed"
    assert line.sure.stats(["default"])[0].totals["completed"] == 1


def test_a_revival_is_not_repeated_and_its_outcome_is_unknown(line: Line) -> None:
    client, proxy = line.losing(the_first("revive", "lose reply"))
    line.sure.enqueue("t", id="a")
    line.sure.settle(line.sure.start()[0], "dead", "x")

    with pytest.raises(OutcomeUnknown, match=r"revive: no answer from Redis .*may or may not") as caught:
        client.revive("a")

    assert caught.value.verb == "revive"
    assert len(proxy.named("revive")) == 1
    assert line.sure.task("a").state == "scheduled"


@pytest.mark.parametrize("fate", LOST)
def test_loading_the_lua_is_repeated_too(line: Line, fate: Fate) -> None:
    left = iter([fate] * 2)
    client, _ = line.losing(lambda command: next(left, "pass") if command[0] in (b"FCALL", b"SCRIPT") else "pass")

    assert client.enqueue("t").status == "created"


def test_a_server_that_never_answers_leaves_the_outcome_unknown(line: Line) -> None:
    client, proxy = line.losing(the_first("enqueue", "hang", 99), redis_timeout_ms=100, retry_for_ms=1_000)
    begun = time.monotonic()

    with pytest.raises(OutcomeUnknown, match="enqueue"):
        client.enqueue("t")

    assert time.monotonic() - begun < 20
    assert len(proxy.named("enqueue")) >= 2
    assert line.sure.stats(["default"])[0].totals["enqueued"] == 1


def test_a_server_that_hangs_once_is_asked_again(line: Line) -> None:
    client, _ = line.losing(the_first("enqueue", "hang"), redis_timeout_ms=200)

    assert client.enqueue("t", id="a").status == "created"

    assert line.sure.stats(["default"])[0].totals["enqueued"] == 1


def test_a_plain_command_without_an_answer_says_that_the_server_is_away(line: Line) -> None:
    client, _ = line.losing(lambda command: "lose reply" if command[0] in (b"SSCAN", b"PING") else "pass")

    for verb in (client.queues, client.ping):
        with pytest.raises(StoreUnavailable):
            verb()


@pytest.mark.parametrize(("fate", "word"), [("lose request", "completed"), ("lose reply", "already")])
def test_a_settle_and_a_claim_in_one_call_are_repeated_together(line: Line, fate: Fate, word: str) -> None:
    """What a busy worker sends."""
    keys = queue_keys(Cell(line.store.namespace), "default")
    line.sure.enqueue_many([Task(type="t", id="first"), Task(type="t", id="second")])
    (started,) = line.sure.send(protocol.claim([keys], consumer="w", count=1, lease_ms=30_000)).tasks
    client, proxy = line.losing(the_first("settle_and_claim", fate))

    ends = [Settlement("default", started.id, started.token, "complete")]
    claim = protocol.claim([keys], consumer="w", count=1, lease_ms=30_000)
    words, claimed = client.send(protocol.settle_and_claim(keys.cell, ends, claim))

    assert (words, [one.id for one in claimed.tasks]) == ([word], ["second"])
    assert len(proxy.named("settle_and_claim")) == 2
