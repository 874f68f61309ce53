"""``python -m tools.task_fields``, which is ``make fields``: write what the table says; ``--check``: compare."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tools.task_fields.documents import MissingPart, documents
from tools.task_fields.sources import sources

ROOT = Path(__file__).resolve().parents[2]


def differing(root: Path) -> dict[str, str]:
    """Path -> what it should hold, of each file that holds something else.

    Raises:
        MissingPart: a file has no place for what it should hold.
    """
    made = sources() | documents(root)
    return {
        path: text
        for path, text in made.items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    }


def main(words: Sequence[str]) -> int:
    """Write or compare; answers the exit code."""
    try:
        found = differing(ROOT)
    except MissingPart as problem:
        print(problem, file=sys.stderr)
        return 1
    if "--check" in words:
        for path in found:
            print(f"{path} is not what redsched/model/fields.py says: run `make fields`", file=sys.stderr)
        return 1 if found else 0
    for path, text in found.items():
        (ROOT / path).write_text(text, encoding="utf-8")
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
