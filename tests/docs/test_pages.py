"""README and docs/: every command and every snippet does what the page says, and the few that are not run say why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import redis

from redsched.cli.main import main
from redsched.embedded import EmbeddedServer
from tests.support import servers
from tests.support.pages import INERT, ROOT, RUNNABLE, Block, Reader, blocks, pages

PAGES = [page for page in pages() if any(block.language in RUNNABLE for block in blocks(page))]
MOST_NOT_RUN = 8


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One server for the pages that start none."""
    with EmbeddedServer.start(tmp_path_factory.mktemp("redis")) as found:
        yield found


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_page_works_as_it_stands(page: Path, server: EmbeddedServer, tmp_path: Path) -> None:
    for tool in ("redis-cli", "curl"):
        if any(tool in block.text for block in blocks(page) if block.language == "sh"):
            servers.require(tool)
    redis.Redis.from_url(server.url).flushall()
    with Reader(tmp_path, server.port) as reader:
        for block in blocks(page):
            try:
                reader.read(block)
            except BaseException as error:
                error.add_note(f"in {named(page)}, line {block.line}")
                raise


def every_block() -> list[tuple[str, Block]]:
    return [(f"{named(page)}:{block.line}", block) for page in pages() for block in blocks(page)]


def test_each_block_says_what_it_is() -> None:
    assert [where for where, block in every_block() if block.language not in (*RUNNABLE, *INERT)] == []


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    left_out = {where: block for where, block in every_block() if block.mark == "not run"}

    assert [where for where, block in left_out.items() if len(block.told.split()) < 3] == []
    assert len(left_out) <= MOST_NOT_RUN, list(left_out)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def read(text: str, tmp_path: Path, server: EmbeddedServer) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with Reader(tmp_path, server.port) as reader:
        for block in blocks(page):
            reader.read(block)


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint(1 / 0)\n```\n",
        "```sh\nfalse\n```\n",
        "```sh\nfalse | cat\n```\n",
        "<!-- ends with: 3 -->\n```sh\nexit 4\n```\n",
        "```sh\necho one\n```\n\n<!-- output -->\n```text\ntwo\n```\n",
        "```sh\necho one and two\n```\n\n<!-- output -->\n```text\none\n```\n",
        "```python\n# shop.py\nimport no_such_module\n```\n",
        "```python\n# test_shop.py\ndef test_it():\n    assert False\n```\n",
        "<!-- runs until: ready -->\n```sh\necho over\n```\n",
        "- in a list:\n\n    ```sh\n    false\n    ```\n",
    ],
)
def test_a_block_that_does_not_work_is_noticed(text: str, tmp_path: Path, server: EmbeddedServer) -> None:
    with pytest.raises((AssertionError, ZeroDivisionError, ModuleNotFoundError)):
        read(text, tmp_path, server)


def test_a_block_finds_what_the_blocks_before_it_left(tmp_path: Path, server: EmbeddedServer) -> None:
    text = (
        "```python\n# shop.py\nNAME = 'shop'\n```\n\n```python\nfrom shop import NAME\nprint(NAME, 'here')\n```\n\n"
        "<!-- output -->\n```text\nshop ...\n```\n\n<!-- not run: it needs two machines -->\n```sh\nfalse\n```\n\n"
        "```sh\nredsched -o json queue ls\n```\n\n<!-- ends with: 3 -->\n```sh\nredsched task show nobody\n```\n"
    )
    read(text, tmp_path, server)


def test_each_command_that_a_sentence_names_exists() -> None:
    """With its options; those that blocks show are run."""
    wrong = []
    for page in pages():
        for text in re.findall(r"`redsched ([^`]+)`", page.read_text(encoding="utf-8")):
            command: click.Command = main
            options = {"--help"} | {option for one in main.params for option in one.opts}
            for word in text.split():
                if word.startswith("-"):
                    options |= {option for one in command.params for option in one.opts}
                    wrong += [f"{named(page)}: {text}"] * (word.partition("=")[0] not in options)
                elif isinstance(command, click.Group) and word.isalpha() and word.islower():
                    found = command.get_command(click.Context(command), word)
                    wrong += [f"{named(page)}: {text}"] * (found is None)
                    command = found or command
    assert wrong == []
