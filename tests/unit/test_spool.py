"""Answers that could not be told are kept for the next start, once, and a broken line does not lose the others."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from redsched.engine.worker.spool import Spool
from redsched.settings import Settings
from redsched.wire.claims import Settlement

DONE = Settlement("otp", "a", "1.ff", "complete", b'{"n":1}')
FAILED = Settlement("otp", "b", "2.ff", "retry", 500, "boom", "trace")


def spool_in(folder: Path, url: str = "redis://127.0.0.1") -> Spool:
    """The file of a server in this folder."""
    return Spool(Settings(redis_url=url, data_dir=str(folder)))


def test_what_was_kept_is_taken_once(tmp_path: Path) -> None:
    spool = spool_in(tmp_path / "new")

    assert spool.keep([DONE]) == 1 and spool.keep([FAILED]) == 1
    assert spool.path.stat().st_mode & 0o777 == 0o600 and spool.path.parent.stat().st_mode & 0o777 == 0o700

    found = spool.take()
    assert [(end.task_id, end.token, end.outcome, end.first) for end in found] == [
        ("a", "1.ff", "complete", '{"n":1}'),
        ("b", "2.ff", "retry", "500"),
    ]
    assert spool_in(tmp_path / "new").take() == []
    spool.told()
    assert list(spool.path.parent.iterdir()) == []


def test_a_line_cut_short_by_a_crash_does_not_lose_the_others(tmp_path: Path) -> None:
    spool = spool_in(tmp_path)
    spool.keep([DONE])
    with spool.path.open("ab") as file:
        file.write(b'{"queue":"otp","task_')

    assert [end.task_id for end in spool.take()] == ["a"]


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch()
    spool = spool_in(tmp_path)
    spool.path.parent.mkdir()
    spool.path.symlink_to(tmp_path / "elsewhere")

    assert spool.keep([DONE]) == 0
    assert (tmp_path / "elsewhere").read_bytes() == b""


def test_answers_for_one_server_are_not_taken_for_another(tmp_path: Path) -> None:
    spool_in(tmp_path, "redis://one").keep([DONE])

    assert spool_in(tmp_path, "redis://two").take() == []
    assert spool_in(tmp_path, "redis://one/1").take() == []
    assert [end.task_id for end in spool_in(tmp_path, "redis://me:pw@one:6379/0").take()] == ["a"]


def _folder_is_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.touch()


IN_ITS_PLACE: dict[str, Callable[[Path], None]] = {
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a file for its folder": _folder_is_a_file,
    "a sparse file": lambda path: os.truncate(_empty(path), 1 << 40),
}


def _empty(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize("what", IN_ITS_PLACE)
def test_what_is_no_file_of_answers_is_told_in_the_log_and_stays(
    tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    spool = spool_in(tmp_path)
    spool.path.parent.mkdir()
    IN_ITS_PLACE[what](spool.path)

    with caplog.at_level(logging.ERROR):
        assert spool.take() == []
        spool.told()

    assert [record.message for record in caplog.records] == ["answers.unreadable"]
    if what != "a file for its folder":
        assert len(list(spool.path.parent.iterdir())) == 1
        assert spool_in(tmp_path).take() == []
        assert spool.keep([DONE]) == 1 and len(spool.take()) == 1  # its place is free
        assert [record.message for record in caplog.records].count("answers.unreadable") == 1
