"""The comment at the top of a Lua file: what a verb takes, answers and may do, and which modules a file calls.

A line is ``<name>: <summary>`` first, then those that begin with one of ``SECTIONS``; a line that is indented goes on
with the one before. Nothing else reads a header.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import msgspec

SECTIONS = ("KEYS", "ARGV", "REPLY", "FLAGS", "USES")  # in this order; a module has USES only
_FREE = re.compile(r"may be (?:missing|left out)|; left out:")  # said of an argument that is not required
_EACH = re.compile(r"([2-9]) words each(?:: (number of its queue in KEYS))?")  # said of one that repeats


class Header(msgspec.Struct, frozen=True):
    """What the comment says."""

    comment: str  # the whole of it
    name: str
    summary: str  # what stands beside the name, to the end of its line
    keys: tuple[str, ...]  # names; one that ends in "..." repeats
    args: tuple[str, ...]
    shape: str  # for arguments.check: the arguments that do not repeat, how many are required, which are whole numbers
    reply: str
    flags: tuple[str, ...]
    uses: tuple[str, ...]

    @property
    def fixed_args(self) -> tuple[str, ...]:
        """The arguments that do not repeat; they come first."""
        return tuple(arg for arg in self.args if not arg.endswith("..."))

    @property
    def repeating_args(self) -> tuple[str, ...]:
        """The arguments that repeat."""
        return tuple(arg for arg in self.args if arg.endswith("..."))

    @property
    def promise(self) -> tuple[str, ...]:
        """The lines that others rely on, as they are written: from the keys on, without the modules."""
        lines = self.comment.splitlines()
        kept = itertools.takewhile(lambda line: _section(line) != "USES", lines)
        return tuple(itertools.dropwhile(lambda line: _section(line) not in SECTIONS, kept))


def split(text: str) -> tuple[str, str]:
    """A Lua file as its header and what comes after it."""
    lines = text.splitlines(keepends=True)
    header = "".join(itertools.takewhile(lambda line: line.startswith("--"), lines))
    return header.rstrip("\n"), text[len(header) :]


def read(text: str) -> Header:
    """The header of a Lua file."""
    comment, _ = split(text)
    first, *lines = comment.splitlines()
    name, _, summary = first.removeprefix("-- ").partition(": ")
    found: dict[str, list[str]] = {section: [] for section in SECTIONS}
    for line in lines:
        if (section := _section(line)) in found:
            found[section].append(line.removeprefix("--").strip().removeprefix(section).strip())
    args = [line.split(maxsplit=2) for line in found["ARGV"] if line != "none"]
    return Header(
        comment=comment,
        name=name,
        summary=summary,
        keys=tuple(line.split()[0] for line in found["KEYS"]),
        args=tuple(arg[0] for arg in args),
        shape=_shape(args),
        reply=" ".join(found["REPLY"]),
        flags=_words(found["FLAGS"], none="none"),
        uses=_words(found["USES"], none="nothing"),
    )


def _section(line: str) -> str:
    return line.removeprefix("--").strip().partition(" ")[0]


def _words(lines: Sequence[str], none: str) -> tuple[str, ...]:
    return tuple(word for line in lines for word in line.split(", ") if word != none)


def _shape(args: Sequence[Sequence[str]]) -> str:
    """Name, type and meaning of the arguments as the table that ``arguments.check`` takes."""
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
