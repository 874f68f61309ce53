"""Which commands of Redis the script of a verb can run, as its text and that of the functions that it calls say."""

from __future__ import annotations

import re
from functools import cache

from redsched.wire import scripts

# a function at the top of a module, on one line or up to an end that stands at the margin
_FUNCTION = re.compile(r"^(?:local )?function ([\w.]+)\((?:[^\n]* end *$|.*?^end *$)", re.MULTILINE | re.DOTALL)
_CALLED = re.compile(r"\b[a-z_.]+\('([A-Z]{2,})'(?:, '([A-Z]+)')?")  # redis.call and what wraps it
_NAMED = re.compile(r"(?<![\w.])([A-Za-z_]\w*)(?:\.(\w+)|(\[))?")
_TEXT = re.compile(r"'[^'\n]*'")
_CONTAINERS = ("XGROUP", "XINFO")  # whose subcommands are granted one by one


@cache
def functions() -> dict[str, tuple[str, str]]:
    """The functions of all modules by their whole names, such as ``links.enter``: the module and the text of each.

    What a module keeps to itself has the module's name before its own as well: ``links.known_parents``.
    """
    found: dict[str, tuple[str, str]] = {}
    for module, file in scripts.modules().items():
        for function in _FUNCTION.finditer(scripts.source(file)):
            name = function[1] if function[1].startswith(f"{module}.") else f"{module}.{function[1]}"
            found[name] = (module, function[0])
    return found


def _called(text: str, module: str) -> set[str]:
    """The functions that a text of this module may call: those that it names, and all of a table that it looks into."""
    known, called = functions(), set()
    for first, second, looked_into in _NAMED.findall(_TEXT.sub("''", text)):
        if looked_into:
            called |= {name for name in known if name.startswith((f"{first}.", f"{module}.{first}."))}
        called |= {f"{first}.{second}", f"{module}.{first}", f"{module}.{first}.{second}"} & known.keys()
    return called


@cache
def commands_of(verb: str, without: tuple[str, ...] = ()) -> frozenset[str]:
    """The commands that a verb's script can run, those of the functions it calls included, but for some."""
    seen: set[str] = set(without)
    pending = [(verb, scripts.source(f"{verb}.lua"))]
    commands: set[str] = set()
    while pending:
        module, text = pending.pop()
        for command, word in _CALLED.findall(text):
            commands.add(f"{command}|{word}".lower() if command in _CONTAINERS else command.lower())
        for name in _called(text, module) - seen:
            seen.add(name)
            pending.append(functions()[name])
    return frozenset(commands)
