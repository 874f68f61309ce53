"""No change of the Lua goes out under a build number that another text has."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from redsched.wire import builds, scripts

ROOT = Path(__file__).parents[2]
ONE, TWO, THREE = ("1" * 16, "2" * 16, "3" * 16)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with two builds, both committed."""
    (tmp_path / "lua").mkdir()
    write(tmp_path, f"1 {ONE}", f"2 {TWO}")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t", *words], check=True)


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Change it")


def write(folder: Path, *lines: str) -> None:
    (folder / "lua" / "BUILDS").write_text("# for people\n" + "".join(line + "\n" for line in lines))


def lines(folder: Path) -> list[str]:
    return [line for line in (folder / "lua" / "BUILDS").read_text().splitlines() if not line.startswith("#")]


def test_the_lua_of_this_tree_has_a_build_of_its_own() -> None:
    assert builds.problem(ROOT, scripts.digest()) is None
    assert scripts.is_released()


def test_a_text_without_a_line_is_told_with_its_remedy(checkout: Path) -> None:
    assert builds.problem(checkout, TWO) is None

    told = builds.problem(checkout, THREE)
    assert told is not None and "make build-number" in told


def test_one_command_records_a_text_and_a_second_change_before_the_commit_takes_the_same_number(checkout: Path) -> None:
    assert builds.record(checkout, THREE) == f"3 {THREE}"
    assert builds.problem(checkout, THREE) is None
    assert builds.record(checkout, "4" * 16) == f"3 {'4' * 16}"
    commit(checkout)
    assert builds.record(checkout, "4" * 16) == f"3 {'4' * 16}"
    assert builds.record(checkout, ONE) == f"4 {ONE}"

    assert lines(checkout) == [f"1 {ONE}", f"2 {TWO}", f"3 {'4' * 16}", f"4 {ONE}"]
    assert builds.problem(checkout, ONE) is None


@pytest.mark.parametrize(
    "changed",
    [
        [f"2 {TWO}"],
        [f"1 {THREE}", f"2 {TWO}"],
        [f"1 {ONE}", f"3 {TWO}"],
    ],
)
def test_a_line_that_was_committed_may_not_go(checkout: Path, changed: list[str]) -> None:
    write(checkout, *changed)
    assert "was committed once" in (builds.problem(checkout, TWO) or "")

    commit(checkout)  # not even a commit ago
    assert "was committed once" in (builds.problem(checkout, TWO) or "")


@pytest.mark.parametrize("bad", [[f"1 {ONE}", f"1 {TWO}"], [f"2 {ONE}", f"1 {TWO}"], ["two"], [f"1  {ONE}"]])
def test_a_number_is_given_once_and_grows(tmp_path: Path, bad: list[str]) -> None:
    (tmp_path / "lua").mkdir()
    write(tmp_path, *bad)

    assert builds.problem(tmp_path, TWO) is not None


def test_a_conflict_is_solved_by_recording(checkout: Path) -> None:
    write(checkout, f"1 {ONE}", f"2 {TWO}", "<<<<<<< HEAD", "=======", f"2 {THREE}", ">>>>>>> mine")

    assert builds.record(checkout, THREE) == f"3 {THREE}"

    assert lines(checkout) == [f"1 {ONE}", f"2 {TWO}", f"3 {THREE}"]


def test_without_a_repository_the_lines_alone_are_judged(tmp_path: Path) -> None:
    (tmp_path / "lua").mkdir()
    write(tmp_path, f"1 {ONE}")

    assert builds.problem(tmp_path, ONE) is None
    assert builds.problem(tmp_path, TWO) is not None
    assert builds.record(tmp_path, TWO) == f"2 {TWO}"
