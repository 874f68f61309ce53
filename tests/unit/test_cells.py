"""Cells: where keys and tasks live."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import pytest

from redsched.wire.cells import SLOTS, Cell, _crc16, home, slot, tag
from redsched.wire.ids import new_ids, uuid7_hex


def test_the_checksum_is_the_one_of_the_cluster_specification() -> None:
    assert _crc16(b"123456789") == 0x31C3
    assert slot("foo") == 12_182  # CLUSTER KEYSLOT foo


def test_the_tags_are_those_of_the_contract() -> None:
    assert [tag("rs", index) for index in range(5)] == ["rs", "rs.hzm", "rs.7ja", "rs.hko", "rs.33f"]
    assert Cell("rs", 3).tag == "rs.hko"


@pytest.mark.parametrize("namespace", ["rs", "prod"])
def test_the_cells_of_a_deployment_are_as_far_apart_as_can_be(namespace: str) -> None:
    for cells in (2, 4, 8):
        slots = sorted(slot(tag(namespace, index)) for index in range(cells))
        assert [b - a for a, b in pairwise(slots)] == [SLOTS // cells] * (cells - 1)


def test_a_tag_stays_when_the_number_of_cells_doubles() -> None:
    """A tag does not depend on how many cells there are; doubling adds tags in the middle of the gaps."""
    few, many = [[tag("rs", index) for index in range(cells)] for cells in (4, 8)]

    assert many[:4] == few
    assert len(set(many)) == 8


def test_a_cell_that_cannot_be_is_refused() -> None:
    for index in (-1, SLOTS):
        with pytest.raises(ValueError, match="outside"):
            tag("rs", index)


def test_what_shares_a_beginning_shares_a_cell() -> None:
    assert {home(f"order-42{rest}", 64) for rest in ("", ":remind", ":receipt:2")} == {home("order-42", 64)}
    assert set(Counter(home(f"order-{n}", 8) for n in range(400))) == set(range(8))


@pytest.mark.parametrize("cell", [0, 1, 35, 36, 4_095])
def test_an_id_made_here_names_its_cell(cell: int) -> None:
    ids = new_ids(3, cell)

    assert [home(task_id, 4_096) for task_id in ids] == [cell] * 3
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"[0-9a-z]{1,3}-[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", task_id) for task_id in ids)


def test_there_is_one_home_while_there_is_one_cell() -> None:
    assert {home(task_id, 1) for task_id in ("a", "b:c", *new_ids(5))} == {0}


def test_ids_sort_by_the_time_at_which_they_were_made() -> None:
    assert uuid7_hex(1, 2**80 - 1) < uuid7_hex(2, 0)
    assert uuid7_hex(0x0123456789AB, 0) == "0123456789ab70008000000000000000"
