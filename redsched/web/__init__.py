"""The HTTP interface: parse, one client verb, JSON. No business logic."""

from redsched.web.app import create_app
from redsched.web.auth import check_bind
from redsched.web.server import run, serve

__all__ = ["check_bind", "create_app", "run", "serve"]
