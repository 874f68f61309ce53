"""The pure parts of a mover: its timers, the queues that it knows, and the round that goes through them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from redsched.engine.mover.known_queues import KnownQueues, Round
from redsched.engine.mover.timers import Timers
from redsched.wire.cells import Cell
from redsched.wire.keys import queue_keys

CELL = Cell("rs")


def test_the_queues_whose_time_has_come_are_taken_earliest_first_and_no_more_than_asked_for() -> None:
    timers = Timers()
    for queue, at in (("c", 3.0), ("a", 1.0), ("d", 4.0), ("b", 2.0)):
        timers.set(queue, at)

    assert timers.take(3.5, 2) == ["a", "b"]
    assert timers.take(3.5, 2) == ["c"]
    assert (timers.next, set(timers.queues)) == (4.0, {"d"})


def test_without_a_timer_the_next_time_never_comes() -> None:
    assert Timers().next == float("inf")


def test_a_time_that_was_replaced_wakes_nobody() -> None:
    timers = Timers()
    timers.set("a", 1.0)
    timers.set("a", 5.0)

    assert timers.next == 5.0
    assert timers.take(4.0, 9) == []
    assert timers.take(5.0, 9) == ["a"]


def test_a_timer_is_brought_forward_and_never_put_off() -> None:
    timers = Timers()
    timers.set("a", 5.0)
    timers.bring_forward("a", 7.0)
    assert timers.next == 5.0

    timers.bring_forward("a", 3.0)
    timers.bring_forward("new", 4.0)

    assert timers.take(9.0, 9) == ["a", "new"]


@given(some.lists(some.tuples(some.sampled_from("abc"), some.integers(0, 9)), max_size=400))
def test_whatever_is_set_each_queue_is_taken_once_at_the_time_that_was_set_last(sets: list[tuple[str, int]]) -> None:
    timers = Timers()
    for queue, at in sets:
        timers.set(queue, at)

    taken = [(at, queue) for at in range(10) for queue in timers.take(at, 99)]

    assert sorted(taken) == sorted((at, queue) for queue, at in dict(sets).items())
    assert not timers.queues


def test_what_can_be_no_name_of_a_queue_is_never_known() -> None:
    queues = KnownQueues(CELL, ["home"])

    assert queues.keys_of("no name") is None
    assert queues.learn(["no name", "new", "home"]) == {"new"}
    assert queues.keys_of("new") == queue_keys(CELL, "new")
    assert list(queues) == ["home", "new"]


def test_all_queues_are_forgotten_but_those_that_are_kept_and_those_at_home() -> None:
    queues = KnownQueues(CELL, ["home"])
    queues.learn(["kept", "gone"])

    queues.keep(["kept", "elsewhere"])

    assert set(queues) == {"home", "kept"}


def test_a_round_takes_each_once_before_it_begins_again() -> None:
    turn = Round(["a", "b", "c"])

    assert [turn.take(2) for _ in range(4)] == [["a", "b"], ["c"], ["a", "b"], ["c"]]


def test_a_round_passes_over_some_for_others_and_takes_none_where_there_is_no_room() -> None:
    turn = Round(["a", "b", "c", "d"])

    assert turn.take(-1) == turn.take(0) == []
    assert turn.take(2, but={"a", "c"}) == ["b", "d"]


def test_a_queue_that_comes_during_a_round_is_taken_in_the_next_one() -> None:
    queues = KnownQueues(CELL, ["a", "b"])
    turn = Round(queues)
    turn.take(1)
    queues.learn(["new"])

    assert turn.take(9) == ["b"]
    assert turn.take(9) == ["a", "b", "new"]
