"""``redsched worker``, ``mover`` and ``api``: one process each, stopped gracefully by SIGTERM or Ctrl-C."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from redsched.cli import parse
from redsched.cli.invocation import Command, Invocation, pass_invocation

if TYPE_CHECKING:
    from redsched.engine.app import App
    from redsched.observe.metrics import PrometheusObserver
    from redsched.settings import Configuration, Settings


def _metrics_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--metrics-port",
        type=click.IntRange(1, 65535),
        help="Serve Prometheus metrics on this port of 127.0.0.1; worker i of several on port + i.",
    )(command)


@click.command(cls=Command, reads=("client", "enqueue", "worker"), short_help="Run the tasks of an application.")
@click.argument("app", metavar="MODULE:APP")
@click.option(
    "-q",
    "--queues",
    metavar="A,B",
    callback=parse.names,
    help="Queues to serve, in order.",
)
@click.option("-c", "--concurrency", type=click.IntRange(min=1), help="Tasks run at a time.")
@click.option("--prefetch", type=click.IntRange(min=0), help="Most tasks held beside those that run.")
@click.option(
    "--lease",
    "lease_ms",
    metavar="DURATION",
    callback=parse.duration,
    help="How long a claim lasts without renewal.",
)
@click.option(
    "--grace",
    "shutdown_grace_ms",
    metavar="DURATION",
    callback=parse.duration,
    help="How long running tasks may go on after SIGTERM.",
)
@click.option(
    "-n",
    "--processes",
    type=click.IntRange(1, 256),
    default=1,
    help="Run this many, each with the concurrency above. [default: 1]",
)
@click.option("--burst", is_flag=True, help="End when nothing is due any more.")
@click.option("--no-mover", is_flag=True, help="Leave promoting due tasks to other processes.")
@click.option("--no-schedules", is_flag=True, help="Do not put the schedules that the task types carry.")
@_metrics_option
@click.option("--says-to", type=int, hidden=True)
@pass_invocation
def worker(
    given: Invocation,
    /,
    app: str,
    processes: int,
    burst: bool,
    no_mover: bool,
    no_schedules: bool,
    says_to: int | None,
    **flags: Any,
) -> None:
    """Run the tasks of the application MODULE:APP. Contains a mover: one worker is a complete system.

    Where Redis is away, it waits for it; with --burst it ends.
    """
    import msgspec

    from redsched.cli import process
    from redsched.engine.app import App
    from redsched.engine.worker import Worker

    configuration = given.configuration(**flags)
    settings = configuration.settings()
    loaded = App.load(app)
    settings = msgspec.structs.replace(settings, queues=queues_of(loaded, configuration))
    if processes > 1 and (settings.metrics_port or 0) + processes - 1 > 65_535:
        raise click.BadParameter(
            f"{settings.metrics_port} leaves no ports for {processes} processes: worker i serves on port + i; "
            "nothing was started",
            param_hint="--metrics-port",
        )
    observer = _observe(configuration)
    if burst or processes > 1:
        _check_redis(settings, may_be_away=not burst)
    log = logging.getLogger("redsched.worker")
    if processes > 1:
        from redsched.cli import pool

        own = ("--burst",) * burst + ("--no-mover",) * no_mover + ("--no-schedules",) * no_schedules
        raise SystemExit(pool.run(app, settings, processes, *own))
    log.info("worker.starting", extra={"app": app, "queues": ",".join(settings.queues), **_about(settings)})
    process.run(
        settings,
        observer,
        lambda: Worker(
            loaded, settings, burst=burst, mover=not no_mover, schedules=not no_schedules, observer=observer
        ),
        _reporter(says_to),
    )


def _reporter(pipe: int | None) -> Callable[[str], None]:
    """Says a word to the process that started this one, where it listens."""
    if pipe is None:
        return lambda _: None
    os.set_inheritable(pipe, False)

    def report(word: str) -> None:
        with contextlib.suppress(OSError):
            os.write(pipe, word.encode() + b"\n")

    return report


@click.command(cls=Command, reads=("client", "mover"), short_help="Promote due tasks; run none.")
@click.option("-q", "--queues", metavar="A,B", callback=parse.names, help="Look at these first; it finds the others.")
@_metrics_option
@pass_invocation
def mover(given: Invocation, /, **flags: Any) -> None:
    """Promote due tasks and take back those of dead workers; runs no task itself."""
    from redsched.cli import process
    from redsched.engine.mover import Mover

    configuration = given.configuration(**flags)
    settings = configuration.settings()
    observer = _observe(configuration)
    logging.getLogger("redsched.mover").info("mover.starting", extra=_about(settings))
    process.run(settings, observer, lambda: Mover(settings, observer=observer, at_home=settings.queues))


@click.command(cls=Command, reads=("client", "enqueue", "api"))
@click.option("--host", "api_host", help="Address; one beyond loopback needs a token.")
@click.option("--port", "api_port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.")
@pass_invocation
def api(given: Invocation, /, **flags: Any) -> None:
    """Serve the HTTP interface."""
    from redsched.web import server

    configuration = given.configuration(**flags)
    _configure_logs(configuration)
    server.run(configuration.settings())


def queues_of(app: App, configuration: Configuration) -> tuple[str, ...]:
    """The queues a worker serves: as given, else every queue that the application's types declare."""
    queues = configuration.settings().queues
    return queues if configuration.is_given("queues") else app.queues or queues


def _configure_logs(configuration: Configuration) -> None:
    """Set up the logs, and log which variables are probably misspelt."""
    from redsched.observe import logs

    settings = configuration.settings()
    logs.configure(settings.log_level, settings.log_format, sys.stderr)
    for warning in configuration.warnings:
        logging.getLogger("redsched.settings").warning("setting.unknown", extra={"problem": warning})


def _observe(configuration: Configuration) -> PrometheusObserver:
    """Logs and metrics of this process."""
    from redsched.observe import metrics

    _configure_logs(configuration)
    return metrics.PrometheusObserver()


def _about(settings: Settings) -> dict[str, object]:
    from redsched.eventloop import loop_name
    from redsched.redis_url import masked_url

    return {"redis": masked_url(settings.redis_url), "namespace": settings.namespace, "loop": loop_name()}


def _check_redis(settings: Settings, *, may_be_away: bool) -> None:
    """Fail early, with a line for people, where Redis refuses us, or is away and not waited for: a burst ends by
    itself, and several workers would each say what is wrong, again and again."""
    from redsched.client import Client
    from redsched.model.errors import StoreUnavailable

    with Client(settings=settings, name="start") as client:
        try:
            client.ping()
        except StoreUnavailable:
            if not may_be_away:
                raise
