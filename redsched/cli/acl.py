"""``redsched acl``: the Redis users that a locked-down deployment needs."""

from __future__ import annotations

import click

from redsched.cli import render
from redsched.cli.invocation import Group, Invocation, pass_invocation

ROLES = ("producer-raw", "producer", "planner", "inbox", "worker", "observer", "deployer")


@click.group(cls=Group)
def acl() -> None:
    """Make Redis users with the least rights."""


@acl.command("print", reads=("acl",))
@click.option(
    "-q",
    "--queue",
    "queues",
    multiple=True,
    default=("default",),
    show_default=True,
    help="Queue that the users may touch; may be repeated.",
)
@click.option("--role", "roles", type=click.Choice(ROLES), multiple=True, help="Only this role; may be repeated.")
@pass_invocation
def print_(given: Invocation, queues: tuple[str, ...], roles: tuple[str, ...]) -> None:
    """Print ACL SETUSER lines, one for each role.

    Put a password in the place of SECRET, then send them with redis-cli. In an aclfile a line begins with user
    instead of ACL SETUSER. Nothing is sent by this command.
    """
    from redsched.wire.acl import role, user_of

    namespace = given.settings().namespace
    made = {name: role(name, namespace, queues) for name in roles or ROLES}
    lines = {name: made[name].line(user_of(name, namespace, queues)) for name in made}
    if given.json:
        render.document(lines)
        return
    for name, line in lines.items():
        render.say(f"# {name}: {made[name].summary}")
        render.say(line)
    render.say("# and, once every client has a user of its own")
    render.say("ACL SETUSER default off")
