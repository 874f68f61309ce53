"""The rights of a Redis user by role, as ``ACL SETUSER`` lines: the least with which each role works.

A script runs with the rights of who calls it, so the commands of a role are those of the verbs that it may call. An ACL
cannot look at arguments: it keeps a role to its queues' keys and to harmless commands, but what a role may write it may
also write by hand. Who must not be trusted so far gets the inbox.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from redsched.wire import scripts
from redsched.wire.cells import Cell
from redsched.wire.codec import check_name
from redsched.wire.keys import PRIORITIES, CellKeys, QueueKeys, queue_keys
from redsched.wire.lua_commands import commands_of

SECRET = "SECRET"  # stands in the lines where the password goes
# what clients send to connect, redsched's own and others: a name, a database, a look at the version
CONNECT = ("ping", "hello", "client|setname", "client|id", "select", "info")
# what enqueue calls for tasks with conditions only
_OF_CONDITIONS = ("enqueue.create_with_conditions", "enqueue.repeat_planned", "endings.leave_links", "digests.leave")
# it takes a task out that ended before it began; who may not do it leaves a name without a task there
_OF_SEARCH = ("index.forget",)
_ENQUEUES = ("enqueue", "enqueue_run")
_OF_DOCTOR = ("inspect", "repair")


class Role(msgspec.Struct, frozen=True):
    """A user of Redis: keys with their rights, channels, commands."""

    name: str
    summary: str
    keys: tuple[str, ...]
    commands: tuple[str, ...]
    channels: tuple[str, ...] = ()

    def line(self, user: str) -> str:
        """The ``ACL SETUSER`` command that makes this user, whatever it was before."""
        rules = [*self.keys, *(f"&{name}" for name in self.channels), *(f"+{name}" for name in self.commands)]
        return f"ACL SETUSER {user} reset on >{SECRET} -@all {' '.join(rules)}"


def _commands(*verbs: str) -> set[str]:
    return {command for verb in verbs for command in commands_of(verb)}


def reading_verbs() -> tuple[str, ...]:
    """The verbs that write nothing; FCALL_RO calls them."""
    return tuple(verb for verb in scripts.verbs() if "no-writes" in scripts.header(verb).flags)


def _producer_raw(cell: CellKeys, queues: Sequence[QueueKeys]) -> Role:
    keys = [rule for queue in queues for rule in (f"%W~{queue.task('*')}", f"%W~{queue.due}")]
    return Role(
        "producer-raw",
        "adds tasks with plain commands, and can overwrite those of its queues; reads nothing itself, but conditions "
        "that it writes can put any fact, and the result of any queue's task, before a handler of its queues",
        tuple(keys),
        _sorted({"hset", "hmset", "hsetnx", "zadd", "multi", "exec", "discard", *CONNECT}),
    )


def _producer(cell: CellKeys, queues: Sequence[QueueKeys]) -> Role:
    keys = [f"%W~{key}" for key in (cell.events, cell.queues, cell.sweeps, cell.durable)]
    keys += [f"~{cell.prefix}answer:*", *_of_search(cell, "%W~"), *_of_types(cell, "%R~")]
    for queue in queues:
        keys += (f"~{queue.task('*')}", f"~{queue.due}", *(f"~{queue.stream(priority)}" for priority in PRIORITIES))
        keys += (f"~{queue.index('stats')}", f"~{queue.index('stats')}:*")
        keys += (f"%W~{queue.index('finished')}", f"%W~{queue.outcome('*')}")
    keys.append(f"~{cell.prefix}run:*")
    plain = {one for verb in _ENQUEUES for one in commands_of(verb, without=(*_OF_CONDITIONS, *_OF_SEARCH))}
    return Role(
        "producer",
        "enqueues with rs1_enqueue, without conditions; reads and changes tasks of its queues; an API that takes tasks",
        tuple(keys),
        _sorted(
            {"fcall", "fcall_ro", "info", "set", "wait", *plain, *_commands("reserve", "answer", "types"), *CONNECT}
        ),
    )


def _planner(cell: CellKeys, queues: Sequence[QueueKeys]) -> Role:
    keys = [*_producer(cell, queues).keys, *_of_events(cell, "~"), f"%R~{cell.rules}", f"%R~{cell.rules}:*"]
    keys.append(f"%R~{cell.paused}")
    for queue in queues:
        keys += [*_tied(queue, "~"), f"~{queue.index('held')}", f"%R~{queue.index('paused')}"]
        keys += [f"~{queue.index('dead')}", f"~{queue.index('running')}"]
    verbs = (*_ENQUEUES, "reserve", "answer", "types", "emit", "confirm", "follow")
    return Role(
        "planner",
        "producer that also gives conditions, emits events and confirms; reads, changes and ends its queues' tasks",
        tuple(keys),
        _sorted({"fcall", "fcall_ro", "info", "set", "wait", *_commands(*verbs), *CONNECT}),
    )


def _inbox(cell: CellKeys, queues: Sequence[QueueKeys]) -> Role:
    keys = tuple(f"%W~{queue.index('inbox')}" for queue in queues)
    summary = "appends to the inbox and reads nothing; XADD can also trim it, or end it with a last id"
    return Role("inbox", summary, keys, _sorted({"xadd", *CONNECT}))


def _worker(cell: CellKeys, queues: Sequence[QueueKeys]) -> Role:
    keys = [f"~{cell.prefix}claimed:*", f"~{cell.prefix}answer:*", f"~{cell.events}", f"~{cell.queues}"]
    keys += [f"~{cell.mover}", f"~{cell.sweeps}", f"%R~{cell.meta}", *_of_schedules(cell, "~"), *_of_events(cell, "~")]
    keys += [
        f"~{cell.rules}",
        f"~{cell.rules}:*",
        f"~{cell.prefix}run:*",
        f"~{cell.paused}",
        *_of_search(cell, "~"),
        f"~{cell.forgotten}",
    ]
    keys += _of_types(cell, "~")
    keys += (f"~{cell.operations}", f"~{cell.operation('*')}")
    keys += [rule for queue in queues for rule in _whole(queue, "~")]
    plain = {
        "fcall",
        "fcall_ro",
        "info",
        "sadd",
        "sscan",
        "xgroup|create",
        "xreadgroup",
        "client|unblock",
        "client|tracking",
        "subscribe",
        "time",
        *CONNECT,
    }
    return Role(
        "worker",
        "worker, mover, every action on the tasks of its queues, and on schedules, rules and facts of the namespace",
        tuple(keys),
        _sorted(plain | _commands(*(verb for verb in scripts.verbs() if verb not in _OF_DOCTOR))),
        ("__redis__:invalidate",),
    )


def _observer(cell: CellKeys, queues: Sequence[QueueKeys]) -> Role:
    keys = [f"%R~{cell.prefix}claimed:*", f"%R~{cell.events}", f"%R~{cell.queues}", f"%R~{cell.mover}"]
    keys += [f"%R~{cell.meta}", f"%R~{cell.sweeps}", *_of_schedules(cell, "%R~"), *_of_events(cell, "%R~")]
    keys += [
        f"%R~{cell.rules}",
        f"%R~{cell.rules}:*",
        f"%R~{cell.prefix}run:*",
        f"%R~{cell.paused}",
        *_of_search(cell, "%R~"),
        f"%R~{cell.forgotten}",
    ]
    keys += _of_types(cell, "%R~")
    keys += (f"%R~{cell.operations}", f"%R~{cell.operation('*')}")
    keys += [rule for queue in queues for rule in _whole(queue, "%R~")]
    plain = {
        "fcall",
        "fcall_ro",
        "hget",
        "hmget",
        "hgetall",
        "hlen",
        "zrange",
        "zcard",
        "zcount",
        "zscore",
        "xlen",
        "xrange",
        "xrevrange",
        "xpending",
        "xinfo|stream",
        "xinfo|groups",
        "xinfo|consumers",
        "ttl",
        "pttl",
        "type",
        "exists",
        "sscan",
        "smembers",
        "time",
        "info",
        *CONNECT,
    }
    return Role(
        "observer",
        "looks at everything, payloads included, and changes nothing",
        tuple(keys),
        _sorted(plain | _commands(*reading_verbs())),
    )


def _deployer(cell: CellKeys, queues: Sequence[QueueKeys]) -> Role:
    commands = {
        "function|load",
        "function|list",
        "function|delete",
        "script|load",
        "script|exists",
        "fcall",
        "hsetnx",
        "config|get",
        "config|set",
        "info",
        "acl|whoami",
        *CONNECT,
    }
    return Role("deployer", "redsched install: loads the Lua; sees no task", (f"~{cell.meta}",), _sorted(commands))


def _whole(queue: QueueKeys, right: str) -> list[str]:
    """Every key of a queue; a pattern that ends in a star could be another queue's."""
    names = ("held", "running", "finished", "dead", "quarantine", "stats", "config", "inbox", "paused")
    keys = [queue.due, *(queue.stream(priority) for priority in PRIORITIES), *map(queue.index, names)]
    keys += [queue.task("*"), queue.outcome("*"), queue.index("stats") + ":*"]
    return [right + key for key in keys] + _tied(queue, right)


def _tied(queue: QueueKeys, right: str) -> list[str]:
    """What tasks with conditions are entered in."""
    kinds = ("parents", "children", "items", "members", "line", "unique", "digest", "stopped")
    return [f"{right}{queue.index(kind)}:*" for kind in kinds]


def _of_schedules(cell: CellKeys, right: str) -> list[str]:
    """The keys of schedules, which belong to no queue."""
    return [right + key for key in (cell.schedules, cell.schedule("*"), cell.calendars)]


def _of_types(cell: CellKeys, right: str) -> list[str]:
    """The keys of types and of the applications that put them, which belong to no queue."""
    return [
        right + key for key in (cell.types, cell.defaults, cell.schemas, cell.apps, cell.live("*"), cell.owned("*"))
    ]


def _of_events(cell: CellKeys, right: str) -> list[str]:
    """The keys of events and of what waits for them, which belong to no queue."""
    names = (cell.fact("*"), cell.prefix + "listeners:*", cell.agenda, cell.prefix + "cursors", cell.emitted)
    return [right + key for key in names]


def _of_search(cell: CellKeys, right: str) -> list[str]:
    """The keys by which tasks are found, whatever their queue."""
    return [right + key for key in (cell.tagged("*"), cell.keyed("*"), cell.about("*"), cell.indexed)]


def _sorted(commands: set[str]) -> tuple[str, ...]:
    return tuple(sorted(commands))


_ROLES: dict[str, Callable[[CellKeys, Sequence[QueueKeys]], Role]] = {
    "producer-raw": _producer_raw, "producer": _producer, "planner": _planner, "inbox": _inbox, "worker": _worker,
    "observer": _observer, "deployer": _deployer,
}  # fmt: skip
ROLES = tuple(_ROLES)


def role(name: str, namespace: str, queues: Sequence[str]) -> Role:
    """The rights of a role for some queues of a namespace.

    Raises:
        KeyError: no such role.
        InvalidTask: a queue's name cannot be one.
    """
    cell = Cell(namespace)
    return _ROLES[name](CellKeys(cell), [queue_keys(cell, check_name("queue", queue)) for queue in queues])


def user_of(name: str, namespace: str, queues: Sequence[str]) -> str:
    """What the user of a role is called: ``rs-otp-worker``; ``rs-deployer`` has no queue."""
    return "-".join([namespace, *(queues if name != "deployer" else ()), name])
