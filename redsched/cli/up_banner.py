"""What ``up`` says when everything runs: the addresses, and three commands that work when pasted into a shell."""

from __future__ import annotations

import inspect
import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from redsched.cli import render

if TYPE_CHECKING:
    from redsched.cli.invocation import Invocation
    from redsched.embedded import EmbeddedServer
    from redsched.engine.app import App
    from redsched.settings import Settings

SAMPLES = {"str": "hello", "int": 1, "float": 1.0, "bool": True, "Decimal": "1.50"}


def api_url(settings: Settings) -> str:
    """Where the HTTP interface can be reached from this machine."""
    host = settings.api_host if settings.api_host not in ("0.0.0.0", "::") else "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.api_port}"


def show(given: Invocation, settings: Settings, app: App, server: EmbeddedServer | None) -> None:
    """Print it; with ``-o json`` the addresses alone."""
    from redsched.redis_url import masked_url

    redis, api = masked_url(settings.redis_url), api_url(settings)
    if given.json:
        render.document({"redis": redis, "api": api, "namespace": settings.namespace, "pid": os.getpid()})
        return
    source = "yours" if server is None else f"{server.description}, data kept in {server.data_dir}"
    console = render.console(given)
    console.print("\nredsched is up\n", style="bold", soft_wrap=True)
    for name, value in (
        ("Redis", f"{redis}   ({source})"),
        ("HTTP", api),
        ("Worker", f"{', '.join(sorted(app.tasks))}   (queues {', '.join(settings.queues)})"),
    ):
        console.print(f"  {name:<8}{value}", soft_wrap=True)
    if server is not None:
        console.print("\nPaste this into another terminal, so that redsched finds this Redis there:\n", soft_wrap=True)
        console.print(f"  {export(settings)}", style="cyan", soft_wrap=True)
    console.print("\nTry one of these in another terminal:\n", soft_wrap=True)
    for command in commands(settings, app):
        console.print(f"  {command}\n", style="cyan", soft_wrap=True)
    console.print("Stop with Ctrl-C.\n", soft_wrap=True)


def export(settings: Settings) -> str:
    """The line by which a shell leads every command of redsched to this server."""
    named = "" if settings.namespace == "rs" else f" REDSCHED_NAMESPACE={settings.namespace}"
    return f"export REDSCHED_REDIS_URL={settings.redis_url}{named}"


def commands(settings: Settings, app: App) -> list[str]:
    """One task submitted three ways: Python, curl, redis-cli."""
    fitting = (name for name in app.tasks if None not in _sample(app, name).values())
    name = "log" if "log" in app.tasks else next(fitting, next(iter(app.tasks), "log"))
    queue = app.tasks[name].queue if name in app.tasks else settings.queues[0]
    payload = _sample(app, name)
    return [
        _python(settings, name, queue, payload),
        _curl(settings, name, queue, payload),
        _redis_cli(settings, name, queue, payload),
    ]


def _sample(app: App, name: str) -> dict[str, Any]:
    """A payload that fits a handler of simple parameters: each required one gets a value of its type."""
    if name not in app.tasks:
        return {}
    if name == "log":
        return {"text": "hello"}
    handler = app.tasks[name].handler
    parameters = inspect.signature(handler.function).parameters.values()
    return {
        parameter.name: SAMPLES.get(getattr(parameter.annotation, "__name__", str(parameter.annotation)))
        for parameter in parameters
        if parameter.default is parameter.empty and parameter.name != handler.context_name
    }


def _json(value: Any) -> str:
    import msgspec

    return msgspec.json.encode(value).decode()


def _python(settings: Settings, name: str, queue: str, payload: dict[str, Any]) -> str:
    from redsched.redis_url import masked_url

    found = next((short for short in ("python", "python3") if _is_us(shutil.which(short))), sys.executable)
    namespace = "" if settings.namespace == "rs" else f", namespace={settings.namespace!r}"
    queued = "" if queue == "default" else f", queue={queue!r}"
    code = (
        f"from redsched import Client; "
        f"print(Client({masked_url(settings.redis_url)!r}{namespace}).enqueue({name!r}, {payload!r}{queued}))"
    )
    return f"{shlex.quote(found)} -c {_quoted(code)}"


def _quoted(code: str) -> str:
    return f'"{code}"' if not set('"$`\\!') & set(code) else shlex.quote(code)


def _is_us(path: str | None) -> bool:
    # a virtual environment's python is a link to another's: the links are compared, not what they lead to
    return path is not None and os.path.dirname(os.path.abspath(path)) == os.path.dirname(sys.executable)


def _curl(settings: Settings, name: str, queue: str, payload: dict[str, Any]) -> str:
    body = {"type": name, "payload": payload, "delay": "2s"}
    if queue != "default":
        body["queue"] = queue
    token = ' -H "Authorization: Bearer $REDSCHED_API_TOKEN"' if settings.api_token else ""
    return (
        f"curl -s {api_url(settings)}/v1/tasks -H 'Content-Type: application/json'{token} -d {shlex.quote(_json(body))}"
    )


def _redis_cli(settings: Settings, name: str, queue: str, payload: dict[str, Any]) -> str:
    from redsched.redis_url import masked_url
    from redsched.wire.cells import Cell
    from redsched.wire.keys import queue_keys

    keys = queue_keys(Cell(settings.namespace), queue)
    url = masked_url(settings.redis_url)
    parts = urlsplit(url)
    body, hash_key = _json(payload), keys.task("$id")
    identify = "id=hello-$(date +%s)"
    program = next((name for name in ("redis-cli", "valkey-cli") if shutil.which(name)), None)
    if program is None and parts.scheme == "redis" and not parts.password:
        # no client at hand: bash can speak to Redis by itself
        text = body.replace("\\", "\\\\").replace('"', '\\"')
        lines = f'"HSET {hash_key} type {name} payload \'{text}\'" "ZADD {keys.due} NX 0 $id" QUIT'
        server = f"/dev/tcp/{parts.hostname}/{parts.port or 6379}"
        return f"{identify}; (exec 3<>{server}; printf '%s\\r\\n' {lines} >&3; cat <&3)"
    program = program or "redis-cli"
    connect = f"{program} -s {parts.path}" if parts.scheme == "unix" else f"{program} -u {shlex.quote(url)}"
    return (
        f'{identify}; {connect} HSET "{hash_key}" type {name} payload {shlex.quote(body)} && '
        f"{connect} ZADD {shlex.quote(keys.due)} NX 0 $id"
    )
