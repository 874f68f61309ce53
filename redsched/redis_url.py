"""What the URL of a Redis may say, looked at before anything connects. No message here quotes a password.

redis-py reads a URL late and forgives much: a database that is no number is database 0, and an option can replace what
the transport relies on.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlsplit

SCHEMES = ("redis", "rediss", "unix")
OPTIONS = ("db", "username", "password", "max_connections", "socket_connect_timeout")  # and ssl_..., of rediss://
INSTEAD = {
    "decode_responses": "redsched reads bytes and decodes them itself",
    "protocol": "redsched chooses the protocol",
    "socket_timeout": "set REDSCHED_REDIS_TIMEOUT",
}
_SECRET_IN_QUERY = re.compile(r"(password=)[^&]*", re.IGNORECASE)
_ENCODE = "write %xx for each special character of a password, such as %2F for / and %23 for #"


def masked_url(url: str) -> str:
    """The URL without its passwords, for messages; works on a malformed one too."""
    scheme, mark, rest = url.partition("://")
    credentials, at, place = rest.rpartition("@")
    if at:
        user, colon, _ = credentials.partition(":")
        rest = f"{user}{colon}{'***' if colon else ''}@{place}"
    return _SECRET_IN_QUERY.sub(r"\1***", scheme + mark + rest)


def address(url: str) -> str:
    """Where the server is, without credentials and options: two URLs with the same address lead to the same data."""
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query))
    if parts.scheme == "unix":
        return f"unix://{unquote(parts.path)}/{int(given.get('db') or 0)}"
    database = given.get("db") or parts.path.strip("/") or "0"
    return f"{(parts.hostname or 'localhost').lower()}:{parts.port or 6379}/{int(database)}"


def problem_of(url: str) -> str:
    """Why this URL cannot be used, in one sentence; empty where it can."""
    scheme, mark, _ = url.partition("://")
    if not mark or scheme not in SCHEMES:
        return f"{masked_url(url)!r} must begin with redis://, rediss:// or unix://"
    if re.search(r"\s", url):
        return f"has a blank in it; {_ENCODE}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        if "range" in str(error):
            return "its port is outside 1..65535"
        return f"its host or port cannot be read; {_ENCODE}"
    if parts.fragment or url.endswith("#"):
        return f"has a # in it; {_ENCODE}"
    if port == 0:
        return "its port is outside 1..65535"
    place = _place_problem(scheme, parts.hostname or "", unquote(parts.path))
    return place or _options_problem(scheme, parts.query)


def _place_problem(scheme: str, host: str, path: str) -> str:
    if scheme == "unix":
        if host or not path.startswith("/") or path == "/":
            return "names no socket; write three slashes and the whole path, as in unix:///run/redis/redis.sock"
    elif re.fullmatch(r"(/[0-9]*/?)?", path) is None:
        return f"what follows the host must be the number of a database, such as /0; {_ENCODE}"
    return ""


def _options_problem(scheme: str, query: str) -> str:
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in OPTIONS and not (scheme == "rediss" and name.startswith("ssl_")):
            why = INSTEAD.get(name, f"there are {', '.join(OPTIONS)} and, with rediss://, those that begin with ssl_")
            return f"its option {name[:40]!r} cannot be used: {why}"
        if name == "db" and re.fullmatch(r"[0-9]{1,9}", value) is None:
            return "its option 'db' must be the number of a database"
        if name == "max_connections" and re.fullmatch(r"[1-9][0-9]{0,4}", value) is None:
            return "its option 'max_connections' must be a whole number above 0"
        if name == "socket_connect_timeout" and re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", value) is None:
            return "its option 'socket_connect_timeout' must be a number of seconds"
    return ""
