"""The checker of histories, proven on histories that were made by hand: it finds each broken promise, and no other."""

from __future__ import annotations

from typing import Any

import pytest

from redsched.torture.checker import Report, check
from redsched.torture.history import Event

LEASE = 2_000
START_MS = 1_800_000_000_000


class Story:
    """A history in the order of its lines; the server's clock and the monotonic one go together."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def at(self, second: float, op: str, proc: str = "w1", **fields: Any) -> Story:
        """One event."""
        fields.setdefault("id", "t")
        if op == "claim":
            fields.setdefault("sent", second - 0.001)
            fields.setdefault("server_ms", START_MS + round(second * 1_000))
            fields.setdefault("due_ms", START_MS)
        if op in ("claim", "settle"):
            fields.setdefault("phase", "ok")
        self.events.append(Event(second, op, proc=proc, **fields))
        return self

    def submitted(self, **fields: Any) -> Story:
        """A task that was acknowledged at once."""
        self.at(0.0, "submit", "p", phase="invoke", **fields)
        return self.at(0.001, "submit", "p", phase="ok", word="created")

    def run(self, second: float, attempt: int = 1, proc: str = "w1", **claim: Any) -> Story:
        """A claim and the start of its handler."""
        token = f"{attempt}.{proc}"
        self.at(second, "claim", proc, token=token, attempt=attempt, **claim)
        return self.at(second + 0.001, "start", proc, token=token, attempt=attempt)

    def settled(
        self, second: float, word: str = "completed", attempt: int = 1, proc: str = "w1", asked: str = "complete"
    ) -> Story:
        """A settle and its answer."""
        self.at(second - 0.001, "settle", proc, phase="invoke", token=f"{attempt}.{proc}", asked=asked)
        return self.at(second, "settle", proc, word=word, token=f"{attempt}.{proc}", asked=asked, sent=second - 0.001)

    def ended(self, word: str = "completed", **known: Any) -> Report:
        """The verdict, with this as the final state."""
        self.at(100.0, "final", "nemesis", word=word)
        return check(self.events, lease_ms=LEASE, **known)

    def failover(self, second: float) -> Story:
        """A primary that dies, and is replaced half a second later."""
        return self.at(second, "fault", "nemesis", id="", word="failover", phase="loss", until=second + 0.5)


def rules(report: Report) -> list[str]:
    return [violation.rule for violation in report.violations]


def test_a_task_that_ran_once_keeps_every_promise() -> None:
    report = Story().submitted().run(1).settled(1.1).ended()

    assert (rules(report), report.submitted, report.executions, report.extra) == ([], 1, 1, 0)
    assert report.ok


@pytest.mark.parametrize("state", ["missing", "ready", "scheduled", "running", "completed"])
def test_an_acknowledged_task_that_never_ran_is_lost(state: str) -> None:
    assert rules(Story().submitted().ended(state)) == ["LOST"]


@pytest.mark.parametrize("state", ["cancelled", "expired"])
def test_a_task_that_was_called_off_need_not_run(state: str) -> None:
    assert rules(Story().submitted().ended(state)) == []


def test_a_task_whose_submit_had_no_answer_need_not_be_there() -> None:
    assert rules(Story().at(0, "submit", "p", phase="invoke").ended("missing")) == []


def test_what_a_known_loss_took_is_counted_and_no_violation() -> None:
    story = Story().submitted().at(5, "fault", "nemesis", id="", word="FLUSHALL", phase="loss", until=5.1)

    report = story.ended("missing")

    assert (rules(report), report.lost_to_loss) == ([], 1)


@pytest.mark.parametrize(("died", "found"), [(0.9, []), (1.2, ["LOST"])])
def test_what_a_failover_took_was_acknowledged_within_the_window_before_it(died: float, found: list[str]) -> None:
    report = Story().submitted().failover(died).ended("missing", loss_window_s=1.0)

    assert (rules(report), report.lost_to_loss) == (found, 1 - len(found))
    assert report.loss_window_s == (0 if found else pytest.approx(died - 0.001))


def test_what_was_acknowledged_after_a_failover_is_not_taken_by_it() -> None:
    story = Story().failover(-2).submitted()

    assert rules(story.ended("missing", loss_window_s=1.0)) == ["LOST"]


@pytest.mark.parametrize(("asked", "found"), [("memory", []), ("replicas:1", ["LOST"])])
def test_what_was_acknowledged_by_replicas_no_failover_takes(asked: str, found: list[str]) -> None:
    story = Story().at(0.0, "submit", "p", phase="invoke").at(0.001, "submit", "p", phase="ok", asked=asked)

    report = story.failover(0.1).ended("missing", loss_window_s=1.0, lasting="replicas:1")

    assert (rules(report), report.lost_by_durability) == (found, {} if found else {"memory": 1})


@pytest.mark.parametrize(("died", "found"), [(1.2, []), (3.0, ["UNEXPLAINED", "DOUBLE-ACK"])])
def test_a_completion_is_rolled_back_only_within_the_window(died: float, found: list[str]) -> None:
    story = Story().submitted().run(1).settled(1.1).failover(died).run(3.6, 2, "w2").settled(3.7, 1, "w2")

    report = story.settled(3.7, attempt=2, proc="w2").ended(loss_window_s=1.0)

    assert set(rules(report)) == set(found)


@pytest.mark.parametrize(("died", "found"), [(1.2, []), (3.0, ["CANCEL"])])
def test_a_cancel_is_rolled_back_only_within_the_window(died: float, found: list[str]) -> None:
    story = Story().submitted().at(1.0, "cancel", "p", phase="ok", word="cancelled").failover(died)

    assert rules(story.run(3.6).settled(3.7).ended(loss_window_s=1.0)) == found


def test_a_run_that_nobody_submitted_is_a_ghost() -> None:
    assert rules(Story().run(1).settled(1.1).ended()) == ["GHOST"]


def test_a_claim_before_the_due_time_is_early() -> None:
    early = {"server_ms": START_MS + 999, "due_ms": START_MS + 1_000}

    assert rules(Story().submitted().run(1, **early).settled(1.1).ended()) == ["EARLY"]


def test_the_due_time_that_the_producer_asked_for_counts_whatever_the_server_says() -> None:
    assert rules(Story().submitted(due_ms=START_MS + 5_000).run(1).settled(1.1).ended()) == ["EARLY"]


def test_a_clock_that_went_back_excuses_no_more_than_its_step() -> None:
    def story(early_ms: int) -> Report:
        back = {"id": "", "word": "clock back", "until": 0.6, "server_ms": 60_000}
        late = {"server_ms": START_MS, "due_ms": START_MS + early_ms}
        return Story().submitted().at(0.5, "fault", "nemesis", **back).run(1, **late).settled(1.1).ended()

    assert rules(story(59_000)) == []
    assert rules(story(61_000)) == ["EARLY"]


def test_a_strobe_excuses_no_more_than_it_fell_behind() -> None:
    def story(early_ms: int) -> Report:
        made = Story().submitted()
        for at in range(20):
            step = {"word": "clock forward" if at % 2 else "clock back", "server_ms": 3_000}
            made.at(0.5 + at / 100, "fault", "nemesis", id="", **step)
        return made.run(1, server_ms=START_MS, due_ms=START_MS + early_ms).settled(1.1).ended()

    assert rules(story(2_900)) == []
    assert rules(story(3_100)) == ["EARLY"]


def test_a_fault_of_a_role_explains_the_runs_of_all_its_processes_and_of_no_other() -> None:
    def story(proc: str) -> Story:
        cut = {"id": "worker", "word": "workers cut off", "until": 4.0}
        made = Story().submitted().run(1, 1, proc).at(1.5, "fault", "nemesis", **cut)
        return made.run(3.6, 2, "w2").settled(3.7, attempt=2, proc="w2")

    assert rules(story("worker-3").ended()) == []
    assert rules(story("other-3").ended()) == ["UNEXPLAINED"]


def test_a_second_run_without_a_fault_is_unexplained() -> None:
    assert rules(Story().submitted().run(1).run(2, 2, "w2").settled(2.1, attempt=2, proc="w2").ended()) == [
        "UNEXPLAINED"
    ]


@pytest.mark.parametrize(("word", "until"), [("kill", 0.0), ("pause", 4.0)])
def test_a_second_run_after_a_fault_of_the_first_ones_process_is_explained(word: str, until: float) -> None:
    story = Story().submitted().run(1).at(1.5, "fault", "nemesis", id="w1", word=word, until=until)

    report = story.run(3.6, 2, "w2").settled(3.7, attempt=2, proc="w2").ended()

    assert (rules(report), report.extra) == ([], 1)


def test_a_fault_of_another_process_explains_nothing() -> None:
    story = Story().submitted().run(1).at(1.5, "fault", "nemesis", id="w9", word="kill")

    assert rules(story.run(3.6, 2, "w2").settled(3.7, attempt=2, proc="w2").ended()) == ["UNEXPLAINED"]


def test_a_fault_that_was_over_before_the_claim_explains_nothing() -> None:
    story = Story().submitted().at(0.1, "fault", "nemesis", id="w1", word="pause", until=0.5)

    assert rules(story.run(1).run(3.6, 2, "w2").settled(3.7, attempt=2, proc="w2").ended()) == ["UNEXPLAINED"]


def test_a_run_after_the_task_was_completed_is_unexplained_even_after_a_kill() -> None:
    story = Story().submitted().run(1).settled(1.1).at(1.5, "fault", "nemesis", id="w1", word="kill")

    assert "UNEXPLAINED" in rules(story.run(3.6, 2, "w2").ended())


@pytest.mark.parametrize("word", ["scheduled", "already", "lost"])
def test_a_run_that_the_task_itself_asked_for_is_none_too_many(word: str) -> None:
    story = Story().submitted().run(1).settled(1.1, word, asked="retry")

    report = story.run(1.2, 2, "w2").settled(1.3, attempt=2, proc="w2").ended()

    assert (rules(report), report.again, report.extra) == ([], 1, 0)


@pytest.mark.parametrize(("asked", "found"), [("snooze", []), ("complete", ["UNEXPLAINED"])])
def test_a_settle_without_an_answer_counts_by_what_it_asked_for(asked: str, found: list[str]) -> None:
    story = Story().submitted().run(1).at(1.1, "settle", "w1", phase="invoke", token="1.w1", asked=asked)

    assert rules(story.run(1.2, 2, "w2").settled(1.3, attempt=2, proc="w2").ended()) == found


def test_one_token_that_starts_twice_is_unexplained() -> None:
    story = Story().submitted().run(1)

    assert rules(story.at(1.2, "start", "w1", token="1.w1", attempt=1).settled(1.3).ended()) == ["UNEXPLAINED"]


def test_two_accepted_answers_are_a_double_ack() -> None:
    story = Story().submitted().run(1).at(1.5, "fault", "nemesis", id="w1", word="pause", until=4)
    story.run(3.6, 2, "w2").settled(3.7, attempt=2, proc="w2").settled(4.1)

    assert "DOUBLE-ACK" in rules(story.ended())


def test_an_answer_that_was_refused_is_no_double_ack() -> None:
    story = Story().submitted().run(1).at(1.5, "fault", "nemesis", id="w1", word="pause", until=4)
    story.run(3.6, 2, "w2").settled(3.7, attempt=2, proc="w2").settled(4.1, "lost")

    assert rules(story.ended()) == []


def test_the_same_token_accepted_twice_is_a_double_ack() -> None:
    assert rules(Story().submitted().run(1).settled(1.1).settled(1.2).ended()) == ["DOUBLE-ACK"]


def test_a_claim_after_cancelled_breaks_the_promise_of_cancel() -> None:
    story = Story().submitted().at(0.5, "cancel", "p", phase="ok", word="cancelled")

    assert rules(story.run(1).settled(1.1).ended()) == ["CANCEL"]


def test_a_claim_after_requested_does_not() -> None:
    story = Story().submitted().at(0.5, "cancel", "p", phase="ok", word="requested")

    assert rules(story.run(1).settled(1.1).ended()) == []


def test_a_claim_past_the_start_by_breaks_the_promise_of_expiry() -> None:
    assert rules(Story().submitted().run(1, expires_ms=START_MS + 1_000).settled(1.1).ended()) == ["EXPIRED"]


def test_a_dead_task_is_told_of() -> None:
    assert rules(Story().submitted().run(1).settled(1.1, "dead", asked="retry").ended("dead")) == ["DEAD"]


@pytest.mark.parametrize(("second", "in_time"), [(3.4, True), (3.6, False)])
def test_recovery_after_a_kill_is_measured_against_the_lease(second: float, in_time: bool) -> None:
    story = Story().submitted().run(1).at(1, "fault", "nemesis", id="w1", word="kill")

    report = story.run(second, 2, "w2", due_ms=START_MS + 3_000).settled(second + 0.1, attempt=2, proc="w2").ended()

    assert report.recovery_ms == [pytest.approx((second - 1) * 1_000, abs=2)]
    assert report.recovered_in_time is in_time


def test_a_recovery_that_shares_its_time_with_a_fault_of_all_is_left_out_and_counted() -> None:
    story = Story().submitted().run(1).at(1, "fault", "nemesis", id="w1", word="kill")
    story.at(2, "fault", "nemesis", id="", word="kill redis", until=3)

    report = story.run(5, 2, "w2").settled(5.1, attempt=2, proc="w2").ended()

    assert (report.recovery_ms, report.recoveries_left_out) == ([], 1)
