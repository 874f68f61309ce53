"""The client for threads is made from the one for an event loop, and an edit of one side alone is found."""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from redsched.client.aio import runtime as aio_runtime
from redsched.client.sync import runtime as sync_runtime
from tools import unasync


@pytest.fixture
def client(tmp_path: Path) -> Path:
    """A copy of the client's folder."""
    shutil.copytree(unasync.CLIENT, tmp_path / "client", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "client"


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def named(client: Path) -> list[tuple[str, str]]:
    """The files that differ, each with its folder."""
    return [(file.parent.name, file.name) for file, _ in unasync.differences(client)]


def test_the_sync_client_is_what_the_async_one_makes() -> None:
    assert named(unasync.CLIENT) == []


@pytest.mark.parametrize("side", ["aio", "sync"])
def test_an_edit_of_one_side_alone_is_found(client: Path, side: str) -> None:
    edit(client / side / "holds.py", '"30s"', '"31s"')

    assert named(client) == [("sync", "holds.py")]


def test_the_same_edit_of_both_sides_is_none(client: Path) -> None:
    for side in ("aio", "sync"):
        edit(client / side / "holds.py", '"30s"', '"31s"')

    assert named(client) == []


def test_a_file_without_its_counterpart_is_found(client: Path) -> None:
    (client / "aio" / "holds.py").unlink()
    (client / "sync" / "queues.py").unlink()

    assert named(client) == [("sync", "holds.py"), ("sync", "queues.py")]


def test_what_only_an_event_loop_has_is_refused_with_its_place(client: Path) -> None:
    edit(client / "aio" / "transport.py", "import contextlib\n", "import asyncio\nimport contextlib\n")

    with pytest.raises(unasync.Unmakable, match=r"transport\.py:\d+: .* import asyncio$"):
        list(unasync.differences(client))


@pytest.mark.parametrize("text", ['"""Do not await it twice."""', "# whoever may await it", '"await it"'])
def test_a_sentence_that_says_await_is_refused_with_its_place(client: Path, text: str) -> None:
    first = '"""The queues\n\nof a client.\n"""\n'
    (client / "aio" / "queues.py").write_text(f"{first}{text}\n", encoding="utf-8")

    with pytest.raises(unasync.Unmakable, match=r"queues\.py:5: ") as refused:
        unasync.counterpart(client / "aio" / "queues.py")

    assert str(refused.value).endswith(text)


def test_what_walks_through_an_async_iterator_walks_through_a_plain_one(client: Path) -> None:
    walk = "async def walk(pages):\n    rows = aiter(pages)\n    await anext(rows)\n    await rows.aclose()\n"
    (client / "aio" / "queues.py").write_text(walk, encoding="utf-8")

    _, _, made = unasync.counterpart(client / "aio" / "queues.py").partition("\n")

    assert made == "def walk(pages):\n    rows = iter(pages)\n    next(rows)\n    rows.close()\n"


def test_each_made_file_says_so_in_its_first_line() -> None:
    for source in unasync.sources(unasync.CLIENT):
        first = (unasync.CLIENT / "sync" / source.name).read_text(encoding="utf-8").partition("\n")[0]
        assert f"from redsched/client/aio/{source.name}" in first and "make sync-client" in first


def test_both_runtimes_have_the_same_names_with_the_same_parameters() -> None:
    def names(module: ModuleType) -> dict[str, inspect.Signature | None]:
        functions = inspect.getmembers(module, lambda one: getattr(one, "__module__", None) == module.__name__)
        return {name: inspect.signature(one) for name, one in functions if inspect.isfunction(one)}

    assert names(aio_runtime) == names(sync_runtime) != {}
    for name in ("Lock", "sleep"):
        assert callable(getattr(aio_runtime, name)) and callable(getattr(sync_runtime, name))
