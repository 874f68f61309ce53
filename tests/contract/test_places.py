"""The queue of a task is found by its id, by either client on each kind of server."""

from __future__ import annotations

from datetime import timedelta

import pytest

from redsched.model.errors import TaskInSeveralQueues
from tests.support.clients import Face


def test_a_task_is_found_whatever_its_queue_and_state(client: Face) -> None:
    client.enqueue("t", id="w", queue="q")
    client.enqueue("t", id="x", queue="other", delay="1h")
    [started] = client.start("q")
    client.settle(started, "complete", b'{"n": 1}')

    assert client.wait("w", timedelta(seconds=5)) == {"n": 1}
    assert (client.queue_of("w"), client.queue_of("x")) == ("q", "other")
    assert client.cancel(["x", "w", "nobody"]) == {"x": "cancelled", "w": "finished", "nobody": "missing"}
    assert client.drop(["w", "nobody", "x"]) == {"w": "dropped", "nobody": "missing", "x": "dropped"}


def test_an_id_of_two_queues_is_changed_in_none(client: Face) -> None:
    for queue in ("a", "b"):
        client.enqueue("t", id="two", queue=queue, delay="1h")
    with pytest.raises(TaskInSeveralQueues):
        client.cancel(["two"])
    assert client.task("two", queue="a").state == client.task("two", queue="b").state == "scheduled"
