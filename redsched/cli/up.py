"""``redsched up``: server, HTTP interface, mover and worker as one process tree, kept alive and stopped together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from redsched.cli import parse, render
from redsched.cli.invocation import USAGE, Command, Failure, Invocation, pass_invocation

if TYPE_CHECKING:
    from redsched.cli.supervisor import Signals
    from redsched.embedded import EmbeddedServer
    from redsched.settings import Settings

BUILTIN = "redsched.builtin:app"


@click.command(
    cls=Command,
    reads=("client", "enqueue", "worker", "api", "up"),
    short_help="Run everything: Redis, HTTP interface, mover, worker.",
)
@click.argument("app", required=False, metavar="[MODULE:APP]")
@click.option("--host", "api_host", help="Address of the HTTP interface.")
@click.option(
    "--port",
    "api_port",
    type=click.IntRange(0, 65535),
    help="Its port; 0 takes a free one, and the same one at the next start.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False),
    help="Where the embedded server keeps its data.",
)
@click.option("-q", "--queues", metavar="A,B", callback=parse.names, help="Queues to serve.")
@click.option("-c", "--concurrency", type=click.IntRange(min=1), help="Tasks run at a time.")
@pass_invocation
def up(given: Invocation, /, app: str | None, **flags: Any) -> None:
    """Run everything: Redis, HTTP interface, mover and worker. Without an app it runs the types log, sleep and fail.

    Starts a Redis server of its own unless one is given; its data are kept from run to run.
    """
    import msgspec

    from redsched.cli import supervisor, up_banner, up_ports
    from redsched.cli.run import queues_of
    from redsched.embedded import free_port
    from redsched.engine.app import App

    loaded = App.load(app or BUILTIN)
    settings = given.settings(**flags)
    settings = msgspec.structs.replace(settings, queues=queues_of(loaded, given.configuration(**flags)))
    supervisor.require_port(settings.api_host, settings.api_port)
    with supervisor.Signals() as signals, _redis(given, settings) as server:
        if server is not None:
            settings = up_ports.kept(settings, server)
        elif settings.api_port == 0:
            settings = msgspec.structs.replace(settings, api_port=free_port())
        system = System(settings, app or BUILTIN, signals, server)
        try:
            if system.start():
                up_banner.show(given, settings, loaded, server)
                system.watch()
        finally:
            system.stop()
    if system.exit_code:
        raise SystemExit(system.exit_code)


@contextmanager
def _redis(given: Invocation, settings: Settings) -> Iterator[EmbeddedServer | None]:
    """The embedded server, or None where the user named one, which must answer."""
    from pathlib import Path

    from redsched.cli import up_ports
    from redsched.embedded import EmbeddedServer
    from redsched.model.errors import InvalidSetting
    from redsched.settings import default_data_dir

    if given.is_given("redis_url"):
        with given.client() as client:
            client.ping()
        yield None
        return
    try:
        folder = Path(settings.data_dir or default_data_dir()).expanduser()
        server = EmbeddedServer.start(folder, first_port=up_ports.read(folder).redis)
    except InvalidSetting as error:
        if error.setting != "data_dir":
            raise
        raise Failure(f"{error.problem}.\nGive another with --data-dir.") from None
    with server:
        yield server


class System:
    """The children and the embedded server of one ``up``."""

    def __init__(self, settings: Settings, app: str, signals: Signals, server: EmbeddedServer | None) -> None:
        from redsched.cli import supervisor

        self.exit_code = 0
        self._settings = settings
        self._signals = signals
        self._server = server
        self._children = [
            supervisor.Child("redsched up: the HTTP interface", ("api",), settings),
            supervisor.Child("redsched up: the worker", ("worker", app), settings, says=True),
        ]

    def start(self) -> bool:
        """Start the children; False when the HTTP interface does not come up or a stop was asked."""
        from redsched.cli import supervisor, up_banner

        api, *_ = [child.start() for child in self._children]
        if supervisor.wait_until_live(up_banner.api_url(self._settings) + "/livez", api, self._signals):
            return True
        if not self._signals.stopped:
            self.exit_code = api.poll() or 1
            render.say("redsched up: the HTTP interface did not come up; the reason is above", err=True)
        return False

    def watch(self) -> None:
        """Until a stop is asked, or a child finds that it can never run."""
        while not self._signals.wait(min(child.next_look() for child in self._children)):
            self._look_at_server()
            for child in self._children:
                if child.look() == USAGE and not child.has_said("begun"):
                    render.say(f"{child.name} cannot start; the reason is above", err=True)
                    self.exit_code = USAGE
                    return

    def stop(self) -> None:
        """The children first, gracefully; the server ends after them."""
        from redsched.cli import supervisor

        supervisor.stop_all(self._children, self._signals, self._settings)

    def _look_at_server(self) -> None:
        from redsched.cli.supervisor import ended

        if self._server is not None and (code := self._server.process.poll()) is not None:
            render.say(f"redsched up: the Redis server {ended(code)}; starting it again", err=True)
            self._server.restart()
