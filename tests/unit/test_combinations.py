"""What tests/support/combinations.py leaves out leaves each case on each server, and under each build."""

from __future__ import annotations

from collections import Counter

from tests.support.combinations import BUILDS, EVERY, SERVERS, chosen

CASES = [f"tests/lua/test_it.py::test_{number}[-{number % 7}]" for number in range(600)]


def test_each_case_runs_on_each_server_and_under_each_build() -> None:
    for case in CASES:
        pairs = [pair.split("-") for pair in chosen(case)]

        assert {server for server, _ in pairs} == set(SERVERS)
        assert {build for _, build in pairs} == set(BUILDS)
        assert len(pairs) < len(EVERY)


def test_each_pair_of_server_and_build_has_its_share_of_the_cases() -> None:
    shares = Counter(pair for case in CASES for pair in chosen(case))

    assert shares.keys() == EVERY
    assert min(shares.values()) > len(CASES) / 5


def test_where_memory_is_full_every_pair_has_every_case() -> None:
    assert chosen("tests/lua/test_full.py::test_a[]") == EVERY
