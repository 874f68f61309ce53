"""The shape of the source: imports point one way, each kind of knowledge has one home, files stay short."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import redsched

ROOT = Path(redsched.__file__).parents[1]
PACKAGE = ROOT / "redsched"
FILES = sorted(PACKAGE.rglob("*.py"))
LUA_FILES = sorted((ROOT / "lua").rglob("*.lua"))

BELOW = {"model", "schedule", "configuration", "settings", "redis_url", "wire", "steps", "client"}
MAY_IMPORT: dict[str, set[str]] = {
    "model": {"model", "schedule"},
    "schedule": {"model", "schedule"},
    "configuration": {"model", "configuration"},
    "settings": {"model", "configuration", "redis_url"},
    "redis_url": set(),
    "wire": {"model", "schedule", "wire"},
    "steps": {"model", "schedule", "settings", "wire", "steps"},
    "client": {"model", "schedule", "settings", "redis_url", "wire", "steps", "client"},
    "embedded": {"model", "settings"},
    "engine": BELOW | {"engine", "eventloop"},
    "eventloop": set(),
    "observe": BELOW | {"eventloop", "observe"},
    "web": BELOW | {"eventloop", "observe", "web"},
    "builtin": {"engine", "model"},
    "testing": BELOW | {"engine", "eventloop", "embedded", "testing"},
    "torture": BELOW | {"engine", "eventloop", "observe", "web", "embedded", "torture"},
    "demo": BELOW | {"engine", "observe", "web", "cli", "demo", "embedded", "builtin"},
    "cli": BELOW
    | {"engine", "eventloop", "observe", "web", "cli", "demo", "torture", "embedded", "builtin", "__init__"},
    "__main__": {"cli"},
    "__init__": BELOW | {"engine"},
}


def part(file: Path) -> str:
    """The part of the package that a file belongs to: its folder, or its own name."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def imports(file: Path) -> list[tuple[int, str]]:
    """Every import of a file, those inside functions too: line and dotted name."""
    return list(_imports(file))


def _imports(file: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} is relative; write the whole name"
            module = node.module or ""
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"


def imported_part(name: str) -> str | None:
    """The part of redsched that a dotted name lies in; None outside redsched."""
    names = name.split(".")
    if names[0] != "redsched":
        return None
    if len(names) == 1 or not ((PACKAGE / names[1]).is_dir() or (PACKAGE / f"{names[1]}.py").is_file()):
        return "__init__"
    return names[1]


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Imports inside functions and for the type checker count, too: whoever reads one file has to know the other."""
    tops = (PACKAGE, ROOT / "bench", ROOT / "tests", ROOT / "tools")
    files = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for top in tops
        for file in top.rglob("*.py")
        if "node_modules" not in file.parts
    }
    reached: dict[str, set[str]] = {}
    for name, file in files.items():
        found = (name if name in files else name.rpartition(".")[0] for _, name in imports(file))
        reached[name] = {one for one in found if one in files and one != name}
    grown = True
    while grown:
        grown = False
        for known in reached.values():
            more = set().union(*(reached[one] for one in known)) - known
            known.update(more)
            grown = grown or bool(more)
    assert sorted(name for name, found in reached.items() if name in found) == []


def test_a_folder_of_tests_holds_tests_only() -> None:
    """What tests stand on has rooms of its own; tests/README.md names them."""
    folders = {file.parent for file in (ROOT / "tests").rglob("test_*.py") if "node_modules" not in file.parts}
    assert {folder.name for folder in folders} >= {"unit", "lua", "contract", "model", "system"}

    files = (file for folder in folders for file in folder.rglob("*.py") if "node_modules" not in file.parts)
    helpers = [file for file in files if file.name != "conftest.py" and not file.name.startswith("test_")]
    assert sorted(str(file.relative_to(ROOT)) for file in helpers) == []


def test_nothing_imports_from_a_test_or_from_fixtures() -> None:
    found = {
        f"{file.relative_to(ROOT)} imports {name}"
        for folder in (ROOT / "tests", ROOT / "bench", PACKAGE)
        for file in folder.rglob("*.py")
        if "node_modules" not in file.parts
        for _, name in imports(file)
        if name.startswith("tests.") and any(word == "conftest" or word.startswith("test_") for word in name.split("."))
    }
    assert found == set()


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_one_way(file: Path) -> None:
    allowed = MAY_IMPORT[part(file)]
    for line, name in imports(file):
        target = imported_part(name)
        assert target is None or target in allowed, f"{file.relative_to(ROOT)}:{line} imports {name}"


def test_the_library_of_time_knows_durations_and_errors_and_nothing_else_of_ours() -> None:
    others = {
        f"{file.name}:{line} {name}"
        for file in sorted((PACKAGE / "schedule").glob("*.py"))
        for line, name in imports(file)
        if name.startswith("redsched")
        and not name.startswith(("redsched.schedule.", "redsched.model.duration.", "redsched.model.errors."))
    }
    assert others == set()


def test_only_the_runtimes_and_what_they_share_import_redis_py() -> None:
    importers = {
        str(file.relative_to(PACKAGE)) for file in FILES for _, name in imports(file) if name.split(".")[0] == "redis"
    }
    assert importers == {f"client/{name}.py" for name in ("pools", "connections", "aio/runtime", "sync/runtime")}


def test_only_settings_reads_the_environment() -> None:
    readers = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv"):
                readers.add(str(file.relative_to(PACKAGE)))
        readers |= {str(file.relative_to(PACKAGE)) for _, name in imports(file) if name.startswith("os.environ")}
    assert readers == {"settings.py"}


def test_the_public_names_can_be_imported_and_are_the_documented_ones() -> None:
    assert len(set(redsched.__all__)) == len(redsched.__all__)
    for name in redsched.__all__:
        assert getattr(redsched, name) is not None
    expected = {
        "App",
        "Context",
        "Client",
        "AsyncClient",
        "Task",
        "TaskView",
        "Enqueued",
        "Page",
        "QueueStats",
        "Settings",
        "Fixed",
        "Exponential",
        "Explicit",
        "Completed",
        "Retry",
        "Snooze",
        "Dead",
        "Cancelled",
        "RetryLater",
        "SnoozeFor",
        "Reject",
        "Stop",
        "RedschedError",
        "InvalidTask",
        "InvalidSetting",
        "TaskNotFound",
        "TaskConflict",
        "InvalidState",
        "LeaseLost",
        "Schedule",
        "TaskTemplate",
        "Every",
        "CalendarRule",
        "Exclude",
        "InvalidSchedule",
        "ScheduleNotFound",
        "OutcomeUnknown",
        "StoreError",
        "StoreUnavailable",
        "StoreReadOnly",
        "StoreFull",
        "StoreDenied",
    }
    assert expected <= set(redsched.__all__)


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(file.relative_to(ROOT)) for file in FILES if not ast.get_docstring(ast.parse(file.read_text()))]
    assert silent == []


def _longest(file: Path) -> int:
    """Lines that a file may have: a verb of the Lua is one page, a module of it two."""
    return 450 if file.suffix == ".py" else 170 if "lib" in file.relative_to(ROOT).parts else 80


def test_no_file_is_longer_than_its_limit() -> None:
    assert LUA_FILES, "the Lua tree is not where it should be"
    too_long = {
        str(file.relative_to(ROOT)): lines
        for files in (FILES, LUA_FILES, *((ROOT / top).rglob("*.py") for top in ("bench", "tests", "tools")))
        for file in files
        if "node_modules" not in file.parts and (lines := len(file.read_text().splitlines())) > _longest(file)
    }
    assert too_long == {}


def test_a_line_of_lua_fits_on_the_screen() -> None:
    too_wide = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in LUA_FILES
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > 130
    ]
    assert too_wide == []


def test_only_tables_that_are_data_keep_a_layout_of_their_own() -> None:
    """Everything else is laid out by ``ruff format``."""
    others = []
    for folder in (PACKAGE, ROOT / "bench", ROOT / "tests", ROOT / "tools"):
        for file in (file for file in folder.rglob("*.py") if "node_modules" not in file.parts):
            text = file.read_text(encoding="utf-8")
            marked = [number for number, line in enumerate(text.splitlines(), 1) if line.endswith("# fmt: skip")]
            scopes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Module | ast.ClassDef))
            tables = {
                one.end_lineno for scope in scopes for one in scope.body if isinstance(one, ast.Assign | ast.AnnAssign)
            }
            others += [f"{file.relative_to(ROOT)}:{number}" for number in marked if number not in tables]
    assert others == []
