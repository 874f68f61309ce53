"""Which queues a worker's next claim asks."""

from __future__ import annotations

import logging

import pytest

from redsched.engine.isolation import Refusals
from redsched.engine.observer import Silent
from redsched.engine.worker.claim_order import QUEUES_A_CALL, ClaimOrder
from redsched.model.errors import StoreRefused
from redsched.wire.cells import Cell
from redsched.wire.claims import Bell
from redsched.wire.keys import queue_keys

REFUSED = StoreRefused("claim", "ERR refused")


class Turns:
    """A claim order over so many queues, ``q0`` and on."""

    def __init__(self, count: int) -> None:
        self.nudges = 0
        self.refusals = Refusals("claim", Silent(), logging.getLogger("redsched.test"))
        cell = Cell("t")
        self.order = ClaimOrder([queue_keys(cell, f"q{n}") for n in range(count)], self.refusals, self._nudge)

    def _nudge(self) -> None:
        self.nudges += 1

    def ask(self) -> list[str] | None:
        """The queues of the next claim."""
        asked = self.order.ask()
        return None if asked is None else [keys.queue for keys in asked[0]]

    def ask_for(self, *bells: Bell) -> tuple[list[str], list[Bell]]:
        """The queues of the next claim after these bells, and those that it hands over."""
        self.order.rung(list(bells))
        asked = self.order.ask()
        assert asked is not None
        return [keys.queue for keys in asked[0]], asked[1]


def names(first: int, count: int) -> list[str]:
    return [f"q{n}" for n in range(first, first + count)]


def test_chunks_take_turns_until_each_has_had_nothing_more() -> None:
    turns = Turns(20)

    assert turns.ask() == names(0, QUEUES_A_CALL)
    turns.order.answered(more=False)
    assert not turns.order.is_exhausted
    assert turns.ask() == names(16, 4)
    turns.order.answered(more=False)

    assert turns.order.is_exhausted and turns.ask() is None


def test_a_chunk_that_has_more_is_asked_again_and_then_all_others_are() -> None:
    turns = Turns(20)
    turns.ask()
    turns.order.answered(more=True)

    assert turns.ask() == names(0, QUEUES_A_CALL)
    turns.order.answered(more=False)
    assert turns.ask() == names(16, 4)


def test_a_bell_without_an_entry_begins_all_turns_again() -> None:
    turns = Turns(1)
    turns.ask()
    turns.order.answered(more=False)
    assert turns.order.is_exhausted

    assert turns.ask_for() == (["q0"], [])
    assert turns.nudges == 1


def test_the_queue_of_a_bell_is_asked_first_and_bells_of_another_chunk_wait_for_their_claim() -> None:
    turns = Turns(20)
    near, far = Bell("q1", "normal/1-1", "a"), Bell("q17", "normal/1-1", "b")

    assert turns.ask_for(far) == (names(16, 4), [far])
    turns.order.answered(more=False)
    assert turns.ask_for(near, far) == (names(0, QUEUES_A_CALL), [near])
    assert turns.order.bells == [far]
    turns.order.answered(more=False)
    assert turns.ask() == names(16, 4)
    assert turns.order.bells == []


def test_a_claim_that_is_refused_is_followed_by_one_for_each_of_its_queues() -> None:
    turns = Turns(3)
    turns.ask()
    turns.order.refused(REFUSED)

    found = []
    while (asked := turns.ask()) is not None:
        found.append(asked)
        if asked == ["q1"]:
            turns.order.refused(REFUSED)
        else:
            turns.order.answered(more=False)

    assert sorted(found) == [["q0"], ["q1"], ["q2"]]
    assert list(turns.refusals.until) == ["q1"] and turns.order.is_exhausted
    turns.order.rung([])
    assert turns.ask() == ["q0", "q2"]  # the one that Redis refuses is left out


def test_one_that_was_left_out_is_asked_by_itself_once_its_pause_is_over_and_then_with_the_others() -> None:
    turns = Turns(2)
    turns.refusals.refuse("q1", REFUSED)
    assert turns.ask() == ["q0"]
    turns.order.answered(more=True)
    turns.refusals.until["q1"] = 0.0

    assert turns.ask() == ["q1"]
    turns.order.answered(more=False)

    assert turns.refusals.until == {}
    turns.order.rung([])
    assert turns.ask() == ["q0", "q1"]


@pytest.mark.parametrize("count", [1, 20])
def test_if_redis_refuses_all_there_is_nothing_to_ask(count: int) -> None:
    turns = Turns(count)
    for queue in names(0, count):
        turns.refusals.refuse(queue, REFUSED)

    asked = [turns.ask() for _ in turns.order.chunks]

    assert asked == [None] * len(turns.order.chunks) and turns.order.is_exhausted
