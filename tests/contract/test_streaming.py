"""A list of tasks that is longer than a call: each task is created once, though its producer is killed on the way."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from redsched import InvalidTask, Streamed, Task
from tests.support.clients import Face
from tests.support.servers import Store

COUNT = 600
PRODUCER = """
import sys
from redsched import Client, Task
url, namespace, count, doing = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
tasks = (Task(type="t", payload=n, retention="0s") for n in range(count))
with Client(url, namespace=namespace) as client:
    done = client.enqueue_stream(tasks, run="r", batch=7, spread="1h" if doing == "spread" else "0s",
                                 progress=lambda told: print(told.at, flush=True))
print("done", done.at, flush=True)
"""


def listed(count: int, **fields: Any) -> Iterator[Task]:
    return (Task(type="t", payload=at, **fields) for at in range(count))


def all_of(client: Face, queue: str = "default") -> list[int]:
    """The payloads of all tasks that wait to start; each is taken away."""
    found: list[int] = []
    while claimed := client.start(queue, count=500):
        found += (int(one.payload) for one in claimed)
        for one in claimed:
            client.settle(one, "complete")
    return found


def test_a_list_is_created_in_parts_with_progress(client: Face) -> None:
    told: list[Streamed] = []

    done = client.enqueue_stream(listed(25), run="r", batch=10, progress=told.append)

    assert [one.at for one in told] == [10, 20, 25]
    assert (done.at, done.resumed_at, done.answers) == (25, 0, {"created": 25})
    assert sorted(all_of(client)) == list(range(25))
    assert client.enqueue_stream([], run="empty").at == 0


@pytest.mark.parametrize("batch", [1, 3, 10, 1_000])
def test_a_list_that_breaks_off_goes_on_where_it_stopped(client: Face, batch: int) -> None:
    def breaks_off() -> Iterator[Task]:
        yield from listed(17)
        raise OSError("the file is gone")

    with pytest.raises(OSError, match="the file is gone"):
        client.enqueue_stream(breaks_off(), run="r", batch=batch)
    done = client.enqueue_stream(listed(25), run="r", batch=batch)

    assert (done.at, done.resumed_at, done.answers) == (25, 17 // batch * batch, {"created": 25 - 17 // batch * batch})
    assert sorted(all_of(client)) == list(range(25))
    assert client.enqueue_stream(listed(25), run="r").answers == {}


def test_what_is_forgotten_by_now_is_not_created_again(client: Face) -> None:
    client.enqueue_stream(listed(20, retention="0s"), run="r", batch=10)
    assert len(all_of(client)) == 20

    done = client.enqueue_stream(listed(30, retention="0s"), run="r", batch=10)

    assert done.answers == {"created": 10}
    assert sorted(all_of(client)) == list(range(20, 30))


def test_ids_are_those_of_the_run_or_of_the_task(client: Face) -> None:
    client.enqueue_stream([Task(type="t"), Task(type="t", id="own"), Task(type="t")], run="2027-01")

    assert [view is not None for view in client.show(["2027-01.0", "own", "2027-01.2"]).values()] == [True] * 3


@pytest.mark.parametrize("batch", [2, 3, 1])
def test_an_id_that_a_list_has_twice_is_no_second_task_and_is_told(client: Face, batch: int) -> None:
    twice = [Task(type="t", id=name, payload=n) for name, n in (("a", 1), ("b", 2), ("a", 1), ("b", 3))]

    done = client.enqueue_stream(twice, run="r", batch=batch)

    assert done.answers == {"created": 2, "existing": 1, "conflict": 1}
    assert sorted(all_of(client)) == [1, 2]


def test_two_runs_do_not_know_of_each_other(client: Face) -> None:
    for run in ("a", "b"):
        assert client.enqueue_stream(listed(5), run=run).answers == {"created": 5}


@pytest.mark.parametrize("count", [10, 1_000])
def test_due_times_lie_evenly_over_the_spread_however_long_the_list_is(client: Face, store: Store, count: int) -> None:
    before = store.now_ms()
    client.enqueue_stream(listed(count), run="r", spread="2h")

    scores = sorted(score for _, score in store.redis.zrange(store.key("due:default"), 0, -1, withscores=True))
    scores = [before + 0.0] * (count - len(scores)) + scores  # the first is due at once
    gaps = [later - earlier for earlier, later in pairwise(scores)]
    assert max(gaps) < 3 * 7_200_000 / count
    assert before + 7_200_000 * (1 - 3 / count) <= scores[-1] <= store.now_ms() + 7_200_000


def test_a_task_that_cannot_be_used_is_named_by_its_number(client: Face) -> None:
    with pytest.raises(InvalidTask) as refused:
        client.enqueue_stream([*listed(12), Task(type="no type")], run="r", batch=5)

    assert (refused.value.index, refused.value.field) == (12, "type")
    assert refused.value.written == 10
    assert "the first 10 tasks of the list were written before" in str(refused.value)
    assert "nothing was written" not in str(refused.value)
    done = client.enqueue_stream([*listed(12), Task(type="t", payload=12)], run="r", batch=5)  # it is mended
    assert (done.at, done.resumed_at) == (13, 10)
    assert sorted(all_of(client)) == list(range(13))
    with pytest.raises(InvalidTask, match=r"tasks\[0\].type: .* nothing was written"):
        client.enqueue_stream([Task(type="no type")], run="first")
    with pytest.raises(InvalidTask, match="takes the place of due and delay"):
        client.enqueue_stream(listed(3, delay="5s"), run="s", spread="1h")


@pytest.mark.parametrize("within", ["1h", "2h"])
def test_a_start_by_must_reach_beyond_the_last_due_time_of_a_spread(client: Face, store: Store, within: str) -> None:
    with pytest.raises(InvalidTask, match=r"tasks\[0\].expires_in: must reach beyond the due time") as refused:
        client.enqueue_stream(listed(3, expires_in=within), run="s", spread="2h")
    assert (refused.value.index, refused.value.field) == (0, "expires_in")
    with pytest.raises(InvalidTask, match=r"tasks\[0\].expires_at: must reach beyond the due time"):
        client.enqueue_stream(listed(3, expires_at=store.now_ms() + 3_600_000), run="s", spread="2h")
    assert all_of(client) == []

    assert client.enqueue_stream(listed(3, expires_in="121m"), run="s", spread="2h").answers == {"created": 3}


def test_a_later_part_of_a_list_names_the_start_by_that_the_server_refuses(client: Face) -> None:
    late = Task(type="t", due=4_000_000_000_000 - 1, expires_in="1h")

    with pytest.raises(InvalidTask) as refused:
        client.enqueue_stream([*listed(7, expires_in="1h"), late], run="s", batch=5)

    assert (refused.value.index, refused.value.field) == (7, "expires_in")


def test_what_a_strict_client_refuses_is_named_by_its_number(client: Face) -> None:
    client.known_types.strict = True

    with pytest.raises(InvalidTask, match=r"tasks\[0\].type: 't' is a type that no worker has put"):
        client.enqueue_stream(listed(3), run="r")


@pytest.mark.parametrize("batch", [1, 5, 200])
@pytest.mark.parametrize("thing", [1, None, {"type": "t"}, "t", len])
def test_what_is_no_task_is_named_by_its_number(client: Face, thing: Any, batch: int) -> None:
    with pytest.raises(InvalidTask, match=r"tasks\[7\]: .* is no Task; give Task\(type=") as refused:
        client.enqueue_stream([*listed(7), thing], run="r", batch=batch)
    assert (refused.value.index, refused.value.written) == (7, 7 // batch * batch)
    with pytest.raises(InvalidTask, match=r"tasks\[1\]: .* is no Task; .*nothing was written"):
        client.enqueue_many([Task(type="t"), thing])


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("abc", "a text of 3 characters"),
        ("", "a text of 0 characters"),
        (b"abc", "3 bytes"),
        ({"type": "t"}, "an object of 1"),
        (Task(type="t"), "a Task"),
        (5, "a number"),
        (None, "null"),
        (listed, "a function"),
    ],
)
def test_what_is_no_list_is_refused_as_a_whole(client: Face, given: Any, kind: str) -> None:
    with pytest.raises(InvalidTask) as refused:
        client.enqueue_stream(given, run="r")

    assert str(refused.value) == (
        f"tasks: {kind} is no list of Tasks; give an iterable of Task(type=..., payload=...); nothing was written"
    )
    assert refused.value.index is None


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ([Task(type="t", payload=at) for at in (9, 1, 2, 3, 4, 5)], "its first task is another"),
        ([Task(type="t", payload=at) for at in (0, 1, 2, 9, 4, 5)], "its task 3 is another, counted from 0"),
        ([Task(type="t", payload=at) for at in (0, 1)], "this list has 2 tasks, and an earlier call created 4"),
        ([Task(type="t", id=f"own-{at}") for at in range(6)], "its first task is another"),
        ([], "this list has 0 tasks, and an earlier call created 4"),
    ],
)
def test_a_run_does_not_go_on_with_another_list(client: Face, other: list[Task], problem: str) -> None:
    client.enqueue_stream(listed(4), run="r", batch=3)

    with pytest.raises(InvalidTask, match=f"run: is that of another list: {problem}; give each list") as refused:
        client.enqueue_stream(other, run="r")

    assert (refused.value.index, refused.value.field) == (None, "run")
    assert "nothing was written" in str(refused.value)
    assert sorted(all_of(client)) == [0, 1, 2, 3]


def test_a_list_is_known_again_by_its_ids_and_however_its_sets_are_ordered(client: Face) -> None:
    client.enqueue_stream([Task(type="t", id=f"own-{at}", payload="one") for at in range(3)], run="ids")
    done = client.enqueue_stream([Task(type="t", id=f"own-{at}", payload="two") for at in range(4)], run="ids")
    assert done.answers == {"created": 1}

    members = [f"member {at}" for at in range(50)]
    client.enqueue_stream([Task(type="t", payload=dict.fromkeys(members))], run="order")
    assert client.enqueue_stream([Task(type="t", payload=dict.fromkeys(reversed(members)))], run="order").at == 1


def test_two_lists_that_begin_a_run_at_once_are_told_apart(client: Face) -> None:
    def late() -> Iterator[Task]:
        yield Task(type="t", payload="late")
        client.enqueue_stream(listed(3), run="r")
        yield Task(type="t", payload="later")

    if client._runner is None:  # one event loop cannot do both at once
        with pytest.raises(InvalidTask, match="run: is that of another list: its first task is another"):
            client.enqueue_stream(late(), run="r")
        assert sorted(all_of(client)) == [0, 1, 2]


def test_payloads_that_are_too_much_for_one_call_take_several(client: Face) -> None:
    tasks = [Task(type="t", payload="x" * 200_000) for _ in range(25)]

    assert client.enqueue_stream(tasks, run="r").answers == {"created": 25}


def test_two_producers_of_one_run_share_the_work(client: Face) -> None:
    seen: list[Streamed] = []

    def other(told: Streamed) -> None:
        if not seen:
            seen.append(told)
            client.enqueue_stream(listed(30), run="r", batch=4)

    if client._runner is None:  # one event loop cannot do both at once
        client.enqueue_stream(listed(30), run="r", batch=5, progress=other)
        assert sorted(all_of(client)) == list(range(30))


@pytest.mark.parametrize("doing", ["now", "spread"])
def test_each_task_is_created_once_though_the_producer_is_killed_again_and_again(
    valkey_store: Store, connect: Any, doing: str
) -> None:
    client: Face = connect(valkey_store)
    command = [sys.executable, "-c", PRODUCER, valkey_store.url, valkey_store.namespace, str(COUNT), doing]
    chance, found, kills = random.Random(5), Counter[int](), 0

    while True:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(chance.randint(1, 20))]
        if any(line.startswith("done") for line in told) or not told[-1]:
            process.communicate()
            break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        if doing == "now":
            found.update(all_of(client))  # and forgotten at once: their ids cannot be known any more

    if doing == "spread":
        due_already = len(all_of(client))
        assert due_already + valkey_store.redis.zcard(valkey_store.key("due:default")) == COUNT
    else:
        found.update(all_of(client))
        assert found == Counter(range(COUNT))
    assert kills > 0
