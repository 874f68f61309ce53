"""Who may ask: one bearer token, which is optional on loopback only; and no writes from other web sites."""

from __future__ import annotations

import hmac
import ipaddress

from redsched.model.errors import InvalidSetting
from redsched.settings import Settings
from redsched.web.problems import Problem

OPEN_PATHS = frozenset(("/livez", "/readyz"))
_READS = frozenset(("GET", "HEAD", "OPTIONS"))
_CHALLENGE = {"www-authenticate": 'Bearer realm="redsched"'}


def check_bind(settings: Settings) -> None:
    """Refuse an address that other machines can reach where no token is set.

    Raises:
        InvalidSetting: names REDSCHED_API_TOKEN.
    """
    if not settings.api_token and not is_loopback(settings.api_host):
        raise InvalidSetting(
            "api_host",
            f"{settings.api_host!r} can be reached by other machines and no token is set; "
            "set REDSCHED_API_TOKEN (or REDSCHED_API_TOKEN_FILE), or listen on 127.0.0.1",
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``; a name other than localhost counts as reachable."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Judges the headers of a request before anything else is done."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def refuse(self, method: str, path: str, authorization: bytes | None, fetch_site: bytes | None) -> Problem | None:
        """The problem to answer with, or None where the request may go on."""
        if fetch_site == b"cross-site" and method not in _READS:
            return Problem("cross_site_write", "a web page of another site sent this request; nothing was done")
        if not self._token or path in OPEN_PATHS:
            return None
        if authorization is None:
            return Problem(
                "missing_key", "send the header 'Authorization: Bearer <token>'; nothing was done", headers=_CHALLENGE
            )
        scheme, _, given = authorization.partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
            detail = "the token is not the one of REDSCHED_API_TOKEN; nothing was done"
            return Problem("invalid_key", detail, headers=_CHALLENGE)
        return None
