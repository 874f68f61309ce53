"""Two looks at everything: what breaks a rule both times, unchanged, is a fault. Nothing is written.

Each page is judged inside the server (lua/inspect.lua) on one view of all keys of a task, so load raises no alarm;
the second look is for clients that write a task in two commands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import msgspec

from redsched.client import Client
from redsched.model.errors import StoreBroken, StoreDenied
from redsched.observe.doctor.report import Progress
from redsched.steps import doctor as doctor_steps
from redsched.steps.doctor import Way
from redsched.wire import doctor
from redsched.wire.call import Call
from redsched.wire.codec import is_name, text_of
from redsched.wire.doctor import A_TRIP, BRIEF, FEW, FIRST, MOST, PAGE, SETS, STREAMS, Fault, Inspected
from redsched.wire.keys import queue_keys

MOST_FAULTS = 10_000  # of one look
MOST_QUEUES = 20_000  # whose sets and streams one look goes through
NAMES = 1_000  # of keys, gathered before they are looked at: a page of SCAN holds few beside many keys of others
_LASTING = (*SETS, "quarantine", "ready")
_PLAIN = (b"queues", b"events", b"schedules", b"calendars", b"agenda", b"cursors", b"rules", b"sweeps", b"paused")
_OF_QUEUE = ("outcome", "stats", "inbox", "config", "line", "children", "parents", "items", "members", "unique",
             "digest", "paused", "stopped")  # fmt: skip
_AGAIN = {"task": "tasks", "entry": "entries", "pending": "pendings", "key": "keys"}


class Walk:
    """Looks at a namespace; remembers the suspects, not the tasks."""

    def __init__(
        self, client: Client, way: Way, only: Collection[str] = (), tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self._client = client
        self._way = way
        self._only = set(only)
        self._progress = Progress(tell)
        self._there: dict[str, set[str]] = defaultdict(set)  # queue -> its places that have a key
        self.left_out = 0  # queues that were not looked at, for there are too many
        self.queues: set[str] = set(only)
        self.tasks = self.entries = self.keys = 0
        self.scanned = True  # whether these credentials may look for hashes that no index knows
        self.denied: set[str] = set()  # queues whose keys these credentials may not read
        self.cut = False
        self._found: dict[tuple[str, str, bytes, str], Fault] = {}
        self._unreadable: set[str] = set()  # keys of a wrong type
        self._home = ""
        self._schedules = False  # whether there is a set of them

    def look(self) -> list[Fault]:
        """The suspects of one pass."""
        listed = self._client.converse("doctor", doctor_steps.listed(self._client.cell_keys))
        if not self._only:
            self.queues |= {queue for queue in listed or () if is_name(queue)}
        self._look_at_all_keys()
        if self._schedules and "schedules" not in self._unreadable:
            self._pages_of(self._any_queue, "schedules")
        held = self.held
        self.left_out = max(0, len(held) - MOST_QUEUES)
        looked_at = held[:MOST_QUEUES]
        for at in range(0, len(looked_at), FIRST):
            self._progress.tell(f"{at:,} of {len(held):,} queues")
            first = self._first_pages(looked_at[at : at + FIRST])
            for queue in looked_at[at : at + FIRST]:
                if self._look_at_queue(queue, first) and listed is not None and queue not in listed:
                    self._suspect(Fault(queue, "queue", b"", "unlisted"))
        return list(self._found.values())

    def judge(self, suspects: Sequence[Fault]) -> list[Fault]:
        """Those that are still broken, and by the same."""
        still: set[Fault] = set()
        groups: dict[tuple[str, str], dict[bytes, None]] = defaultdict(dict)
        for fault in suspects:
            groups[fault.queue, fault.kind][fault.name] = None
        listed: set[str] | None = None
        for (queue, kind), names in groups.items():
            if kind == "queue":
                listed = listed or self._client.converse("doctor", doctor_steps.listed(self._client.cell_keys))
                if listed is not None and queue not in listed:
                    still.add(Fault(queue, "queue", b"", "unlisted"))
                continue
            for page in self._inspect_named(queue, _AGAIN[kind], list(names)):
                still.update(page.faults)
        return [fault for fault in suspects if fault in still]

    def _suspect(self, fault: Fault) -> None:
        if len(self._found) >= MOST_FAULTS:
            self.cut = True
        else:
            self._found[fault.queue, fault.kind, fault.name, fault.rule] = fault

    def _inspect(self, queue: str, what: str, cursor: bytes = b"", names: Sequence[bytes] = ()) -> Inspected:
        call = self._inspecting(queue, what, cursor, names, MOST if BRIEF in names else PAGE)
        try:
            return self._client.converse("inspect", doctor_steps.read_only(self._way, call))
        except StoreDenied:
            self.denied.add(queue)
            return Inspected(0, b"", 0, [])

    def _inspecting(self, queue: str, what: str, cursor: bytes, names: Sequence[bytes], limit: int) -> Call[Inspected]:
        keys = queue_keys(self._client.cell, queue)
        return doctor.inspect(keys, what, cursor=cursor, limit=limit, names=names)

    def _inspect_groups(self, what: str, groups: Mapping[str, Sequence[bytes]]) -> Iterator[Inspected]:
        """Named things of many queues. Those of queues that have few go together; what is refused there, or is not
        judged to its end, is asked for again by itself."""
        few: list[tuple[str, Sequence[bytes]]] = []
        for queue, names in groups.items():
            if len(names) > FEW:
                yield from self._inspect_named(queue, what, names)
                continue
            few.append((queue, names))
            if sum(len(names) for _, names in few) > A_TRIP - FEW:
                yield from self._inspect_few(what, few)
                few = []
        yield from self._inspect_few(what, few)

    def _inspect_few(self, what: str, few: Sequence[tuple[str, Sequence[bytes]]]) -> Iterator[Inspected]:
        if not few:
            return
        if what == "keys":  # whose names say whose they are: one call for all
            owners = {name: queue for queue, names in few for name in names}
            calls = [self._inspecting(few[0][0], what, b"parts", list(owners), PAGE)]
        else:
            owners, calls = {}, [self._inspecting(queue, what, b"", names, PAGE) for queue, names in few]
        answers = self._client.converse("inspect", doctor_steps.read_only_all(self._way, calls))
        if owners and isinstance(answers[0], Inspected) and not answers[0].cursor:
            faults = [
                msgspec.structs.replace(fault, queue=owners[_key_of(fault.name, owners)]) for fault in answers[0].faults
            ]
            yield msgspec.structs.replace(answers[0], faults=faults)
            return
        for (queue, names), page in zip(few, [None] * len(few) if owners else answers, strict=True):
            if isinstance(page, Inspected) and not page.cursor:
                yield page
            else:
                yield from self._inspect_named(queue, what, names)

    def _inspect_named(self, queue: str, what: str, names: Sequence[bytes]) -> Iterator[Inspected]:
        at, first = 0, b"parts" if what == "keys" else b""
        cursor = first
        while at < len(names):
            page = self._inspect(queue, what, cursor, names[at : at + PAGE])
            at, cursor = at + PAGE, first
            if page.cursor.startswith(b"parts "):  # a key with many members goes on where this call ended
                _, done, rest = page.cursor.split(b" ", 2)
                at, cursor = at - PAGE + int(done), b"parts " + rest
            elif page.cursor:
                at += int(page.cursor) - PAGE
            yield page

    def _first_pages(self, queues: Sequence[str]) -> dict[tuple[str, str], Inspected]:
        """The beginning of each set and stream of some queues, as far as it can be read."""
        wanted = [(queue, what) for queue in queues for what in self._readable(queue)]
        found: dict[tuple[str, str], Inspected] = {}
        for at in range(0, len(wanted), FIRST):
            trip = wanted[at : at + FIRST]
            calls = []
            for queue, what in trip:
                brief = self._brief(what)
                calls.append(self._inspecting(queue, what, b"", brief, (MOST if brief else PAGE) // FIRST))
            answers = self._client.converse("inspect", doctor_steps.read_only_all(self._way, calls))
            found |= {one: page for one, page in zip(trip, answers, strict=True) if isinstance(page, Inspected)}
        return found

    def _brief(self, what: str) -> tuple[bytes, ...]:
        return (BRIEF,) if self.scanned and what in SETS else ()  # the scan judges every hash

    def _pages_of(self, queue: str, what: str, first: Inspected | None = None) -> int:
        looked, cursor, page = 0, b"", first
        while not self.cut:
            try:
                page = page or self._inspect(queue, what, cursor, names=self._brief(what))
            except StoreBroken:  # became so a moment ago
                return looked
            looked += page.looked
            cursor = page.cursor
            for fault in page.faults:
                self._suspect(fault)
            if not cursor:
                break
            page = None
        return looked

    def _readable(self, queue: str) -> Iterator[str]:
        """The sets and streams of a queue that there are."""
        there = self._there.get(queue, set())
        for place in SETS:
            if place in there and f"{place}:{queue}" not in self._unreadable:
                yield place
        for priority in STREAMS if "ready" in there else ():
            if f"ready:{queue}" + ("" if priority == "normal" else f":{priority}") not in self._unreadable:
                yield from (priority, f"pending/{priority}")

    def _look_at_queue(self, queue: str, first: Mapping[tuple[str, str], Inspected]) -> bool:
        """Whether the queue holds anything."""
        looked = {what: self._pages_of(queue, what, first.get((queue, what))) for what in self._readable(queue)}
        self.entries += sum(looked.get(priority, 0) for priority in STREAMS)
        return any(looked.get(what) for what in (*SETS, *STREAMS))

    def _look_at_all_keys(self) -> None:
        seen, names = False, list[bytes]()
        for found in self._scan():
            names += found
            seen = seen or bool(names)
            self._progress.tell(f"{self.tasks:,} tasks and {self.keys:,} other keys")
            if len(names) >= NAMES:
                self._look_at_names(names)
                names = []
        self._look_at_names(names)
        if not self.scanned:
            self._look_for_places()
            self._look_at_names(
                [
                    *_PLAIN,
                    *(
                        f"{place}:{queue}{suffix}".encode()
                        for queue in sorted(self._there)
                        for place in sorted(self._there[queue])
                        for suffix in (("", ":high", ":low") if place == "ready" else ("",))
                    ),
                ]
            )
        if seen or self.queues:
            self._look_at_names([b"meta"])

    def _look_for_places(self) -> None:
        """Which places of each queue have a key, as SCAN would tell; one that may not be asked about may be there."""
        names = sorted(self.queues)
        for at in range(0, len(names), doctor.PAGE):
            page = [queue_keys(self._client.cell, queue) for queue in names[at : at + doctor.PAGE]]
            self._progress.tell(f"{at:,} of {len(names):,} names of queues")
            asked = [
                (keys.queue, place, ("EXISTS", key))
                for keys in page
                for place, key in (
                    ("due", keys.due),
                    *(("ready", keys.stream(priority)) for priority in STREAMS),
                    *((place, keys.index(place)) for place in _LASTING if place not in ("due", "ready")),
                )
            ]
            replies = self._client.converse("doctor", doctor_steps.ask(*(command for _, _, command in asked)))
            for (queue, place, _), reply in zip(asked, replies, strict=True):
                if reply != 0:
                    self._there[queue].add(place)

    @property
    def _any_queue(self) -> str:
        """The queue in whose name the keys of none are looked at, for these credentials may be of some queues only."""
        if not self._home:
            self._home = min(self.queues, default="")
        return self._home or "default"

    @property
    def held(self) -> list[str]:
        """The queues that have a key, or were asked for; sorted."""
        return sorted(queue for queue in self.queues if queue in self._there or queue in self._only)

    def _scan(self) -> Iterator[list[bytes]]:
        cursor = b"0"
        while not self.cut:
            try:
                cursor, names = self._client.converse("scan", doctor_steps.scan(self._client.cell_keys, cursor))
            except StoreDenied:
                self.scanned = False
                return
            yield names
            if cursor == b"0":
                return

    def _look_at_names(self, names: Sequence[bytes]) -> None:
        tasks: dict[str, list[bytes]] = defaultdict(list)
        others: dict[str, list[bytes]] = defaultdict(list)
        for name in names:
            kind, _, rest = name.partition(b":")
            owner, _, task_id = rest.partition(b":")
            queue = text_of(owner)
            if self._only and queue not in self._only and kind != b"meta":
                continue
            self._schedules = self._schedules or kind == b"schedules"
            if kind == b"fact":
                continue  # whatever a client put there
            if kind == b"task":
                if is_name(queue):
                    tasks[queue].append(task_id)
            elif text_of(kind) in _LASTING and is_name(queue):
                self.queues.add(queue)
                if self.scanned:
                    self._there[queue].add(text_of(kind))
                others[queue].append(name)
            elif text_of(kind) in _OF_QUEUE and is_name(queue):
                others[queue].append(name)
            else:
                others[self._any_queue].append(name)
        self.queues |= tasks.keys()
        for what, groups in (("tasks", tasks), ("keys", others)):
            for page in self._inspect_groups(what, groups):
                self._note(page)
        self.tasks += sum(map(len, tasks.values()))
        self.keys += sum(map(len, others.values()))

    def _note(self, page: Inspected) -> None:
        for fault in page.faults:
            self._suspect(fault)
            if fault.rule == "key_type":
                self._unreadable.add(text_of(fault.name))


def _key_of(name: bytes, keys: Collection[bytes]) -> bytes:
    """The key that was judged, of what the name of a fault tells: a member is told of as ``stale:<member> <key>``."""
    while name not in keys and b" " in name:
        name = name.partition(b" ")[2]
    return name
