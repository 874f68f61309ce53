"""Gathers the pages of the site in one folder, and leads every link to where its target is there.

A page of ``docs/`` links to a file of the repository as it lies, so that the link works where the files are read.
Here it leads to the page that the file became, or to a copy of the file.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path, PurePosixPath

from tools.docs import cli_reference, code_reference, http_reference, tables_reference

CONFIG = "zensical.toml"
# a file of the repository -> the page that it becomes
TAKEN = {
    "README.md": "readme.md",
    "ARCHITECTURE.md": "project/architecture.md",
    "CHANGELOG.md": "project/changelog.md",
    "bench/README.md": "project/measurements.md",
    "tests/README.md": "project/tests.md",
    "lua/README.md": "reference/wire.md",
    "examples/node/README.md": "examples/node.md",
}
# a page that is made from the code -> what makes it
MADE = {
    "reference/python.md": code_reference.page,
    "reference/http.md": http_reference.page,
    "reference/cli.md": cli_reference.page,
    "reference/settings.md": tables_reference.settings,
    "reference/metrics.md": tables_reference.metrics,
}
_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_FENCE = re.compile(r"^ *(```|~~~)")


class NoTarget(Exception):
    """A link leads to a file that is not there."""


def gather(root: Path, into: Path) -> None:
    """Write every page of the site, and its settings, into the folder ``into``.

    Raises:
        NoTarget: a page links to a file that is not there.
    """
    pages = into / "docs"
    shutil.rmtree(pages, ignore_errors=True)
    pages.mkdir(parents=True)
    shutil.copy(root / CONFIG, into / CONFIG)
    sources = {f"docs/{path}": path for path in _files(root / "docs")} | TAKEN
    for source, page in sources.items():
        target = pages / page
        target.parent.mkdir(parents=True, exist_ok=True)
        if not page.endswith(".md"):
            shutil.copy(root / source, target)
            continue
        text = (root / source).read_text(encoding="utf-8")
        target.write_text(_led(text, source, page, sources, root, pages), encoding="utf-8")
    for page, make in MADE.items():
        target = pages / page
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(make(), encoding="utf-8")


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _led(text: str, source: str, page: str, sources: dict[str, str], root: Path, pages: Path) -> str:
    """The text of a page with its links led to where their targets are in the site."""

    def lead(match: re.Match[str]) -> str:
        opens, link, closes = match.groups()
        if re.match(r"[a-z]+:", link):
            return match[0]
        file = os.path.normpath(PurePosixPath(source).parent / link)
        return f"{opens}{os.path.relpath(_place(file, link), PurePosixPath(page).parent)}{closes}"

    def _place(file: str, link: str) -> str:
        if file.startswith("docs/") and file.removeprefix("docs/") in MADE:
            return file.removeprefix("docs/")
        for name in (file, f"{file}/README.md"):
            if name in sources:
                return sources[name]
        if not (root / file).is_file():
            raise NoTarget(f"{source} links to {link}, which is not there")
        copy = pages / "files" / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / file, copy)
        return f"files/{file}"

    lines, fenced = [], False
    for line in text.splitlines(keepends=True):
        if _FENCE.match(line):
            fenced = not fenced
        lines.append(line if fenced else _LINK.sub(lead, line))
    return "".join(lines)
