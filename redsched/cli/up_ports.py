"""The ports of ``up``, kept beside its data: what was started once is found at the same place after the next start.

A port that another program has taken meanwhile is replaced by a free one.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import msgspec

from redsched.embedded import EmbeddedServer, free_port
from redsched.settings import Settings

NAME = "ports.json"


class Ports(msgspec.Struct, frozen=True):
    """The ports of the last start; 0 where there was none."""

    redis: int = 0
    api: int = 0  # of a start whose port was left open


def read(folder: Path) -> Ports:
    """The ports that are kept in this folder; none where the file cannot be read."""
    try:
        found = msgspec.json.decode((folder / NAME).read_bytes(), type=Ports)
    except (OSError, msgspec.DecodeError):
        return Ports()
    return found if all(0 <= port <= 65_535 for port in (found.redis, found.api)) else Ports()


def kept(settings: Settings, server: EmbeddedServer) -> Settings:
    """The settings with the ports of this start, which are kept for the next one. The server's lock is held."""
    api = read(server.data_dir).api
    if settings.api_port == 0 and not (api and _is_free(settings.api_host, api)):
        api = free_port()
    with contextlib.suppress(OSError):  # the disk is full: the next start takes other ports
        (server.data_dir / NAME).write_bytes(msgspec.json.encode(Ports(server.port, api)))
    return msgspec.structs.replace(settings, redis_url=server.url, api_port=settings.api_port or api)


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
