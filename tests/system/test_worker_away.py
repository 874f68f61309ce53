"""A worker whose Redis is away for longer than a moment says so, also where all its calls are repeated until it is
back."""

from __future__ import annotations

from pathlib import Path

from tests.support.servers import Store, connect, start_valkey
from tests.support.workers import Site


def test_an_outage_is_told_and_so_is_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    with start_valkey(folder) as server, Site(Store("valkey", connect(server.url), url=server.url), tmp_path) as site:
        worker = site.worker()
        assert site.run("note").state == "completed"

        server.kill()
        away = worker.wait_for_error("redis.away")
        server.restart()
        back = worker.wait_for_error("redis.back")

        assert site.run("note").state == "completed"
        assert "WARNING" in away and "error=" in away
        assert float(back.partition("seconds=")[2]) >= 1.0
        told = [line for line in worker.errors if "redis.away" in line or "redis.back" in line]
        assert told[:2] == [away, back]
