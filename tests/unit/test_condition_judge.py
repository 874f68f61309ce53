"""The judge of the campaign of conditions finds each broken promise in a ledger that holds it, and no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from redsched.torture.history import Journal
from tests.campaign.condition_ledger import Line, Wish, World
from tests.campaign.condition_rules import verdict_of

LEASE_MS = 2_000


class Book:
    """A ledger that is written by hand; times in ms."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._journals: dict[str, Journal] = {}
        self.note("nemesis", "begun", 0)

    def note(self, proc: str, op: str, at: float, **fields: Any) -> None:
        if proc not in self._journals:
            self._journals[proc] = Journal(self.folder, proc)
        self._journals[proc].write_all([Line(at / 1_000, op, wall_us=round(at * 1_000), **fields)])

    def submit(self, task_id: str, at: float = 10_000, word: str = "created", **wish: Any) -> None:
        made = Wish(wish.pop("kind", "plain"), queue="q", **wish)
        self.note("producer-1", "submit", at, phase="invoke", id=task_id, wish=made)
        phase = "ok" if word in ("created", "merged") else "fail"
        self.note("producer-1", "submit", at + 1, phase=phase, id=task_id, word=word, attempt=1)

    def claim(self, task_id: str, at: float, token: str = "1.a", proc: str = "worker-1", **times: int) -> None:
        due = times.get("due_ms", round(at) - 2)
        self.note(
            proc,
            "claim",
            at + 1,
            phase="ok",
            id=task_id,
            token=token,
            attempt=1,
            sent=(at - 1) / 1_000,
            server_ms=round(at),
            due_ms=due,
            expires_ms=times.get("expires_ms", 0),
        )

    def start(self, task_id: str, at: float, token: str = "1.a", proc: str = "worker-1", tags: Any = ()) -> None:
        self.note(proc, "start", at, id=task_id, token=token, more={"tags": list(tags)} if tags else {})

    def settle(
        self,
        task_id: str,
        at: float,
        asked: str = "complete",
        token: str = "1.a",
        word: str = "completed",
        proc: str = "worker-1",
    ) -> None:
        self.note(proc, "settle", at, phase="invoke", id=task_id, token=token, asked=asked)
        self.note(proc, "settle", at + 1, phase="ok", id=task_id, token=token, asked=asked, word=word)

    def told(self, task_id: str, at: float, event: str, **more: Any) -> None:
        self.note("listener-1", "told", at + 1, id=task_id, word=event, server_ms=round(at), more=more)

    def final(self, task_id: str, state: str, at: float = 0, reason: str = "") -> None:
        self.note("nemesis", "final", 99_000, id=task_id, word=state, asked=reason, server_ms=round(at))

    def act(self, op: str, name: str, at: float, word: str = "", **more: Any) -> None:
        self.note("producer-1", op, at, phase="invoke", id=name, token=f"{op}-{name}-{at}", more=more)
        self.note("producer-1", op, at + 1, phase="ok", id=name, token=f"{op}-{name}-{at}", word=word)

    def pause(self, proc: str, begin: float, end: float) -> None:
        self.note("nemesis", "fault", begin, id=proc, word="pause", until=end / 1_000)

    def ran(self, task_id: str, at: float = 10_010, token: str = "1.a", tags: Any = (), **times: int) -> None:
        self.claim(task_id, at, token, **times)
        self.start(task_id, at + 2, token, tags=tags)
        self.settle(task_id, at + 10, token=token)
        self.final(task_id, "completed", at + 11)

    def rules(self) -> list[str]:
        return sorted(found.rule for found in verdict_of(World(self.folder, lease_ms=LEASE_MS)).violations)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


def lost(book: Book) -> None:
    book.submit("t")
    book.final("t", "missing")


def hung(book: Book) -> None:
    book.submit("t")
    book.submit("u")
    book.ran("u")
    book.final("t", "held", reason="facts")


def never_started(book: Book) -> None:
    book.submit("t")
    book.final("t", "completed", 10_020)


def early(book: Book) -> None:
    book.submit("t", due_ms=10_500)
    book.ran("t", 10_400)


def past_start_by(book: Book) -> None:
    book.submit("t")
    book.claim("t", 10_010, expires_ms=10_100)
    book.start("t", 10_200)
    book.settle("t", 10_210)
    book.final("t", "completed", 10_211)


def past_start_by_after_a_pause(book: Book) -> None:
    """Stopped with two of them in its hands: the first may have been on its way, the second was not."""
    book.pause("worker-1", 10_050, 11_000)
    for name, at in (("t", 11_001), ("u", 11_002)):
        book.submit(name)
        book.claim(name, 10_010, expires_ms=10_100)
        book.start(name, at)
        book.settle(name, at + 10)
        book.final(name, "completed", at + 11)


def after_cancelled(book: Book) -> None:
    book.submit("t")
    book.act("cancel", "t", 10_005, "cancelled")
    book.ran("t", 10_050)


def long_after_requested(book: Book) -> None:
    book.submit("t")
    book.claim("t", 10_010)
    book.act("cancel", "t", 10_020, "requested")
    book.start("t", 11_600)
    book.settle("t", 11_610)
    book.final("t", "completed", 11_611)


def after_its_lease(book: Book) -> None:
    book.submit("t")
    book.claim("t", 10_010)
    book.pause("worker-1", 10_020, 13_000)
    book.told("t", 12_015, "reaped", due="12015")
    book.claim("t", 12_020, "2.b", "worker-2")
    book.start("t", 12_022, "2.b", "worker-2")
    book.settle("t", 12_030, token="2.b", proc="worker-2")
    book.final("t", "completed", 12_031)
    book.submit("x")
    book.claim("x", 10_010, "1.x")
    book.start("x", 13_001, "1.x")  # it was on its way
    book.told("x", 13_500, "cancelled")
    book.final("x", "cancelled", 13_500)
    book.start("t", 13_002)


def twice_without_a_lease(book: Book) -> None:
    book.submit("t")
    book.claim("t", 10_010)
    book.start("t", 10_012)
    book.ran("t", 10_500, "2.b")


def again_after_its_end(book: Book) -> None:
    book.submit("t")
    book.ran("t", 10_010)
    book.ran("t", 10_500, "2.b")


def one_token_twice(book: Book) -> None:
    book.submit("t")
    book.ran("t")
    book.start("t", 10_013)


def reaped_too_soon(book: Book) -> None:
    book.submit("t")
    book.claim("t", 10_010)
    book.told("t", 10_900, "reaped", due="10900")
    book.ran("t", 10_910, "2.b")


def a_crash_that_waits(book: Book) -> None:
    book.submit("t")
    book.claim("t", 10_010)
    book.told("t", 12_015, "reaped", due="14515")
    book.ran("t", 14_520, "2.b")


def spent(book: Book) -> None:
    book.submit("t", attempts=1)
    book.claim("t", 10_010)
    book.told("t", 12_015, "dead", reason="lease")
    book.final("t", "dead", 12_015, "lease")


def unless(book: Book) -> None:
    book.submit("t", unless="f:s")
    book.act("emit", "f:s", 10_002, n=1)
    book.ran("t")


def only_if(book: Book) -> None:
    book.submit("t", only_if="f:s", above=5)
    book.act("emit", "f:s", 10_002, n=3)
    book.ran("t")


def skipped_for_nothing(book: Book) -> None:
    book.submit("t", unless="f:s")
    book.told("t", 10_010, "skipped")
    book.final("t", "skipped", 10_010, "unless f:s")


def called_off(book: Book) -> None:
    book.submit("t", cancel_on=["f:s"])
    book.act("emit", "f:s", 10_002)
    book.ran("t")


def awaited(book: Book) -> None:
    book.submit("t", awaits=["f:s", "f:u"])
    book.act("emit", "f:s", 10_002)
    book.ran("t")


def unheard(book: Book) -> None:
    book.submit("t", awaits=["f:s"], within_ms=400)
    book.act("emit", "f:s", 10_050)
    book.final("t", "expired", 10_402, "no event")


def held(book: Book) -> None:
    book.submit("t", held=True, within_ms=300)
    book.ran("t")


def confirmed_and_expired(book: Book) -> None:
    book.submit("t", held=True, within_ms=300)
    book.act("confirm", "t", 10_050, "confirmed")
    book.final("t", "expired", 10_301, "not confirmed")


def paused(book: Book) -> None:
    book.submit("t", halt="k")
    book.act("pause", "k", 10_002, until=19_000)
    book.ran("t", 10_050)
    book.act("resume", "k", 10_900)


def out_of_order(book: Book) -> None:
    book.submit("t", line="k", place=1)
    book.submit("u", line="k", place=2)
    book.ran("u", 10_010)
    book.ran("t", 10_012)


def two_at_once(book: Book) -> None:
    book.submit("t", unique="k", mode="keep_last")
    book.submit("u", unique="k", mode="keep_last")
    book.ran("t", 10_010)
    book.ran("u", 10_014)


def rejected_and_run(book: Book) -> None:
    book.submit("t", unique="k", mode="reject")
    book.submit("u", word="rejected", unique="k", mode="reject")
    book.ran("t", 10_010)
    book.ran("u", 10_100)


def a_lost_item(book: Book) -> None:
    book.submit("t", digest="k")
    book.submit("u", word="merged", digest="k")
    book.final("u", "skipped", 10_001, "merged into t")
    book.final("t", "cancelled", 10_050, "cancelled")


def an_item_twice(book: Book) -> None:
    book.submit("t", digest="k")
    book.submit("u", digest="k")
    book.ran("t", 10_200, tags=("t", "u"))
    book.ran("u", 10_300, tags=("u",))


def an_item_despite_its_event(book: Book) -> None:
    book.submit("t", digest="k")
    book.submit("u", word="merged", digest="k", unless="f:s")
    book.act("emit", "f:s", 10_050)
    book.final("u", "skipped", 10_001, "merged into t")
    book.ran("t", 10_200, tags=("t", "u"))


def before_its_parent(book: Book) -> None:
    book.submit("t")
    book.submit("u", parents=["t"])
    book.ran("u", 10_010)
    book.ran("t", 10_010)


def without_its_parent(book: Book) -> None:
    book.submit("t", word="rejected")
    book.submit("u", parents=["t"])
    book.ran("u", 10_010)


def despite_its_parent(book: Book) -> None:
    book.submit("t")
    book.final("t", "dead", 10_005, "rejected")
    book.submit("u", parents=["t"])
    book.ran("u", 10_010)


def a_lost_slot(book: Book) -> None:
    more = {"first": "10000", "every": "1000", "slot": "13000", "slots": "10000 12000", "missed": "0"}
    book.note("nemesis", "schedule", 14_000, id="beat", more=more)


def an_event_without_its_task(book: Book) -> None:
    book.act("emit", "bell:s", 10_000, event="e1")
    book.final("ring:e1", "missing")


BROKEN: list[tuple[Callable[[Book], None], list[str]]] = [
    (lost, ["LOST"]), (hung, ["HUNG"]), (never_started, ["LOST"]), (early, ["EARLY"]), (past_start_by, ["START-BY"]),
    (past_start_by_after_a_pause, ["START-BY"]), (after_cancelled, ["CANCELLED"]), (long_after_requested, ["ASKED"]),
    (after_its_lease, ["STALE"]), (twice_without_a_lease, ["DOUBLE"]), (again_after_its_end, ["AGAIN"]),
    (one_token_twice, ["DOUBLE"]), (reaped_too_soon, ["REAPED"]), (a_crash_that_waits, ["SLOW"]), (spent, ["SPENT"]),
    (unless, ["UNLESS"]), (only_if, ["ONLY-IF"]), (skipped_for_nothing, ["SKIPPED"]), (called_off, ["CANCELLED"]),
    (awaited, ["AWAITED"]), (unheard, ["UNHEARD"]), (held, ["HELD"]), (confirmed_and_expired, ["UNHEARD"]),
    (paused, ["PAUSED"]), (out_of_order, ["ORDER"]), (two_at_once, ["UNIQUE"]), (rejected_and_run, ["UNIQUE"]),
    (a_lost_item, ["ITEM"]), (an_item_twice, ["TWICE"]), (an_item_despite_its_event, ["DESPITE"]),
    (before_its_parent, ["PARENT"]), (without_its_parent, ["PARENTLESS"]), (despite_its_parent, ["PARENT"]),
    (a_lost_slot, ["SLOT"]), (an_event_without_its_task, ["RULE"]),
]  # fmt: skip


@pytest.mark.parametrize(("write", "rules"), BROKEN, ids=[write.__name__ for write, _ in BROKEN])
def test_a_broken_promise_is_found(book: Book, write: Callable[[Book], None], rules: list[str]) -> None:
    write(book)

    assert book.rules() == rules


def test_kept_promises_are_found_kept(book: Book) -> None:
    book.submit("plain")
    book.ran("plain")
    book.submit("u1", unique="k", mode="reject")
    book.submit("u2", word="rejected", unique="k", mode="reject")
    book.ran("u1")
    book.submit("l1", line="k", place=1)
    book.submit("l2", line="k", place=2)
    book.ran("l1", 10_010)
    book.ran("l2", 10_021)
    book.submit("d1", digest="k")
    book.submit("d2", word="merged", digest="k")
    book.ran("d1", 10_300, tags=("d1", "d2"))
    book.final("d2", "skipped", 10_001, "merged into d1")
    book.submit("parent")
    book.submit("child", parents=["parent"])
    book.ran("parent", 10_010)
    book.ran("child", 10_021)
    book.submit("crashed")
    book.claim("crashed", 10_010, proc="worker-2")
    book.told("crashed", 12_010, "reaped", due="12010")
    book.ran("crashed", 12_012, "2.b")
    book.submit("crashed and claimed in one ms")
    book.claim("crashed and claimed in one ms", 10_010, proc="worker-2")
    book.told("crashed and claimed in one ms", 12_010, "reaped", due="12010")
    book.claim("crashed and claimed in one ms", 12_010, "2.c", "worker-3")
    book.start("crashed and claimed in one ms", 12_700, "2.c", "worker-3")  # it waited in a buffer
    book.settle("crashed and claimed in one ms", 12_710, token="2.c", proc="worker-3")
    book.final("crashed and claimed in one ms", "completed", 12_711)

    assert book.rules() == []


def test_what_a_failover_took_is_lost_by_loss(book: Book) -> None:
    book.submit("t")
    book.submit("u", lasting=True)
    book.final("t", "missing")
    book.final("u", "missing")
    book.note("nemesis", "fault", 10_100, word="failover", phase="loss", until=10.4)

    assert book.rules() == ["LOST"]  # u: it was acknowledged by the replica
