"""``python -m tools.docs``, which is ``make docs``: gather the pages and build the site into ``build/site``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tools.docs import pages

ROOT = Path(__file__).resolve().parents[2]


def build(root: Path, into: Path) -> int:
    """Build the site of the tree ``root`` in the folder ``into``; answers the exit code."""
    pages.gather(root, into)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "-f", str(into / pages.CONFIG)]
    return subprocess.run(command, cwd=into, check=False).returncode


def main() -> int:
    """Build it; say where it is."""
    into = ROOT / "build"
    if code := build(ROOT, into):
        return code
    print(f"the site is in {into / 'site'}; to read and search it: python -m http.server -d {into / 'site'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
