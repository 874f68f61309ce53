"""Mechanical mutants of the Lua: a statement dropped, neighbours swapped, a condition negated, a limit lifted.

Nothing is chosen by hand: every place of ``lua/**/*.lua`` where a rule applies makes a mutant, named by file, line and
rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from redsched.wire import scripts
from tests.support.lua_builds import source

WRITES = ("HSET", "HDEL", "HINCRBY", "ZADD", "ZREM", "ZREMRANGEBYRANK", "XADD", "XACK", "XDEL", "XGROUP", "SET", "SADD",
          "UNLINK", "PEXPIRE", "PERSIST", "RENAME", "XTRIM", "XCLAIM", "DEL", "HSETNX", "EXPIRE")  # fmt: skip
HELPERS = ("events.tell", "stats.count", "by_minute", "outcomes.add_attempt", "outcomes.write", "streams.remove",
           "endings.cancel", "endings.expire", "endings.dead", "endings.finish", "endings.quarantine",
           "endings.tell_quarantined", "last_claim.remember", "claim_start.begin", "look", "write_plain",
           "enqueue.put_in_due", "settle.complete", "settle.complete_plain", "lost_entries.add_again", "memory.drain",
           "take_back", "removal.sweep_set", "sweep.plan",
           "leave_sets")  # fmt: skip
_CALLED = "|".join(map(re.escape, HELPERS))
_CALL = rf"(?:redis\.p?call|safe\.call)\('(?:{'|'.join(WRITES)})'|(?:{_CALLED})\("
_STATEMENT = re.compile(rf"(?:^|(?<=then)|(?<=do)|(?<=else)|(?<=end)|(?<=;))(\s*)({_CALL})")
_CONDITION = re.compile(r"\b(if|elseif)\b (.+?) \bthen\b")
_COMPARISON = re.compile(r"(?<=[\w)\]'] )(<=|>=|<|>)(?= [\w('-])")
_OTHER = {"<=": "<", "<": "<=", ">=": ">", ">": ">="}
# may stand in any order with its neighbours: nothing reads what it tells
_TOLD = re.compile(r"\s*(events\.tell|stats\.count|endings\.tell_quarantined)\(")
_LIMIT = re.compile(r"'LIMIT', ('0'|0|seen), (clock\.text\(\w+\)|\w+)")


class Mutant(NamedTuple):
    """A file with one change in it."""

    file: str
    line: int
    rule: str  # drop | swap | negate | compare | limit
    was: str
    text: str  # of the whole file

    @property
    def name(self) -> str:
        """What it is called in the results; stays while its line stays."""
        return f"{self.file}:{self.line} {self.rule} {self.was}"


def files() -> list[str]:
    """Every file of the Lua tree."""
    return [f"{verb}.lua" for verb in scripts.verbs()] + [*scripts.modules().values()]


def mutants() -> Iterator[Mutant]:
    """All of them, in the order of files and lines; no two of the same text."""
    for name in files():
        seen = {source(name)}
        for mutant in _of(name):
            if mutant.text not in seen:
                seen.add(mutant.text)
                yield mutant


def _of(name: str) -> Iterator[Mutant]:
    lines = source(name).split("\n")
    for number, line in enumerate(lines):
        code = _code(line)
        if not code.strip():
            continue
        yield from _drops(name, lines, number, code)
        yield from _swaps(name, lines, number)
        for found in _CONDITION.finditer(code):
            yield _made(name, lines, number, "negate", found.span(2), f"not ({found[2]})", found[2])
        for found in _COMPARISON.finditer(code):
            told = code[: found.end() + 12].split()[-4:]
            yield _made(name, lines, number, "compare", found.span(1), _OTHER[found[1]], " ".join(told))
        for found in _LIMIT.finditer(code):
            yield _made(name, lines, number, "limit", found.span(2), "-1", found[0])
        for start in (found.start() for found in re.finditer(r"math\.min\(", code)):
            end = _closing(code, start + len("math.min("))
            if end is not None:
                first = _first_argument(code[start + len("math.min(") : end])
                yield _made(name, lines, number, "limit", (start, end + 1), first, code[start : end + 1])


def _drops(name: str, lines: list[str], number: int, code: str) -> Iterator[Mutant]:
    for found in _STATEMENT.finditer(code):
        start = found.start(2)
        text = "\n".join([code, *lines[number + 1 : number + 4]])
        end = _closing(text, text.index("(", start) + 1)
        if end is None or "function" in code[:start]:
            continue
        dropped = text[start : end + 1]
        rest = text[end + 1 :].split("\n")
        used = dropped.count("\n")
        changed = [*lines[:number], code[:start] + "local _ = nil" + rest[0], *lines[number + 1 + used :]]
        yield Mutant(name, number + 1, "drop", " ".join(dropped.split())[:60], "\n".join(changed))


def _swaps(name: str, lines: list[str], number: int) -> Iterator[Mutant]:
    if number + 1 >= len(lines):
        return
    first, second = _code(lines[number]), _code(lines[number + 1])
    whole = all(_whole(line) for line in (first, second)) and not (_TOLD.match(first) or _TOLD.match(second))
    if whole and len(first) - len(first.lstrip()) == len(second) - len(second.lstrip()):
        changed = [*lines[:number], lines[number + 1], lines[number], *lines[number + 2 :]]
        yield Mutant(name, number + 1, "swap", f"{first.strip()[:30]} | {second.strip()[:30]}", "\n".join(changed))


def _whole(code: str) -> bool:
    """Whether the line is one statement that writes, complete in itself."""
    writes = re.match(rf"\s*(if .+ then )?(redis\.p?call\('(?:{'|'.join(WRITES)})'|(?:{_CALLED})\()", code)
    balanced = code.count("(") == code.count(")")
    return bool(writes) and balanced and (not writes[1] or code.rstrip().endswith("end")) if writes else False


def _made(name: str, lines: list[str], number: int, rule: str, span: tuple[int, int], by: str, was: str) -> Mutant:
    line = lines[number]
    changed = [*lines[:number], line[: span[0]] + by + line[span[1] :], *lines[number + 1 :]]
    return Mutant(name, number + 1, rule, was[:60], "\n".join(changed))


def _code(line: str) -> str:
    """The line without its comment."""
    at = line.find("--")
    return line if at < 0 else line[:at]


def _closing(text: str, start: int) -> int | None:
    """Where the bracket that was opened before ``start`` closes."""
    depth, quoted = 1, False
    for at in range(start, len(text)):
        if text[at] == "'":
            quoted = not quoted
        elif not quoted:
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            if depth == 0:
                return at
    return None


def _first_argument(text: str) -> str:
    depth = 0
    for at, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            return text[:at]
    return text
