"""Key names, as lua/README.md promises them to other languages."""

from __future__ import annotations

import re
from pathlib import Path

from redsched.wire.cells import Cell, slot
from redsched.wire.keys import CellKeys, queue_keys

CONTRACT = (Path(__file__).parents[2] / "lua" / "README.md").read_text(encoding="utf-8")


def test_the_keys_of_a_queue_are_those_of_the_contract() -> None:
    keys = queue_keys(Cell("rs"), "otp")

    assert keys.due == "{rs}:due:otp"
    assert [keys.stream(priority) for priority in ("high", "normal", "low")] == [
        "{rs}:ready:otp:high",
        "{rs}:ready:otp",
        "{rs}:ready:otp:low",
    ]
    assert (keys.task("42:a"), keys.outcome("42:a")) == ("{rs}:task:otp:42:a", "{rs}:outcome:otp:42:a")
    assert keys.index("running") == "{rs}:running:otp"


def test_the_keys_of_a_cell_are_those_of_the_contract() -> None:
    keys = CellKeys(Cell("rs"))

    found = (keys.queues, keys.events, keys.meta, keys.mover)
    assert found == ("{rs}:queues", "{rs}:events", "{rs}:meta", "{rs}:mover")
    for key in (*found, "{rs}:due:<queue>", "{rs}:task:<queue>:<id>"):
        assert f"`{key}`" in CONTRACT


def test_every_key_of_a_cell_is_in_its_slot() -> None:
    cell = Cell("rs", 2)
    queue, keys = queue_keys(cell, "q"), CellKeys(cell)
    found = (queue.due, queue.stream("low"), queue.task("t"), queue.outcome("t"), queue.index("dead"), keys.meta)

    assert {slot(re.match(r"\{(.*?)\}", key)[1]) for key in found} == {slot("rs.7ja")}  # type: ignore[index]


def test_a_due_key_names_its_queue_and_other_keys_name_none() -> None:
    keys = CellKeys(Cell("rs"))

    assert keys.queue_of("{rs}:due:a.b") == "a.b"
    assert [keys.queue_of(key) for key in ("{rs}:ready:a", "{other}:due:a", "due:a")] == [None] * 3
