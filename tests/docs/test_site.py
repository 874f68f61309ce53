"""The site: it builds without a network and lists every page, and its reference says what the code has."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest

import redsched
import redsched.testing
from redsched.cli.main import main
from redsched.settings import TABLE
from redsched.web.problems import TITLES
from tools.docs import cli_reference, code_reference, http_reference, pages, tables_reference
from tools.docs.__main__ import build
from tools.docs.docstrings import markdown

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the site was built."""
    into = tmp_path_factory.mktemp("site")
    assert build(ROOT, into) == 0
    return into


def named_in(nav: Any) -> set[str]:
    """The pages of a navigation."""
    if isinstance(nav, str):
        return {nav}
    return set().union(*(named_in(part) for part in (nav.values() if isinstance(nav, dict) else nav)))


def test_every_page_is_in_the_navigation_and_built(site: Path) -> None:
    named = named_in(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"])
    gathered = {str(path.relative_to(site / "docs")) for path in (site / "docs").rglob("*.md")}

    assert named == gathered
    assert [page for page in named if not (site / "site" / page).with_suffix(".html").is_file()] == []


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    texts = {page.name: page.read_text() for page in (site / "site").rglob("*.html")}
    elsewhere = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*?(?:src|href)="(?:\w+:)?//[^"]*""")
    loaded = {name: found for name, text in texts.items() if (found := elsewhere.findall(text))}
    drawn = [name for name, text in texts.items() if 'class="mermaid"' in text]  # by a script from elsewhere
    styles = [path.name for path in (site / "site").rglob("*.css") if re.search(r"url\(.?https?:", path.read_text())]

    assert (loaded, drawn, styles) == ({}, [], [])


@pytest.mark.parametrize("link", ["nowhere.md", "../nowhere.py", "other.md#nowhere"])
def test_a_link_that_leads_nowhere_stops_the_build(link: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "TAKEN", {})
    monkeypatch.setattr(pages, "MADE", {})
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text("# Other\n\n## There\n")
    (tmp_path / pages.CONFIG).write_text('[project]\nsite_name = "x"\n')
    index = tmp_path / "docs" / "index.md"

    index.write_text("# Start\n\n[there](other.md#there)\n")
    assert build(tmp_path, tmp_path / "build") == 0

    index.write_text(f"# Start\n\n[there]({link})\n")
    try:
        assert build(tmp_path, tmp_path / "build") != 0
    except pages.NoTarget as problem:
        assert link in str(problem)


def test_the_reference_has_every_public_name() -> None:
    page = code_reference.page()
    headings = set(re.findall(r"^### (\S+)$", page, re.MULTILINE))

    assert headings >= {*redsched.__all__, *redsched.testing.__all__}
    assert "#### AsyncClient.enqueue\n" in page and "#### AsyncClient.schedules.put\n" in page
    assert "- `payload: Any = None`" in page  # a field of Task


def test_the_reference_has_every_command_setting_and_code() -> None:
    commands, settings, http = cli_reference.page(), tables_reference.settings(), http_reference.page()
    paths = {ctx.command_path for ctx in cli_reference._commands(click.Context(main, info_name="redsched"))}

    assert len(paths) > 40 and [path for path in paths if f" {path}\n\n" not in commands] == []
    assert [row.name for row in TABLE.values() if f"`{row.variables[-1]}`" not in settings] == []
    assert "| `POST /v1/queues/{queue}:resume` | What its name says. |" in http_reference.page()
    assert [code for code in TITLES if f"`{code}`" not in http] == []


def test_the_reference_has_every_metric_that_alerts_read() -> None:
    page = tables_reference.metrics()
    read = set(re.findall(r"\b(redsched_\w+)", (ROOT / "ops/prometheus-rules.yml").read_text()))

    assert len(read) > 5
    assert [name for name in read if f"`{re.sub('_(bucket|sum|count)$', '', name)}`" not in page] == []


def test_a_docstring_becomes_markdown() -> None:
    text = (
        "Do ``it``.\n``one``: of them,\nor two.\n``two``: no.\n\n"
        "Raises:\n    OSError: it is not\n        there.\n    KeyError: no.\n"
    )
    listed = "Do `it`.\n\n- `one`: of them,\nor two.\n- `two`: no.\n\n"

    assert markdown(text) == f"{listed}Raises:\n\n- `OSError`: it is not there.\n- `KeyError`: no."
