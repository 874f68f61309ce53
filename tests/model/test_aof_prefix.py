"""Every-prefix crash of the append-only file, in short."""

from __future__ import annotations

from pathlib import Path

import pytest

from redsched import embedded
from redsched.model.errors import InvalidSetting
from tests.simulation import aof_prefix
from tests.simulation.calls_and_states import Violation
from tests.support import servers

CUTS = 60


def test_a_server_that_reads_any_prefix_of_its_file_has_every_whole_call_and_no_half_one(tmp_path: Path) -> None:
    try:
        embedded.find_server_binary()
    except InvalidSetting as error:
        servers.missing(str(error))
    recorded = tmp_path / "recorded"
    recorded.mkdir()

    session = aof_prefix.record(recorded)

    assert session.calls >= aof_prefix.OPERATIONS
    for cut in session.cuts(CUTS):
        aof_prefix.check(session, cut, tmp_path / "cut")


def test_a_lost_write_is_noticed(tmp_path: Path) -> None:
    recorded = tmp_path / "recorded"
    recorded.mkdir()
    session = aof_prefix.record(recorded, 100)
    content = session.incremental.read_bytes()
    at = content.rindex(b"HSET")

    session.incremental.write_bytes(content[:at] + b"HDEL" + content[at + 4 :])

    with pytest.raises(Violation):
        aof_prefix.check(session, len(content), tmp_path / "cut")
