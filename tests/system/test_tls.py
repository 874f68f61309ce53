"""Redis over TLS with client certificates: client and worker process, and every way in which it must be refused."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from redsched import Client, Settings
from redsched.embedded import free_port
from redsched.model.errors import StoreUnavailable
from tests.support import servers
from tests.support.processes import Redsched


@dataclass
class Secured:
    """A server that takes TLS connections with certificates of its own authority only."""

    url: str
    files: Path

    def settings(self, **changes: object) -> Settings:
        """What a client needs to be let in."""
        given = {
            name: str(self.files / file)
            for name, file in (
                ("redis_ca", "ca.crt"),
                ("redis_cert", "client.crt"),
                ("redis_key", "client.key"),
            )
        }
        return Settings(**({"redis_url": self.url, "retry_for_ms": 300} | given | changes))  # type: ignore[arg-type]


def openssl(*arguments: str, cwd: Path) -> None:
    """One call of the openssl program."""
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True)


def certificates(directory: Path) -> None:
    """An authority, a server and a client certificate of it, and another authority that signed neither."""
    for authority in ("ca", "other"):
        openssl(
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            f"{authority}.key",
            "-out",
            f"{authority}.crt",
            "-subj",
            f"/CN=test {authority}",
            cwd=directory,
        )
    (directory / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "client"):
        openssl(
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
            "-subj",
            f"/CN={name}",
            cwd=directory,
        )
        openssl(
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            f"{name}.crt",
            cwd=directory,
        )


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Debian's server, built with TLS."""
    if shutil.which("openssl") is None or (path := shutil.which("redis-server")) is None:
        servers.missing("openssl and redis-server are needed (apt install openssl redis-server)")
    directory = tmp_path_factory.mktemp("tls")
    certificates(directory)
    port = free_port()
    server = servers.RedisServer(
        path,
        directory,
        "--tls-port",
        str(port),
        "--tls-ca-cert-file",
        str(directory / "ca.crt"),
        "--tls-cert-file",
        str(directory / "server.crt"),
        "--tls-key-file",
        str(directory / "server.key"),
        "--tls-auth-clients",
        "yes",
    )
    yield Secured(f"rediss://127.0.0.1:{port}/0", directory)
    server.stop()


def test_a_client_and_a_worker_talk_over_tls_with_their_certificate(secured: Secured) -> None:
    settings = secured.settings(namespace="tls")
    environment = {
        "REDSCHED_REDIS_URL": settings.redis_url,
        "REDSCHED_REDIS_CA": settings.redis_ca,
        "REDSCHED_REDIS_CERT": settings.redis_cert,
        "REDSCHED_REDIS_KEY": settings.redis_key,
    }
    with Client(settings=settings) as client:
        client.enqueue("add", {"a": 1, "b": 2}, id="a")
        arguments = ("--namespace", "tls", "worker", "tests.apps.ledger:app", "--burst")
        with Redsched(*arguments, env=environment) as worker:
            assert worker.wait() == 0, worker.said()
        assert client.task("a").result == {"sum": 3}


def test_the_asynchronous_client_does_too(secured: Secured) -> None:
    import asyncio

    from redsched import AsyncClient

    async def act() -> str:
        async with AsyncClient(settings=secured.settings(namespace="tls-async")) as client:
            return (await client.enqueue("t")).status

    assert asyncio.run(act()) == "created"


@pytest.mark.parametrize("changes", [{"redis_cert": "", "redis_key": ""}, {"redis_ca": "other.crt"}, {"redis_ca": ""}])
def test_without_the_right_certificates_nothing_is_sent(secured: Secured, changes: dict[str, str]) -> None:
    if changes.get("redis_ca"):
        changes = {"redis_ca": str(secured.files / changes["redis_ca"])}
    refused = secured.settings(namespace="tls-refused", **changes)

    with Client(settings=refused) as client, pytest.raises(StoreUnavailable):
        client.enqueue("t")
    with Client(settings=secured.settings(namespace="tls-refused")) as client:
        assert client.queues() == []


def test_a_name_that_is_not_in_the_certificate_is_refused(secured: Secured) -> None:
    url = secured.url.replace("127.0.0.1", "localhost")

    with Client(settings=secured.settings(redis_url=url)) as client, pytest.raises(StoreUnavailable):
        client.enqueue("t")
