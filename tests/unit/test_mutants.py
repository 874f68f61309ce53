"""The campaign of mutants knows which part of the Lua a mutant changes."""

from __future__ import annotations

import re

import pytest

from tests.mutants import reach
from tests.mutants.rules import Mutant, files
from tests.support.lua_builds import source

MARK = re.compile(r" REACHED\[(\d+)\] = true; ")


@pytest.mark.parametrize("name", files())
def test_a_file_that_writes_down_its_blocks_is_otherwise_as_it_was(name: str) -> None:
    text = reach.tree()[name].text

    assert MARK.sub("", text) == source(name)
    assert MARK.search(text), "no block is written down"


def test_no_two_blocks_of_the_tree_have_the_same_number() -> None:
    numbers = [number for blocks in reach.tree().values() for number in MARK.findall(blocks.text)]

    assert len(numbers) == len(set(numbers)) > 1_000


def test_a_mutant_belongs_to_the_innermost_block_around_it() -> None:
    name, text = "lib/core/memory.lua", source("lib/core/memory.lua")
    inside = text.replace("redis.call(", "local _ = (", 1)
    condition = text.replace("if EVALSHA", "if not EVALSHA", 1)
    assert text not in (inside, condition)

    blocks = [reach.block_of(Mutant(name, 1, "negate", "", changed)) for changed in (condition, inside)]

    assert blocks == [blocks[0], blocks[0] + 1], "the function comes first, then what follows its condition"
    assert blocks[0] >= 0
