"""Where a test's tasks are kept: in memory (fakeredis), or on a server that is started for all tests of the process."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

import msgspec

from redsched.client import Client
from redsched.embedded import EmbeddedServer
from redsched.model.errors import InvalidSetting
from redsched.settings import Settings
from redsched.steps import doctor as doctor_steps
from redsched.testing.looks import all_keys
from redsched.wire.ids import nonce

ServerKind = Literal["memory", "embedded"]
A_CALL = 500  # keys that one UNLINK removes


class Store:
    """An empty namespace with a virtual clock, that no other test sees.

    ``memory`` runs redsched's own Lua in this process. ``embedded`` starts one real server for all tests of the
    process; each store has a namespace of its own there, which ``close`` empties.
    """

    def __init__(self, server: ServerKind, settings: Settings | None) -> None:
        """Without ``settings`` those of redsched hold; the environment is not read.

        Raises:
            InvalidSetting: there is no such kind of server, or what it needs is not installed.
        """
        self.settings = settings or Settings()
        self._fake: Any = None
        if server == "memory":
            self._fake = _fakeredis().FakeServer(version=(7,))
        elif server == "embedded":
            changes = {"redis_url": _embedded_server().url, "namespace": f"test-{nonce()}"}
            self.settings = msgspec.structs.replace(self.settings, **changes)
        else:
            raise InvalidSetting("server", f"{server!r} is not memory or embedded")
        with Client(settings=self.settings, redis=self.connection()) as client:
            client.transport.command("HSET", client.cell_keys.meta, "virtual_clock", 1)

    def connection(self) -> Any:
        """What ``Client(redis=...)`` takes; None where the URL of the settings leads to the server."""
        return self._fake and _fakeredis().FakeRedis(server=self._fake, protocol=2)

    def async_connection(self) -> Any:
        """The same for ``AsyncClient``."""
        return self._fake and _fakeredis().FakeAsyncRedis(server=self._fake, protocol=2)

    def close(self) -> None:
        """Remove everything of the test."""
        if self._fake is not None:
            return
        with Client(settings=self.settings) as client:
            keys = client.converse("scan", all_keys(client.cell_keys.prefix))
            for at in range(0, len(keys), A_CALL):
                client.converse("unlink", doctor_steps.ask(("UNLINK", *keys[at : at + A_CALL])))


def _fakeredis() -> Any:
    lacking = [name for name in ("fakeredis", "lupa") if importlib.util.find_spec(name) is None]
    if lacking:
        raise InvalidSetting(
            "server",
            f"memory needs the package {lacking[0]}: pip install 'redsched[testing]', or choose server='embedded'",
        )
    import fakeredis

    return fakeredis


@functools.cache
def _embedded_server() -> EmbeddedServer:
    """The server of this process; it ends with it."""
    data_dir = Path(tempfile.mkdtemp(prefix="redsched-testing-"))
    atexit.register(shutil.rmtree, data_dir, ignore_errors=True)
    server = EmbeddedServer.start(data_dir, appendfsync="no")
    atexit.register(server.stop)
    return server
