"""docker-compose.yml without a container engine: each service's command line, run as a process on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from redsched import embedded
from tests.support import servers

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
TOKEN = "a-long-random-text"
VARIABLE = re.compile(r"\$\{(\w+):\?([^}]*)\}")


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    parsed: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return parsed


class Deployment:
    """The processes of the compose file, on loopback: ports, host names and the volume are replaced, nothing else."""

    def __init__(self, services: dict[str, dict[str, Any]], directory: Path) -> None:
        self.services, self.directory = services, directory
        self.redis_port, self.api_port = embedded.free_port(), embedded.free_port()
        self.processes: dict[str, list[subprocess.Popen[bytes]]] = {}

    def start(self, name: str, *, token: str | None = TOKEN) -> None:
        """As many processes as the service has replicas."""
        service = self.services[name]
        for number in range(service.get("deploy", {}).get("replicas", 1)):
            with open(self.directory / f"{name}-{number}.log", "wb") as output:
                process = subprocess.Popen(
                    self.command(name),
                    env=self.environment(name, token),
                    cwd=self.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    process_group=0,
                )
            self.processes.setdefault(name, []).append(process)

    def command(self, name: str) -> list[str]:
        """The service's command line, its program found here and its ports and paths those of this test."""
        program, *arguments = shlex.split(self.services[name]["command"])
        if program == "redis-server":
            data = self.directory / "data"
            data.mkdir()
            arguments = [str(data) if argument == "/data" else argument for argument in arguments]
            path = shutil.which(program) or embedded.find_server_binary()[0]
            return [path, *arguments, "--bind", "127.0.0.1", "--port", str(self.redis_port)]
        assert program == "redsched"
        swapped = {"0.0.0.0": "127.0.0.1", "8787": str(self.api_port)}
        return [sys.executable, "-m", "redsched", *(swapped.get(argument, argument) for argument in arguments)]

    def environment(self, name: str, token: str | None) -> dict[str, str]:
        """The service's variables as compose would fill them in from the caller's."""
        caller = {"REDSCHED_API_TOKEN": token} if token is not None else {}
        found = {key: value for key, value in os.environ.items() if not key.startswith("REDSCHED_")}
        found["PYTHONPATH"] = str(ROOT)
        for key, value in self.services[name].get("environment", {}).items():
            filled = VARIABLE.sub(lambda match: caller.get(match[1], ""), value)
            found[key] = filled.replace("redis://redis:6379", f"redis://127.0.0.1:{self.redis_port}")
        return found

    def call(self, method: str, path: str, body: object = None, token: str = TOKEN) -> tuple[int, Any]:
        """One HTTP request to the api; status and decoded body."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.api_port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read()
        try:
            return status, json.loads(content)
        except ValueError:
            return status, content.decode()

    def logs(self) -> str:
        """What every process printed."""
        return "\n".join(f"== {file.name}\n{file.read_text()}" for file in sorted(self.directory.glob("*.log")))

    def stop(self) -> None:
        """SIGTERM to all but Redis, then to Redis."""
        for name in sorted(self.processes, key=lambda name: name == "redis"):
            for process in self.processes[name]:
                process.terminate()
            for process in self.processes[name]:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)
                process.kill()
                process.wait()


@pytest.fixture
def deployment(services: dict[str, dict[str, Any]], tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(services, tmp_path)
    yield made
    made.stop()


def wait_for(condition: Callable[[], bool], deployment: Deployment, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:.0f} s in vain\n{deployment.logs()}")
        time.sleep(0.02)


def answers(deployment: Deployment, path: str) -> bool:
    try:
        return deployment.call("GET", path)[0] == 200
    except OSError:
        return False


def redis_answers(deployment: Deployment) -> bool:
    with servers.connect(f"redis://127.0.0.1:{deployment.redis_port}/0") as connection:
        try:
            return bool(connection.ping())
        except redis.RedisError:
            return False


def test_a_task_submitted_to_the_api_is_run_by_one_of_two_workers(deployment: Deployment) -> None:
    deployment.start("redis")
    wait_for(lambda: redis_answers(deployment), deployment)
    deployment.start("api")
    deployment.start("worker")
    wait_for(lambda: answers(deployment, "/readyz"), deployment)

    status, created = deployment.call("POST", "/v1/tasks", {"type": "log", "payload": {"text": "hi"}, "delay": "100ms"})
    assert status == 201, created

    def completed() -> bool:
        return bool(deployment.call("GET", f"/v1/tasks/{created['id']}")[1].get("state") == "completed")

    wait_for(completed, deployment)
    assert len(deployment.processes["worker"]) == 2
    assert deployment.call("POST", "/v1/tasks", {"type": "log"}, token="wrong")[0] == 401
    with servers.connect(f"redis://127.0.0.1:{deployment.redis_port}/0") as connection:
        found = connection.config_get("appendonly", "maxmemory-policy")
    assert found == {"appendonly": "yes", "maxmemory-policy": "noeviction"}


def test_the_api_does_not_start_on_every_address_without_a_token(
    services: dict[str, dict[str, Any]], deployment: Deployment
) -> None:
    _, *arguments = shlex.split(services["api"]["command"])
    assert "0.0.0.0" in arguments
    ended = subprocess.run(
        [sys.executable, "-m", "redsched", *arguments[:-1], str(deployment.api_port)],
        env=deployment.environment("api", token=None),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode != 0
    assert "token" in ended.stderr


def test_compose_demands_a_token_and_publishes_the_api_on_loopback_only(services: dict[str, dict[str, Any]]) -> None:
    assert VARIABLE.fullmatch(services["api"]["environment"]["REDSCHED_API_TOKEN"])
    assert services["api"]["ports"] == ["127.0.0.1:8787:8787"]
    assert "ports" not in services["redis"]


def test_the_image_holds_what_the_wheel_needs(services: dict[str, dict[str, Any]]) -> None:
    for name in ("api", "worker"):
        dockerfile = services[name]["build"]["dockerfile_inline"]
        copied = [word for line in re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE) for word in line.split()]
        assert copied == ["pyproject.toml", "README.md", "LICENSE", "redsched", "lua"]
        assert all((ROOT / word).exists() for word in copied)
        assert services[name]["depends_on"]["redis"]["condition"] == "service_healthy"
