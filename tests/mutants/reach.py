"""Which blocks of the Lua each look executes: only those looks can notice a mutant that lie on its way.

Every block of the tree gets a number and writes it down when it begins: a function, a branch, the body of a loop, and
what follows after an ``end`` of one of these. One run of all looks over the Lua that does so is the record. The Lua is
the same up to the place that a mutant changes, so a look that never came there cannot tell the two apart.
"""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from redsched.wire import scripts
from tests.mutants.rules import Mutant, files
from tests.support.lua_builds import Line, changed, source

BITS = "mutants-reach"  # a key outside every namespace, where scripts without functions write their blocks
_TOKEN = re.compile(r"--[^\n]*|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"|[A-Za-z_]\w*")
_OPENS = ("then", "do", "repeat", "function")
_FUNCTION = (  # the blocks of the library since the last call
    f"redis.register_function{{function_name = '{scripts.PREFIX}reached', callback = function() local found = {{}} "
    "for at in pairs(REACHED) do found[#found + 1], REACHED[at] = at, nil end return found end, "
    "flags = {'no-writes'}}\n"
)
_IN_SCRIPTS = (
    "local REACHED = setmetatable({}, {__newindex = function(reached, at) rawset(reached, at, true) "
    f"redis.pcall('SETBIT', '{BITS}', at, 1) end}})\n"
)


class Blocks(NamedTuple):
    """A file whose blocks have numbers."""

    starts: tuple[int, ...]  # where in the text the part of a block begins, ascending
    numbers: tuple[int, ...]  # the block of each part; -1: what runs when the library is loaded
    text: str  # the file, with each block writing its number


def _blocks(name: str, first: int) -> Blocks:
    text = source(name)
    body = re.match(r"(?:--[^\n]*\n)*", text)
    assert body is not None
    parts: list[tuple[int, int]] = [(0, -1)]
    insert: list[tuple[int, int]] = []
    opened: list[tuple[str, int]] = []  # what opened each block around, and the number outside of it
    number, current = first, -1

    def begin(at: int) -> None:
        nonlocal number, current
        current = number
        insert.append((at, number))
        parts.append((at, number))
        number += 1

    def leave(at: int) -> str:
        nonlocal current
        word, current = opened.pop()
        parts.append((at, current))
        return word

    if not name.startswith("lib/"):
        begin(body.end())
    for found in _TOKEN.finditer(text, body.end()):
        word, at = found[0], found.end()
        if word in ("elseif", "else", "end", "until"):
            was = leave(found.start())
            if word == "end" and was != "function" and current >= 0:
                begin(at)
        if word in (*_OPENS, "else"):
            opened.append((word, current))
            begin(text.index(")", at) + 1 if word == "function" else at)
    pieces, last = [], 0
    for at, one in insert:
        pieces += [text[last:at], f" REACHED[{one}] = true; "]
        last = at
    return Blocks(tuple(at for at, _ in parts), tuple(one for _, one in parts), "".join([*pieces, text[last:]]))


@cache
def tree() -> dict[str, Blocks]:
    """Every file of the Lua."""
    made, first = {}, 0
    for name in files():
        made[name] = _blocks(name, first)
        first = max(first, *made[name].numbers) + 1
    return made


def block_of(mutant: Mutant) -> int:
    """The block in which the mutant's text begins to differ; -1 if that runs when the library is loaded."""
    was, blocks = source(mutant.file), tree()[mutant.file]
    at = next((at for at, (one, other) in enumerate(zip(was, mutant.text, strict=False)) if one != other), len(was))
    return blocks.numbers[bisect_right(blocks.starts, at) - 1]


@contextlib.contextmanager
def written_down() -> Iterator[None]:
    """While it lasts, builds of the Lua write down their blocks."""
    library, script = scripts.library, scripts.script
    with changed({name: blocks.text for name, blocks in tree().items()}):
        try:
            scripts.library = cache(lambda: _with_function(library()))
            scripts.script = cache(lambda verb: _IN_SCRIPTS + script(verb))
            yield
        finally:
            scripts.library, scripts.script = library, script


def _with_function(text: str) -> str:
    first, _, rest = text.partition("\n")
    return f"{first}\nlocal REACHED = {{}}\n{rest}{_FUNCTION}"


def reached(line: Line) -> set[int]:
    """The blocks that any build on the server came to since the last call."""
    found: set[int] = set()
    for library in line("FUNCTION", "LIST"):
        for function in library[5]:
            if function[1].endswith(b"_reached"):
                found.update(line("FCALL", function[1], 0))
    used = re.findall(rb"^db(\d+):", line("INFO", "keyspace"), re.MULTILINE)
    for database in used:
        line("SELECT", database)
        bits = line("GET", BITS) or b""
        found.update(8 * at + bit for at, byte in enumerate(bits) for bit in range(8) if byte & 128 >> bit)
        line("DEL", BITS)
    line("SELECT", 0)
    return found
