"""Who may ask over HTTP: bearer tokens, which are optional on loopback only; and no web page of another site.

A browser may be made to send requests to this machine: by a page of another site or of another port, and through a
name of the attacker's that resolves to 127.0.0.1. Without a token the names in ``Host`` are therefore a closed list,
and a write must come from the origin that it goes to. curl and other programs, which send no ``Origin``, go on.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

OPEN_PATHS = frozenset(("/livez", "/readyz"))  # for probes: they tell nothing
_READS = frozenset(("GET", "HEAD", "OPTIONS"))
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_FOREIGN = "Host names no host of this server; REDSCHED_API_ALLOWED_HOSTS adds some to the API; nothing was done"
_SAME = (b"same-origin", b"none")  # of Sec-Fetch-Site; same-site may be another port of this machine


class Refusal(NamedTuple):
    """Why a request is not let in; ``code`` as in ``web.problems``."""

    code: str
    detail: str


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``; a name other than localhost counts as reachable."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Access:
    """Judges the headers of a request before anything else is done.

    ``tokens``: any of them opens; without one nobody is asked. ``hosts``: names, or name:port, that ``Host`` may have
    beside loopback and ``address``, and that pages may come from; ``*`` is any.
    """

    def __init__(
        self, tokens: Sequence[str], *, hosts: Collection[str] = (), address: str = "", named: str = ""
    ) -> None:
        self._tokens = [token.encode() for token in tokens if token]
        self._hosts = frozenset(host.lower() for host in hosts)
        self._address = address.lower()
        self._any_host = "*" in self._hosts or bool(self._tokens and not self._hosts)
        self._named = named

    def refuse(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> Refusal | None:
        """Why it may not go on; None where it may."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if method not in _READS and self._is_foreign(host, headers.get(b"origin"), headers.get(b"sec-fetch-site")):
            return Refusal("cross_site_write", "a web page of another origin sent this request; nothing was done")
        if path in OPEN_PATHS:
            return None
        if not self._any_host and host and not self._is_known(host):
            return Refusal("foreign_host", _FOREIGN)
        return self._unproved(headers.get(b"authorization")) if self._tokens else None

    def is_keyed(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a token is asked for, and was given."""
        return bool(self._tokens) and self._unproved(headers.get(b"authorization")) is None

    @property
    def asks(self) -> bool:
        """Whether a token is asked for."""
        return bool(self._tokens)

    def _unproved(self, authorization: bytes | None) -> Refusal | None:
        if authorization is None:
            return Refusal("missing_key", "send the header 'Authorization: Bearer <token>'; nothing was done")
        scheme, _, given = authorization.partition(b" ")
        good = [hmac.compare_digest(given.strip(), token) for token in self._tokens]  # all of them, whichever it is
        if scheme.lower() != b"bearer" or True not in good:
            return Refusal("invalid_key", f"the token is not the one of {self._named}; nothing was done")
        return None

    def _is_known(self, host: str) -> bool:
        name, _ = _split(host)
        return is_loopback(name) or name == self._address or host in self._hosts or name in self._hosts

    def _is_foreign(self, host: str, origin: bytes | None, fetch_site: bytes | None) -> bool:
        if origin is not None:
            scheme, _, place = origin.decode("latin-1").lower().partition("://")
            port = _DEFAULT_PORTS.get(scheme)
            if port is None or not place:  # null, or no page of the web
                return True
            place, host = place.removesuffix(f":{port}"), host.removesuffix(f":{port}")
            if place != host:
                return place not in self._hosts
            return fetch_site == b"cross-site"
        return fetch_site is not None and fetch_site not in _SAME


def _split(host: str) -> tuple[str, str]:
    """Name and port of ``name``, ``name:port``, ``[v6]`` or ``[v6]:port``."""
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        return name, port.removeprefix(":")
    name, _, port = host.partition(":")
    return name.removesuffix("."), port
