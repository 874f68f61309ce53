"""Make the client for threads from the one for an event loop: each file of ``client/aio`` gets one in ``client/sync``.

    python -m tools.unasync            write them anew (``make sync-client``)
    python -m tools.unasync --check    write nothing; name each that is not what its source makes (``make check``)

The two sides differ in the words of ``SUBSTITUTIONS``, and in the way that ruff then lays the lines out. A difference
that is more than a word belongs in ``runtime.py``, which is written by hand on both sides.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CLIENT = ROOT / "redsched" / "client"
BY_HAND = frozenset(("__init__.py", "runtime.py"))  # on both sides
ASYNC_ONLY = frozenset(("tracking.py",))

SUBSTITUTIONS = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\basync (?=(?:def|with|for)\b)", ""),
        (r"\bawait ", ""),
        (r"\b__a(?=(?:enter|exit|iter|next)__)", "__"),
        (r"\ba(?=(?:next|iter|close)\()", ""),
        (r"\bAsync(?=[A-Z])", ""),
        (r"\bredsched\.client\.aio\b", "redsched.client.sync"),
        (r"\bredis\.asyncio\.Redis\b", "redis.Redis"),
        (r"\bFor one event loop\b", "Thread-safe"),
        (r"\bone event loop\b", "threads"),
    )
]
LEFT_OVER = re.compile(r"async|await|\baio\b|event loop", re.IGNORECASE)
AWAIT = re.compile(r"\bawait\b")
TEXTS = (tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))


class Unmakable(Exception):
    """A source has words that have no counterpart here."""


def sources(client: Path) -> list[Path]:
    """The files that have a counterpart made from them."""
    return [file for file in sorted((client / "aio").glob("*.py")) if file.name not in BY_HAND | ASYNC_ONLY]


def texts_with_await(text: str) -> Iterator[tuple[int, str]]:
    """The lines of strings and comments that say ``await``, with their numbers: code means the same without the word,
    and a sentence does not."""
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in TEXTS:
            for at, part in enumerate(token.string.splitlines(), token.start[0]):
                if AWAIT.search(part):
                    yield at, lines[at - 1]


def counterpart(source: Path) -> str:
    """The text of the counterpart of a source, not yet laid out.

    Raises:
        Unmakable: a word of an event loop would be left in it, or taken from a sentence.
    """
    text = source.read_text(encoding="utf-8")
    for number, line in texts_with_await(text):
        raise Unmakable(f"{source}:{number}: without await a text says something else; reword: {line.strip()}")
    for pattern, replacement in SUBSTITUTIONS:
        text = pattern.sub(replacement, text)
    for number, line in enumerate(text.splitlines(), 1):
        if LEFT_OVER.search(line):
            raise Unmakable(f"{source}:{number}: no counterpart in SUBSTITUTIONS for: {line.strip()}")
    first = f"# Made by tools/unasync.py from redsched/client/aio/{source.name}: change that, then `make sync-client`."
    return f"{first}\n{text}"


def made(client: Path) -> dict[str, str]:
    """The texts of all counterparts, by the names of their files, laid out as ``make check`` wants them."""
    with tempfile.TemporaryDirectory() as folder:
        for source in sources(client):
            (Path(folder) / source.name).write_text(counterpart(source), encoding="utf-8")
        for command in (("check", "--select", "I", "--fix"), ("format",)):
            words = [*command, "--quiet", "--no-cache", "--config", str(ROOT / "pyproject.toml"), folder]
            subprocess.run([sys.executable, "-m", "ruff", *words], check=True)
        return {file.name: file.read_text(encoding="utf-8") for file in sorted(Path(folder).glob("*.py"))}


def differences(client: Path) -> Iterator[tuple[Path, str]]:
    """The files of ``sync`` that are not what ``aio`` makes, each with what is wrong."""
    wanted = made(client)
    found = {file.name: file for file in (client / "sync").glob("*.py") if file.name not in BY_HAND}
    for name in sorted(wanted.keys() | found.keys()):
        file = client / "sync" / name
        if name not in wanted:
            yield file, f"has no source in {client / 'aio'}"
        elif name not in found or file.read_text(encoding="utf-8") != wanted[name]:
            yield file, f"is not what {client / 'aio' / name} makes"


def main(arguments: list[str]) -> int:
    """The exit code."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        if arguments:
            found = list(differences(CLIENT))
            for file, problem in found:
                print(f"{file}: {problem}; run: make sync-client", file=sys.stderr)
            return 1 if found else 0
        for name, text in made(CLIENT).items():
            (CLIENT / "sync" / name).write_text(text, encoding="utf-8")
    except Unmakable as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
