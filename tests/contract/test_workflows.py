"""Chains and groups of which a task is not made: both clients say which, and nobody runs who should not."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from redsched import Task, TaskConflict, TaskNotFound, WorkflowIncomplete
from redsched.steps import family
from redsched.wire import protocol
from redsched.wire.cells import Cell
from redsched.wire.keys import CellKeys
from tests.support.clients import Face

UNIQUE = {"unique": {"key": "u"}}


def task(task_id: str, **more: object) -> Task:
    """A task of a workflow."""
    return Task(type="t", id=task_id, **more)  # type: ignore[arg-type]


def look(client: Face, task_id: str) -> Any:
    """What is known of a task."""
    return client.show(task_id)[task_id]


def hold_the_key(client: Face) -> None:
    """A task that has the unique key and does not end."""
    client.enqueue("t", id="holder", conditions=UNIQUE, delay="1h")


def test_a_chain_whose_first_task_is_rejected_is_told_and_does_not_run(client: Face) -> None:
    hold_the_key(client)

    with pytest.raises(WorkflowIncomplete, match=r"'a' \(rejected\); the other 2 are stored") as told:
        client.chain([task("a", conditions=UNIQUE), task("b"), task("c")])

    assert [(one.id, one.status, one.other) for one in told.value.missing] == [("a", "rejected", "holder")]
    assert [(one.id, one.status) for one in told.value.made] == [("b", "created"), ("c", "created")]
    assert client.start() == []
    assert look(client, "b").reason == "after default/a rejected"


@pytest.mark.parametrize("at", range(3))
def test_a_chain_in_conflict_is_not_made_at_all(client: Face, at: int) -> None:
    client.enqueue("t", "other", id="abc"[at], delay="1h")

    with pytest.raises(TaskConflict):
        client.chain([task(name) for name in "abc"])

    assert [look(client, name) is None for name in "abc" if name != "abc"[at]] == [True, True]


def test_a_conflict_in_a_chain_of_which_a_part_is_there_names_what_is_missing(client: Face) -> None:
    client.enqueue("t", id="a", delay="1h")
    client.enqueue("t", "other", id="c", delay="1h")

    with pytest.raises(WorkflowIncomplete) as told:
        client.chain([task(name) for name in "abc"])

    assert [(one.id, one.status) for one in told.value.missing] == [("b", "refused"), ("c", "conflict")]
    assert [(one.id, one.status) for one in told.value.made] == [("a", "existing")]


def test_a_chain_of_several_calls_ends_with_the_call_that_cannot_be_made(client: Face) -> None:
    client.enqueue("t", "other", id="t1002", delay="1h")

    with pytest.raises(WorkflowIncomplete, match=r"not made: 't1000' \(refused\).*; the other 1000 are stored") as told:
        client.chain([task("t0", delay="1h"), *(task(f"t{at}") for at in range(1, 2_500))])

    assert [one.id for one in told.value.missing] == [f"t{at}" for at in range(1_000, 2_500)]


def test_a_group_without_one_of_its_tasks_waits_for_the_others(client: Face) -> None:
    hold_the_key(client)

    with pytest.raises(WorkflowIncomplete):
        client.group([task("a", conditions=UNIQUE), task("b")], task("join"), on="either")

    assert [one.id for one in client.start()] == ["b"]
    assert look(client, "join").state == "held"


@pytest.mark.parametrize("which", [3, 530])
def test_a_large_group_without_one_of_its_tasks_is_not_joined(client: Face, which: int) -> None:
    hold_the_key(client)
    tasks = [task(f"t{at}", conditions=UNIQUE if at == which else None, delay="1h") for at in range(700)]

    with pytest.raises(WorkflowIncomplete) as told:
        client.group(tasks, task("join"), on="either", otherwise="run")

    made = 500 if which == 3 else 600
    assert [one.id for one in told.value.missing] == [f"t{which}", *(f"t{at}" for at in range(made, 700))]
    assert [one.id for one in told.value.made][-1] == "join"
    assert (look(client, "join").state, look(client, "join").reason) == ("cancelled", "abandoned")


def told(client: Face, *given: str) -> tuple[int, int, int]:
    """Cancel the workflow of a task: how many were cancelled, asked to stop, had ended."""
    done = client.cancel_workflow(*given)
    return done.cancelled, done.requested, done.ended


@pytest.mark.parametrize("named", "abc")
def test_a_chain_is_cancelled_as_a_whole_by_any_of_its_tasks(client: Face, named: str) -> None:
    client.chain([task("a"), task("b"), task("c")])
    (started,) = client.start()

    assert told(client, named) == (2, 1, 0)
    assert [look(client, name).state for name in "abc"] == ["running", "cancelled", "cancelled"]
    assert look(client, "a").cancel_requested
    assert client.settle(started, "complete") == "completed"
    assert told(client, named) == (2, 0, 1)


@pytest.mark.parametrize("otherwise", ["cancel", "skip", "run", "wait"])
def test_no_task_starts_because_those_before_it_are_cancelled(client: Face, otherwise: str) -> None:
    cell = Cell(client.client.settings.namespace)
    client.chain([task("a", delay="1h"), task("b", queue="two"), task("c")], otherwise=otherwise)
    steps, reply = family.cancel(cell, "two", "b", ""), None
    started: list[str] = []

    with contextlib.suppress(StopIteration):
        while True:
            reply = client.send(steps.send(reply))
            client.send(protocol.attend(CellKeys(cell), 100))  # the mover tells the tasks that come after others
            started += [one.id for queue in ("two", "default") for one in client.start(queue)]

    assert started == []
    assert look(client, "c").state == look(client, "a").state == "cancelled"


def test_a_group_is_cancelled_with_what_comes_after_it(client: Face) -> None:
    client.group([task(f"g{n}", delay="1h") for n in range(60)], task("then"))
    client.enqueue("t", id="last", after={"ids": ["then"], "on": "either"})

    assert told(client, "g7") == (62, 0, 0)
    assert client.start() == []
    assert {view.state for view in client.show(["g0", "g59", "then", "last"]).values()} == {"cancelled"}
    assert look(client, "last").reason == look(client, "g0").reason == "cancelled"


def test_a_workflow_over_several_queues_is_cancelled_and_what_is_not_tied_to_it_stays(client: Face) -> None:
    client.chain([task("a", queue="one"), task("b", queue="two"), task("c", queue="one")])
    client.enqueue("t", id="b", queue="one", delay="1h")

    assert client.cancel_workflow("b", queue="two", reason="order gone").cancelled == 3
    assert client.show("c", queue="one")["c"].reason == "order gone"
    assert client.show("b", queue="one")["b"].state == "scheduled"


def test_a_workflow_of_a_task_that_nobody_knows_is_not_found(client: Face) -> None:
    with pytest.raises(TaskNotFound):
        client.cancel_workflow("gone")
