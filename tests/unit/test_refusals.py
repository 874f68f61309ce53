"""Which errors of Redis stop one call only, and which stop all."""

from __future__ import annotations

import pytest

from redsched.engine.isolation import is_its_own
from redsched.model.errors import StoreBroken, StoreError, StoreRefused
from redsched.web.problems import of_error
from redsched.wire.redis_errors import Unanswered, Unreached, refusal, unavailable


@pytest.mark.parametrize("problem", ["ERR value is not an integer", "WRONGTYPE Operation against a key", "NOPERM key"])
def test_what_is_about_the_keys_of_a_call_stops_no_other_call(problem: str) -> None:
    error = refusal("claim", problem)

    assert isinstance(error, StoreError)
    assert is_its_own(error)


@pytest.mark.parametrize("problem", ["LOADING Redis is loading", "OOM command not allowed", "NOAUTH Authentication"])
def test_what_is_about_redis_itself_stops_all(problem: str) -> None:
    error = refusal("claim", problem)

    assert isinstance(error, StoreError)
    assert not isinstance(error, StoreRefused)
    assert not is_its_own(error)


def test_a_server_that_does_not_answer_stops_all() -> None:
    assert not is_its_own(unavailable("scan", Unanswered("no answer")))


def test_every_kind_of_refusal_stops_one_call_only() -> None:
    class Later(StoreRefused):
        """A kind that somebody adds later."""

    assert issubclass(StoreBroken, StoreRefused)
    assert is_its_own(Later("claim", "refused"))


def test_who_asks_over_http_is_not_told_the_address_of_redis() -> None:
    error = unavailable("enqueue", Unreached("refused.", "redis://me:***@inside:6379/0"))

    assert str(error) == (
        "enqueue: cannot reach Redis at redis://me:***@inside:6379/0 (refused); nothing was written. "
        "Set REDSCHED_REDIS_URL, or redis_url, if it is another Redis"
    )
    assert of_error(error).detail == "enqueue: refused.; nothing was written"
