"""Who may ask the API: ``observe.access``, told as problems; and which address it may listen on."""

from __future__ import annotations

from collections.abc import Mapping

from redsched.model.errors import InvalidSetting
from redsched.observe.access import Access, is_loopback
from redsched.settings import Settings
from redsched.web.problems import Problem

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


class Guard:
    """Judges the headers of a request before anything else is done. ``/metrics`` may have a token of its own."""

    def __init__(self, settings: Settings) -> None:
        hosts, address = settings.api_allowed_hosts, settings.api_host
        self._all = Access([settings.api_token], hosts=hosts, address=address, named="REDSCHED_API_TOKEN")
        tokens = [settings.api_token, settings.metrics_token]
        self._metrics = Access(tokens, hosts=hosts, address=address, named="REDSCHED_METRICS_TOKEN")

    def refuse(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> Problem | None:
        """The problem to answer with, or None where the request may go on."""
        found = (self._metrics if path == "/metrics" else self._all).refuse(method, path, headers)
        if found is None:
            return None
        return Problem(found.code, found.detail, headers=_CHALLENGE if found.code.endswith("_key") else None)

    def may_know(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether who asks a probe may be told more than whether it is ready."""
        return not self._all.asks or self._all.is_keyed(headers)
