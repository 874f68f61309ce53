"""The Lua tree as texts that Redis can run: one function library, or one script a verb.

Both builds come from the same files in ``lua/``. A verb gets the parts of ``lua/lib`` that it names, directly or
through
another part, in a fixed order; nothing else is shared between verbs.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

CONTRACT = 1  # the contract's major: it is in the names of the library and of its functions
LIBRARY = f"redsched{CONTRACT}"
PREFIX = f"rs{CONTRACT}_"
FEW = 14  # verbs that use a part which the others need not see

_BUILD_LINE = re.compile(r"^([1-9][0-9]{0,8}) ([0-9a-f]{16})$", re.MULTILINE)
_DEFINED = re.compile(r"^local (?:function )?([A-Za-z_]+(?:, [A-Z_]+)*)", re.MULTILINE)
_FREE = re.compile(r"may be (?:missing|left out)|; left out:")  # said of an argument that is not required
_EACH = re.compile(r"([2-9]) words each(?:: (number of its queue in KEYS))?")  # said of one that repeats
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NO_NAMES = re.compile(r"--[^\n]*|'[^'\n]*'")  # comments and texts
# a part may name only parts before it
_PARTS = ("shape", "budget", "clock", "keys", "check", "read", "trouble", "event", "stats", "caps", "drain", "ready",
          "sweeps", "json", "inside", "plan", "conditions", "facts", "hold", "newer", "tie", "digest", "circle",
          "ended", "finish", "isolate", "retry", "outcome", "stop", "wait", "stops", "decide", "late", "merge",
          "unique", "planned", "replan", "field", "submit", "rerun", "judge", "due", "create", "plain", "inbox",
          "whole", "start", "claimed", "page", "view", "tied", "fault", "family", "loose", "amiss", "inspected",
          "retie", "amend", "target", "mend", "schedule", "former", "pause", "run", "overlap", "turn", "firing", "rule",
          "heard", "fate", "crowd", "agenda")  # fmt: skip

# Parts of one concept: what only they use of each other is not seen outside.
_ROOMS = (
    ("plan", "conditions"),
    ("view", "tied", "fault", "family", "loose", "amiss", "inspected", "retie", "amend", "target", "mend"),
    ("fate", "crowd", "agenda"),
    ("schedule", "former", "pause", "run", "overlap", "turn", "firing"),
)


class Header(msgspec.Struct, frozen=True):
    """What the opening comment of a verb's file says."""

    summary: str
    keys: tuple[str, ...]  # names; one that ends in "..." repeats
    args: tuple[str, ...]
    shape: str  # for lib/shape.lua: the arguments that do not repeat, how many are required, which are whole numbers
    reply: str
    flags: tuple[str, ...]
    uses: tuple[str, ...]


def _root() -> Traversable:
    packaged = files("redsched") / "lua"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "lua"


@cache
def _source(name: str) -> str:
    return (_root() / name).read_text(encoding="utf-8")


def builds_in(text: str) -> tuple[tuple[int, str], ...]:
    """The builds that a text such as ``lua/BUILDS`` names, each with the digest of its tree."""
    return tuple((int(build), digest) for build, digest in _BUILD_LINE.findall(text))


@cache
def verbs() -> tuple[str, ...]:
    """The verbs, in alphabetical order."""
    return tuple(sorted(entry.name.removesuffix(".lua") for entry in _root().iterdir() if entry.name.endswith(".lua")))


@cache
def header(verb: str) -> Header:
    """The contract at the top of ``lua/<verb>.lua``.

    Raises:
        KeyError: no such verb.
    """
    if verb not in verbs():
        raise KeyError(verb)
    found: dict[str, list[str]] = {"KEYS": [], "ARGV": [], "REPLY": [], "FLAGS": [], "USES": []}
    lines = _source(f"{verb}.lua").splitlines()
    for line in lines[1:]:
        if not line.startswith("--"):
            break
        word, _, rest = line[2:].strip().partition(" ")
        if word in found:
            found[word].append(rest.strip())
    args = [line.split(maxsplit=2) for line in found["ARGV"] if line != "none"]
    return Header(
        summary=lines[0].removeprefix(f"-- {verb}: "),
        keys=tuple(line.split()[0] for line in found["KEYS"]),
        args=tuple(arg[0] for arg in args),
        shape=_shape(args),
        reply=" ".join(found["REPLY"]),
        flags=tuple(word for line in found["FLAGS"] for word in line.split(", ") if word != "none"),
        uses=tuple(word for line in found["USES"] for word in line.split(", ") if word != "nothing"),
    )


def _shape(args: Sequence[Sequence[str]]) -> str:
    """Name, type and meaning of the arguments as the table that ``lib/shape.lua`` takes."""
    each = next((found for *_, meaning in args if (found := _EACH.match(meaning))), None)
    repeats = next((name.removesuffix("...") for name, *_ in args if name.endswith("...")), "")
    args = [arg for arg in args if not arg[0].endswith("...")]
    free = [bool(_FREE.search(" ".join(meaning))) for _, _, *meaning in args]
    least = max((at for at, may_be_missing in enumerate(free, 1) if not may_be_missing), default=0)
    names = ", ".join(f"'{name}'" for name, *_ in args)
    whole = ", ".join(
        f"[{at}] = {str(free[at - 1]).lower()}" for at, (_, kind, *_) in enumerate(args, 1) if kind == "int"
    )
    numbered = str(each is not None and bool(each[2])).lower()
    told = f"each = {each[1]}, numbered = {numbered}, repeats = '{repeats}', " if each else ""
    return f"{{least = {least}, {told}whole = {{{whole}}}, {names}}}"


def contract(verb: str) -> str:
    """The opening comment of a verb: keys, arguments, reply and flags."""
    return "\n".join(itertools.takewhile(lambda line: line.startswith("--"), _source(f"{verb}.lua").splitlines()))


def _defined(part: str) -> set[str]:
    return {name for names in _DEFINED.findall(_source(f"lib/{part}.lua")) for name in names.split(", ")}


@cache
def _words(name: str) -> frozenset[str]:
    return frozenset(_WORD.findall(_NO_NAMES.sub("", _source(name))))


def _room_of(part: str) -> tuple[str, ...]:
    return next((room for room in _ROOMS if part in room), (part,))


@cache
def _used_by_others(group: tuple[str, ...]) -> frozenset[str]:
    others = [f"lib/{other}.lua" for other in _PARTS if other not in group] + [f"{verb}.lua" for verb in verbs()]
    return frozenset(("misshapen",)).union(*map(_words, others))  # which each verb calls before it begins


def _block(part: str, shown: frozenset[str]) -> tuple[list[str], list[str]]:
    """The lines of a part as a block from which the ``shown`` names can be seen, and those names."""
    lines: list[str] = []
    names: list[str] = []
    for line in _source(f"lib/{part}.lua").splitlines():
        found = _DEFINED.match(line)
        defined = shown.intersection(found[1].split(", ")) if found else ()
        if found and defined:
            names += found[1].split(", ")
        lines.append(line.removeprefix("local ") if defined else line)
    return ["do", *lines, "end"], names


@cache
def _room(wanted: tuple[str, ...]) -> str:
    """Parts of one room as a block: only what others use of them stays visible, since Lua allows a chunk 200 local
    names."""
    outside = _used_by_others(_room_of(wanted[0]))
    lines: list[str] = []
    inner: list[str] = []
    for part in wanted:
        block, names = _block(part, _used_by_others((part,)))
        lines += block
        inner += names
    outer = [name for name in inner if name in outside]
    hidden = [name for name in inner if name not in outside]
    lines = [f"local {', '.join(outer)}"] * bool(outer) + ["do"] + [f"local {', '.join(hidden)}"] * bool(hidden) + lines
    return "\n".join([*lines, "end", ""])


def _rooms(wanted: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """These parts by rooms, in their order."""
    for _, room in itertools.groupby(wanted, _room_of):
        yield tuple(room)


@cache
def parts_named(text: str) -> tuple[str, ...]:
    """The parts of ``lua/lib`` that this Lua text names itself, in their fixed order."""
    named = set(_WORD.findall(_NO_NAMES.sub("", text)))
    return tuple(part for part in _PARTS if named & _defined(part))


def _closure(name: str) -> list[str]:
    """The parts that a verb, or a part named ``lib/<part>``, loads."""
    wanted: set[str] = set()
    pending = [*parts_named(_source(f"{name}.lua")), *(("shape",) if _has_shape(name) else ())]
    while pending:
        part = pending.pop()
        if part not in wanted:
            wanted.add(part)
            pending.extend(other for other in parts_named(_source(f"lib/{part}.lua")) if other != part)
    return [part for part in _PARTS if part in wanted]


def _has_shape(name: str) -> bool:
    """Whether it is a verb that takes anything, so that its calls are looked at."""
    return name in verbs() and bool(header(name).keys)


def _body(verb: str) -> str:
    shape = look = ""
    if _has_shape(verb):
        shape = f"local SHAPE = {header(verb).shape}\n"
        look = "local refused = misshapen(KEYS, ARGV, SHAPE)\nif refused then return refused end\n"
    return f"{shape}local function {verb}_verb(KEYS, ARGV)\n{look}do\n{_source(f'{verb}.lua')}end\nend\n"


def parts() -> tuple[str, ...]:
    """The parts of ``lua/lib``, in their fixed order."""
    return _PARTS


@cache
def source(name: str) -> str:
    """The text of a verb, or of a part named ``lib/<part>``, without its comments."""
    return re.sub(r"--[^\n]*", "", _source(f"{name}.lua"))


@cache
def digest() -> str:
    """The first 16 hex digits of the SHA-256 of the whole tree."""
    names = [f"lib/{part}.lua" for part in _PARTS] + [f"{verb}.lua" for verb in verbs()]
    return hashlib.sha256("\0".join(_source(name) for name in names).encode()).hexdigest()[:16]


# Grows with every released change of the Lua; inside a major, changes only add. See wire/builds.py.
BUILD, _RELEASED = builds_in(_source("BUILDS"))[-1]


def is_released() -> bool:
    """Whether the tree is the text of its build, and not one that somebody works on."""
    return digest() == _RELEASED


def _constants(evalsha: bool) -> str:
    return f"local EVALSHA, BUILD, DIGEST = {str(evalsha).lower()}, {BUILD}, '{digest()}'\n"


@cache
def script(verb: str) -> str:
    """One verb as a script for EVALSHA."""
    header(verb)
    parts = "".join(map(_room, _rooms(_closure(verb))))
    return f"{_constants(evalsha=True)}{parts}{_body(verb)}return {verb}_verb(KEYS, ARGV)\n"


@cache
def sha1(verb: str) -> str:
    """The name by which EVALSHA calls the verb's script."""
    return hashlib.sha1(script(verb).encode(), usedforsecurity=False).hexdigest()


def _families() -> list[tuple[list[tuple[str, ...]], list[str]]]:
    """Verbs that share rooms which few use, with those rooms: a chunk may not have more than 200 local names."""
    needs = {room: {part for own in room for part in _closure(f"lib/{own}")} for room in _rooms(_PARTS)}
    users = {room: [verb for verb in verbs() if set(room) & set(_closure(verb))] for room in needs}
    for room in reversed(needs):  # whoever loads a room loads all that any part of it names
        for other in needs:
            if other != room and needs[room].intersection(other):
                users[other] = sorted({*users[other], *users[room]})
    families: list[set[str]] = []
    for few in (found for found in users.values() if 0 < len(found) <= FEW):
        met = [family for family in families if family.intersection(few)]
        families = [family for family in families if family not in met] + [set(few).union(*met)]
    return [
        ([room for room, of in users.items() if of and set(of) <= family and len(of) <= FEW], sorted(family))
        for family in families
    ]


def _registered(verb: str) -> str:
    flags = ", ".join(f"'{flag}'" for flag in header(verb).flags)
    register = f"function_name = '{PREFIX}{verb}', callback = {verb}_verb, flags = {{{flags}}}"
    return f"do\n{_body(verb)}redis.register_function{{{register}}}\nend\n"


@cache
def library() -> str:
    """All verbs as one function library, for FUNCTION LOAD."""
    families = _families()
    apart = {room for rooms, _ in families for room in rooms}
    text = [f"#!lua name={LIBRARY}\n", _constants(evalsha=False)]
    text += [_room(room) for room in _rooms(_PARTS) if room not in apart]
    for rooms, family in families:
        text += ["do\n", *map(_room, rooms), *map(_registered, family), "end\n"]
    named = {verb for _, family in families for verb in family}
    return "".join(text + [_registered(verb) for verb in verbs() if verb not in named])
