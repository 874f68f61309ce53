"""The Lua tree as texts that Redis can run: one function library, or one script a verb.

Both builds come from the same files in ``lua/``. Each file of ``lua/lib`` is a module: one Lua table of the
file's name, which the file fills. The line USES of a file names the modules that it calls. A verb's script holds the
modules that the verb uses, directly or through another module, each after those that it uses itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from redsched.wire import lua_header
from redsched.wire.lua_header import Header

CONTRACT = 1  # the contract's major: it is in the names of the library and of its functions
LIBRARY = f"redsched{CONTRACT}"
PREFIX = f"rs{CONTRACT}_"
_BUILD_LINE = re.compile(r"^([1-9][0-9]{0,8}) ([0-9a-f]{16})$", re.MULTILINE)
ARGUMENTS = "arguments"  # the module that looks at the words of each call before its verb begins
# The globals that the Lua reads. A server keeps them behind a second table, where finding one takes as long as several
# steps of Lua; so a library keeps them as locals.
GLOBALS = (
    "redis",
    "string",
    "math",
    "table",
    "cjson",
    "ipairs",
    "pairs",
    "next",
    "unpack",
    "tonumber",
    "tostring",
    "type",
    "pcall",
    "error",
)


def _root() -> Traversable:
    packaged = resources.files("redsched") / "lua"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "lua"


@cache
def text(file: str) -> str:
    """What a file of the tree holds, such as ``claim.lua`` or ``lib/core/clock.lua``."""
    return (_root() / file).read_text(encoding="utf-8")


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
    return lua_header.read(text(f"{verb}.lua"))


@cache
def modules() -> dict[str, str]:
    """Each module's name and its file, such as ``lib/core/clock.lua``, in the order of folders and names."""
    folders = sorted((entry for entry in (_root() / "lib").iterdir() if entry.is_dir()), key=lambda entry: entry.name)
    return {
        name.removesuffix(".lua"): f"lib/{folder.name}/{name}"
        for folder in folders
        for name in sorted(entry.name for entry in folder.iterdir())
        if name.endswith(".lua")
    }


def files() -> tuple[str, ...]:
    """Every file of the tree, those of the modules first."""
    return (*modules().values(), *(f"{verb}.lua" for verb in verbs()))


@cache
def uses(module: str) -> tuple[str, ...]:
    """The modules that a module calls itself, as its line USES names them.

    Raises:
        KeyError: no such module.
    """
    return lua_header.read(text(modules()[module])).uses


@cache
def linked(*verbs: str) -> tuple[str, ...]:
    """The modules that these verbs load, each after those that it uses."""
    order: dict[str, None] = {}

    def load(module: str, users: tuple[str, ...]) -> None:
        if module in users:
            raise ValueError(f"modules use each other: {' -> '.join([*users[users.index(module) :], module])}")
        if module not in order:
            for other in uses(module):
                load(other, (*users, module))
            order[module] = None

    for verb in verbs:
        for module in (*((ARGUMENTS,) if _has_shape(verb) else ()), *header(verb).uses):
            load(module, ())
    return tuple(order)


def _modules_text(names: Sequence[str]) -> str:
    """The modules as Lua: their tables, then what fills each. A block hides what a module keeps to itself."""
    tables = f"local {', '.join(names)} = {', '.join(map(_table, names))}\n" if names else ""
    return tables + "".join(f"do\n{text(modules()[name])}end\n" for name in names)


def _table(module: str) -> str:
    """A module's table with the names that it will hold: Lua makes room for them once, and not as it grows."""
    lines = re.findall(rf"^(?:function )?({module}\.\w[^(=]*)[(=]", source(modules()[module]), re.MULTILINE)
    held = {name for line in lines for name in re.findall(rf"\b{module}\.(\w+)", line)}
    return f"{{{', '.join(f'{name} = false' for name in sorted(held))}}}"


def _has_shape(name: str) -> bool:
    """Whether a verb takes anything, so that its calls are looked at."""
    return bool(header(name).keys)


def _globals_text() -> str:
    """Locals in place of the globals, and what fills them. A call does that: while a library is loaded, it has no
    global but a ``redis`` of another kind.
    """
    names = ", ".join(GLOBALS)
    found = f"local function found_globals() return {names} end\n"
    return f"{found}local {names} = redis\nlocal function find_globals() {names} = found_globals() end\n"


def _body(verb: str, first: str = "") -> str:
    """A verb as a function, of which this line comes first."""
    shape = look = ""
    if _has_shape(verb):
        shape = f"local SHAPE = {header(verb).shape}\n"
        look = "local refused = arguments.check(KEYS, ARGV, SHAPE)\nif refused then return refused end\n"
    return f"{shape}local function {verb}_verb(KEYS, ARGV)\n{first}{look}do\n{text(f'{verb}.lua')}end\nend\n"


@cache
def source(file: str) -> str:
    """The same without comments."""
    return re.sub(r"--[^\n]*", "", text(file))


@cache
def digest() -> str:
    """The first 16 hex digits of the SHA-256 of the whole tree."""
    return hashlib.sha256("\0".join(map(text, files())).encode()).hexdigest()[:16]


# Grows with every released change of the Lua; inside a major, changes only add. See wire/builds.py.
BUILD, _RELEASED = builds_in(text("BUILDS"))[-1]


def is_released() -> bool:
    """Whether the tree is the text of its build, and not one that somebody works on."""
    return digest() == _RELEASED


def _constants(evalsha: bool) -> str:
    return f"local EVALSHA, BUILD, DIGEST = {str(evalsha).lower()}, {BUILD}, '{digest()}'\n"


@cache
def script(verb: str) -> str:
    """One verb as a script for EVALSHA."""
    return f"{_constants(evalsha=True)}{_modules_text(linked(verb))}{_body(verb)}return {verb}_verb(KEYS, ARGV)\n"


@cache
def sha1(verb: str) -> str:
    """The name by which EVALSHA calls the verb's script."""
    return hashlib.sha1(script(verb).encode(), usedforsecurity=False).hexdigest()


def _registered(verb: str) -> str:
    flags = ", ".join(f"'{flag}'" for flag in header(verb).flags)
    register = f"function_name = '{PREFIX}{verb}', callback = {verb}_verb, flags = {{{flags}}}"
    known = "if not string then find_globals() end\n"
    return f"do\n{_body(verb, known)}redis.register_function{{{register}}}\nend\n"


@cache
def library() -> str:
    """All verbs as one function library, for FUNCTION LOAD."""
    parts = [_globals_text(), _modules_text(linked(*verbs())), *map(_registered, verbs())]
    return f"#!lua name={LIBRARY}\n{_constants(evalsha=False)}do\n{''.join(parts)}end\n"
