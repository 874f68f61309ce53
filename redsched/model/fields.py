"""The fields of a task: one table, from which everything that lists them is made.

After a change run ``make fields``, which is ``python -m tools.task_fields``: it writes ``Task``, ``TaskView``,
``TaskTemplate`` and ``TaskBody``, the code between them and the words of the wire, the checks of Lua, the JSON Schema
and the tables of its documentation. ``make check`` fails where one of them is not as the table says.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Writer = Literal["producer", "scripts", "outcome", "place", "view"]
Kind = Literal[
    "id", "name", "queue", "json", "text", "token", "choice", "whole", "count", "duration", "flag", "retry", "texts",
    "headers", "conditions", "due", "delay", "start_by", "start_within", "state", "moment", "lease", "planned_time",
    "present", "message", "history", "steps", "not_json", "word",
]  # fmt: skip


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a task. What a row leaves out is as in most of them.

    ``kind`` says which values it takes, and so how each side checks, writes and reads it. ``by``: a producer or the
    scripts write it into the task's hash; ``outcome``: it is in the hash beside that one; ``place``: in no hash, but in
    the key or in a score; ``view``: it is worked out where a task is shown.
    """

    name: str  # of Task and TaskView, in HTTP bodies, and as keyword argument
    kind: Kind
    doc: str  # what it means; begins in lower case, without a full stop
    by: Writer = "producer"
    stored: str = ""  # its name in the hash, where that is another
    missing: str = ""  # what it means that there is none
    on_wire: str = ""  # how the hash holds it, where its kind does not say it all
    low: int | None = None  # of a number, or of a duration in ms
    high: int | None = None
    longest: int | None = None  # bytes that the scripts take; only of what a producer writes
    task: bool = True  # whether Task has it, where a producer writes it
    body: bool = True  # and a request that creates a task
    template: bool = True  # and what a schedule or a rule makes
    changes: bool = True  # and update
    shown: bool = True  # whether TaskView has it
    option: str = ""  # its option of ``redsched task add``; without one there is none
    help: str = ""  # of the option
    note: str = ""  # for who reads TaskView

    @property
    def word(self) -> str:
        """Its name on the wire."""
        return self.stored or self.name

    @property
    def in_task(self) -> bool:
        """Whether ``Task`` has it."""
        return self.task and self.by in ("producer", "place")

    @property
    def in_body(self) -> bool:
        """Whether a request that creates a task has it."""
        return self.in_task and self.body

    @property
    def in_template(self) -> bool:
        """Whether ``TaskTemplate`` has it."""
        return self.in_task and self.template

    @property
    def updatable(self) -> bool:
        """Whether ``update`` takes it."""
        return self.in_task and self.changes and self.by == "producer"

    @property
    def in_hash(self) -> bool:
        """Whether a task's hash has a field of its own for it."""
        return self.by in ("producer", "scripts") and self.kind != "start_within"


YEAR_MS = 31_536_000_000

# In the order of TaskView, which begins with id, queue and state; the rest is in no other order.
FIELDS: tuple[Field, ...] = (
    Field(name="type", kind="name", longest=100, changes=False, doc="which handler runs it: a name"),
    Field(
        name="payload",
        kind="json",
        longest=16_777_216,
        doc="what the handler gets",
        on_wire="UTF-8 JSON, unless `content_type` says else; the clients stop at 256 KiB, the scripts at 16 MiB",
    ),
    Field(
        name="queue",
        kind="queue",
        by="place",
        doc="which queue it is in: a name",
        missing="the queue of its type, or `default` where no worker has said which that is",
    ),
    Field(
        name="id",
        kind="id",
        by="place",
        template=False,
        doc="its name within the queue, by which a repeated call is known",
        missing="redsched makes one",
    ),
    Field(name="due", kind="due", by="place", template=False, doc="when it is to run", missing="now"),
    Field(name="delay", kind="delay", by="place", template=False, doc="how long from now it is to run"),
    Field(
        name="state",
        kind="state",
        by="scripts",
        doc="`scheduled`, `ready`, `running`, `completed`, `expired`, `cancelled`, `skipped`, `held` or `dead`",
        missing="`scheduled`",
    ),
    Field(
        name="content_type",
        kind="text",
        longest=128,
        task=False,
        doc="of the payload. Another than JSON (`.../json`, `...+json`) makes it bytes for the handler",
        missing="`application/json`",
    ),
    Field(
        name="priority",
        kind="choice",
        longest=6,
        doc="`high`, `normal` or `low`",
        missing="`normal`",
        option="--priority",
    ),
    Field(
        name="attempt",
        kind="count",
        by="scripts",
        low=0,
        high=1_000_000,
        doc="claims so far whose handler has begun; a snooze, a return and a lease that ends before the handler has"
        " begun give theirs back",
    ),
    Field(
        name="max_attempts",
        kind="whole",
        low=1,
        high=1_000,
        longest=4,
        doc="how many attempts it has",
        missing="5",
        option="--max-attempts",
        help="Runs before it is dead. [default: 5]",
    ),
    Field(
        name="retry",
        kind="retry",
        longest=1_600,
        doc="how long to wait before each attempt after the first",
        missing="exponential: base 5000 ms, factor 2, max 3600000 ms, jitter 0.2",
        option="--retry",
        help="5s,1m,1h or fixed:5s or exponential:5s:2:1h:0.2 (base, factor, max, jitter).",
    ),
    Field(
        name="timeout",
        kind="duration",
        stored="timeout_ms",
        low=1,
        high=86_400_000,
        longest=8,
        doc="time limit of one run",
        missing="60000 ms, or what the worker's handler says",
        option="--timeout",
        help="Of one run. [default: 60s]",
    ),
    Field(
        name="due_at",
        kind="moment",
        by="scripts",
        doc="when it was due. It is written when the task becomes ready; before that the score is the due time",
    ),
    Field(name="created_at", kind="moment", by="scripts", doc="when it was created"),
    Field(name="started_at", kind="moment", by="scripts", doc="when its last run was claimed"),
    Field(name="finished_at", kind="moment", by="scripts", doc="when it ended"),
    Field(
        name="expires_at",
        kind="start_by",
        low=100_000_000_000,
        high=4_000_000_000_000,
        longest=20,
        template=False,
        doc="start-by: past it the task never starts; it must lie after the due time",
        option="--expires-at",
        help="Never start it after this.",
    ),
    Field(
        name="expires_in",
        kind="start_within",
        stored="expires_at",
        shown=False,
        doc="start-by, as a duration from now, also where `due` or `delay` is given; it must reach beyond the due time",
        option="--expires-in",
        help="Never start it later than this.",
    ),
    Field(name="lease_until", kind="lease", by="view", doc="when the lease of its run ends"),
    Field(
        name="key",
        kind="token",
        longest=128,
        doc="whose line `fifo` means, and what `pause` may be about",
        option="--key",
        help="Ordering and concurrency key.",
    ),
    Field(
        name="tags",
        kind="texts",
        longest=4_096,
        doc="texts for people; the clients take up to 16, of 1 to 128 characters",
        option="--tag",
        help="May be repeated.",
    ),
    Field(
        name="headers",
        kind="headers",
        longest=65_536,
        doc="texts by name, for the handler",
        option="--header",
        help="May be repeated.",
    ),
    Field(
        name="traceparent",
        kind="token",
        longest=128,
        body=False,
        template=False,
        changes=False,
        doc="W3C trace context",
    ),
    Field(
        name="retention",
        kind="duration",
        stored="retention_ms",
        low=0,
        high=YEAR_MS,
        longest=11,
        doc="how long the id and the result stay known after the end; 0: they are removed at once",
        missing="3600000 ms",
        option="--retention",
        help="How long it is kept when completed.",
    ),
    Field(
        name="keep",
        kind="flag",
        longest=1,
        doc="whether payload and headers stay after completion",
        option="--keep",
        help="Keep the payload when completed.",
    ),
    Field(
        name="request",
        kind="token",
        longest=128,
        template=False,
        changes=False,
        doc="the caller's own token: a repeated call with it is answered as the first one was",
        option="--request",
        help="Your own token: repeating the call with it gets the first answer.",
    ),
    Field(name="worker", kind="text", by="scripts", doc="the consumer that runs it or ran it last"),
    Field(
        name="reason",
        kind="text",
        by="scripts",
        doc="why it ended as it did: `unless <fact>`, `only_if <fact>`, `event <fact>`, `after <task> <state>`,"
        " `not confirmed`, `no event`, `merged into <id>`, `duplicate of <id>`, `replaced by <id>`, `abandoned`,"
        " `moved to <queue>`, or what the caller said. It is public: `explain`, lists, events and logs show it",
    ),
    Field(
        name="schedule",
        kind="text",
        by="scripts",
        doc="of a recurring schedule's task: its schedule",
        note="that made it, for this planned time (None: it was triggered)",
    ),
    Field(name="slot", kind="planned_time", by="scripts", doc="of such a task: what follows the `@` of its id"),
    Field(
        name="conditions",
        kind="conditions",
        longest=65_536,
        doc="what it waits for, hangs on, comes after or is merged with; see [Conditions](#conditions)",
        note="durations in whole ms",
    ),
    Field(
        name="blocked",
        kind="text",
        by="scripts",
        doc="of a held task: `confirm`, `facts`, `parents`, `line`, `digest` or `pause:<what>`",
        note="what a held task waits for: confirm, facts, parents, line, digest, pause:<what>",
    ),
    Field(
        name="cancel_requested",
        kind="present",
        by="scripts",
        doc="why a running task was asked to stop; of one whose item was claimed, why it ends where that run does not"
        " begin",
    ),
    Field(name="progress", kind="json", by="outcome", doc="what the handler last told"),
    Field(name="result", kind="json", by="outcome", doc="what the handler returned"),
    Field(
        name="not_json",
        kind="not_json",
        by="view",
        doc="the names of the fields that should be JSON and are none",
        note="of payload, conditions, progress, result: is no JSON, so shown as text",
    ),
    Field(name="error", kind="message", by="outcome", doc="the last error"),
    Field(name="traceback", kind="message", by="outcome", doc="where the last error came from"),
    Field(name="history", kind="history", by="outcome", doc="how its runs ended"),
    Field(name="steps", kind="steps", by="outcome", doc="the steps of its handler that `once` keeps"),
    # What only the scripts use, and nobody is shown.
    Field(
        name="submitted",
        kind="word",
        by="scripts",
        doc="the first 10 hex digits of the SHA-1 of the payload as `rs1_enqueue` took it, or `rs1_update` last"
        " replaced it; it stays when the payload goes or is rewritten",
    ),
    Field(name="entry", kind="word", by="scripts", doc="of a ready task: `<priority>/<stream id>`"),
    Field(name="token", kind="word", by="scripts", doc="of the claim that runs it or ran it last"),
    Field(
        name="begun",
        kind="word",
        by="scripts",
        doc="the token of the last claim of which its worker has told that the handler has begun",
    ),
    Field(
        name="crashes",
        kind="word",
        by="scripts",
        doc="leases in a row that ended without an answer: `<of claims that had begun> <of others>`; any settle ends"
        " the row",
    ),
    Field(name="unhandled", kind="word", by="scripts", doc="how often no worker had a handler for its type"),
    Field(
        name="bound",
        kind="word",
        by="scripts",
        doc="`t`, then `p`: it is being entered, is entered where its conditions say; `d`: it is in a digest; `c`:"
        " others come after it; `-`: it was held or entered once",
    ),
    Field(name="delay_ms", kind="word", by="scripts", doc="of a held task: its due time counts from its release"),
    Field(
        name="shifting",
        kind="word",
        by="scripts",
        doc="of a task whose shift stopped half-way: `<due> <start-by before> <start-by after>`",
    ),
    Field(name="postponed", kind="word", by="scripts", doc="since when it is left to a newer redsched, ms"),
    Field(name="confirmed", kind="word", by="scripts", doc="1: it was submitted as held, and confirmed"),
    Field(name="heard", kind="word", by="scripts", doc="1: what it waited for has come"),
    Field(name="deferred", kind="word", by="scripts", doc="when a condition first put it off"),
    Field(name="frozen", kind="word", by="scripts", doc="1: the payload was made by its conditions and stays as it is"),
    Field(name="shifted", kind="word", by="scripts", doc="the operation that last moved its due time by so much"),
    Field(name="into", kind="word", by="scripts", doc="the digest that it is or was in: `<task that opened it>/<ms>`"),
)
