"""Which build each text of the Lua tree is: ``lua/BUILDS``, a line ``<build> <digest>`` for each that was released.

The file only grows. ``python -m redsched.wire.builds`` fails where the tree is not the text of the last line, or where
a line that was ever committed is missing; ``--record`` (``make build-number``) adds the line that is needed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from redsched.wire import scripts

REMEDY = "run `make build-number`, also after a merge or a conflict in lua/BUILDS, and commit lua/BUILDS"
_FILE = "lua/BUILDS"
_HEAD = "# Only grows: a build for each released text of this folder. `make build-number` adds the line of this one.\n"


def problem(folder: Path, digest: str) -> str | None:
    """What is wrong with ``lua/BUILDS`` in a checkout whose tree has this digest; None where nothing is."""
    lines = [line for line in (folder / _FILE).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    known = scripts.builds_in("\n".join(lines))
    if len(known) != len(lines) or [build for build, _ in known] != sorted({build for build, _ in known}):
        return f"{_FILE} has a line that is no `<build> <digest>`, or no higher build than the one before: {REMEDY}"
    for line in committed(folder):
        if line not in lines:
            return f"{_FILE} lacks `{line}`, which was committed once: put it back"
    if not known or known[-1][1] != digest:
        return f"the Lua is not the text of the last line of {_FILE}: {REMEDY}"
    return None


def committed(folder: Path) -> list[str]:
    """Every line that a commit of this branch has ever added; none where this is no checkout."""
    told = _git(folder, "log", "--format=", "--patch", "--unified=0", "--reverse", "HEAD", "--", _FILE)
    added = [line[1:] for line in told.splitlines() if line.startswith("+") and not line.startswith(("+++", "+#"))]
    return [f"{build} {digest}" for build, digest in scripts.builds_in("\n".join(added))]


def record(folder: Path, digest: str) -> str:
    """Write the line of this tree after those that are committed; answers the line."""
    old = _git(folder, "show", f"HEAD:./{_FILE}") or (folder / _FILE).read_text(encoding="utf-8")
    known = list(scripts.builds_in(old))
    if not known or known[-1][1] != digest:
        known.append((known[-1][0] + 1 if known else 1, digest))
    lines = [f"{build} {digest}" for build, digest in known]
    (folder / _FILE).write_text(_HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    return lines[-1]


def main(words: Iterable[str]) -> int:
    """Check or record; answers the exit code."""
    folder = Path(__file__).resolve().parents[2]
    if "--record" in words:
        print(record(folder, scripts.digest()))
        return 0
    found = problem(folder, scripts.digest())
    if found:
        print(found, file=sys.stderr)
    return 1 if found else 0


def _git(folder: Path, *words: str) -> str:
    try:
        ended = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return ended.stdout if ended.returncode == 0 else ""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
