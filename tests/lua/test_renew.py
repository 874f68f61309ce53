"""renew: which leases go on, and which are somebody else's."""

from __future__ import annotations

import msgspec
import pytest

from redsched.wire import protocol
from redsched.wire.claims import Started
from tests.support.lua_queue import HOUR, LEASE, NOW, Queue


def renew(queue: Queue, *claims: Started, lease_ms: int = LEASE, now: int = NOW + 10_000) -> list[str]:
    """The words for these claims."""
    return queue.send(protocol.renew(queue.cell, claims, lease_ms=lease_ms), now=now)


def test_a_renewed_lease_ends_later_and_nothing_else_changes(queue: Queue) -> None:
    started = queue.running("a")
    before = queue.task("a")

    assert renew(queue, started) == ["renewed"]

    assert queue.places() == {"running": {"a": NOW + 10_000 + LEASE}}
    assert queue.task("a") == before


def test_a_task_that_was_asked_to_stop_is_renewed_and_told(queue: Queue) -> None:
    started = queue.running("a")
    queue.send(protocol.cancel(queue.keys, ["a"]))

    assert renew(queue, started) == ["cancel"]

    assert queue.places() == {"running": {"a": NOW + 10_000 + LEASE}}


def test_a_claim_is_told_to_have_begun(queue: Queue) -> None:
    started, waits = queue.running("a"), queue.running("b")
    before = queue.task("a")

    call = protocol.renew(queue.cell, [waits], begun=[started], lease_ms=LEASE)
    assert queue.send(call, now=NOW + 10_000) == ["renewed", "renewed"]

    assert queue.places() == {"running": {"a": NOW + 10_000 + LEASE, "b": NOW + 10_000 + LEASE}}
    assert queue.task("a") == before | {"begun": started.token}
    assert "begun" not in queue.task("b")


def test_one_that_has_begun_is_told_to_stop(queue: Queue) -> None:
    started = queue.running("a")
    queue.send(protocol.cancel(queue.keys, ["a"]))

    assert queue.begin(started) == "cancel"


def test_what_a_claim_left_of_its_begin_goes_with_its_payload(queue: Queue) -> None:
    started = queue.running("a", crashes="1 1")
    queue.begin(started)

    queue.settle(started, "complete")

    assert not {"begun", "crashes"} & queue.task("a").keys()


def test_a_lease_that_ended_but_was_not_taken_back_goes_on(queue: Queue) -> None:
    started = queue.running("a")

    assert renew(queue, started, now=NOW + 2 * LEASE) == ["renewed"]

    assert queue.reap(now=NOW + 2 * LEASE).moved == 0


def test_claims_that_are_not_the_workers_any_more_are_lost(queue: Queue) -> None:
    settled, reaped, gone = queue.running("settled"), queue.running("reaped"), queue.running("gone", retention_ms=0)
    queue.settle(settled, "complete")
    queue.settle(gone, "complete")
    queue.reap(now=NOW + LEASE)
    queue.now = NOW + HOUR
    queue.promote()
    (again,) = queue.claim(consumer="other").tasks
    before = queue.dump()

    bad_id = msgspec.structs.replace(again, id="a b")
    assert renew(queue, settled, reaped, gone, bad_id, msgspec.structs.replace(again, token="")) == ["lost"] * 5
    assert [queue.begin(claim) for claim in (settled, reaped, gone, bad_id)] == ["lost"] * 4
    assert queue.begin(msgspec.structs.replace(again, token="")) == "lost"

    assert queue.dump() == before


def test_one_call_renews_claims_of_several_queues(queue: Queue) -> None:
    other = queue.other("r")
    a, b = queue.running("a"), other.running("b")

    assert renew(queue, b, a) == ["renewed", "renewed"]

    assert queue.places() == {"running": {"a": NOW + 10_000 + LEASE}}
    assert other.places() == {"running": {"b": NOW + 10_000 + LEASE}}


@pytest.mark.parametrize(("asked", "given"), [(0, 1_000), (HOUR + 1, HOUR)])
def test_a_lease_is_kept_within_a_second_and_an_hour(queue: Queue, asked: int, given: int) -> None:
    renew(queue, queue.running("a"), lease_ms=asked, now=NOW)

    assert queue.places() == {"running": {"a": NOW + given}}


def test_a_thousand_leases_go_on_in_one_call(real_queue: Queue) -> None:
    real_queue.enqueue(*((f"t{number}", 0, {}) for number in range(1_000)))

    started = [one for _ in range(4) for one in real_queue.claim(1_000).tasks]
    assert renew(real_queue, *started) == ["renewed"] * 1_000
