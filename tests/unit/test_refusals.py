"""Which errors of Redis stop one call only, and which stop all."""

from __future__ import annotations

import pytest

from redsched.engine.isolation import is_its_own
from redsched.model.errors import StoreBroken, StoreError, StoreRefused
from redsched.wire.redis_errors import refusal, unavailable


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
    assert not is_its_own(unavailable("scan", "no answer"))


def test_every_kind_of_refusal_stops_one_call_only() -> None:
    class Later(StoreRefused):
        """A kind that somebody adds later."""

    assert issubclass(StoreBroken, StoreRefused)
    assert is_its_own(Later("claim", "refused"))
