"""What queues keep: ids that went before their retention ended, and dead letters that are many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redsched.client import Client
from redsched.model.duration import duration_text
from redsched.model.views import QueueStats
from redsched.observe.doctor.report import Line
from redsched.steps import doctor as doctor_steps
from redsched.wire.codec import count_of
from redsched.wire.keys import QueueKeys, queue_keys
from redsched.wire.redis_errors import Refused

MANY_DEAD = 100_000
MINUTES = 60  # looked back


def lines(client: Client, stats: Sequence[QueueStats], now: int) -> list[Line]:
    """What went by a cap in the last hour, and for how long ids live by that; dead letters that are many."""
    found: list[Line] = []
    for depths in stats:
        keys = queue_keys(client.cell, depths.queue)
        for place, what in (("finished", "finished ids"), ("dead", "dead letters")):
            most = getattr(depths, f"most_{place}")
            cap = "a cap that there is no more" if most is None else f"the cap of {most:,}"
            if depths.totals.get(f"{place}_evicted") and (n := _lately(client, keys, place, now)):
                found.append(
                    Line(
                        "WARN",
                        f"queue {depths.queue}: {what} evicted",
                        f"{n} went in the last hour by {cap}; {what} live for {_age(client, keys, place, now)} now",
                        "the same id runs again once it is forgotten"
                        if place == "finished"
                        else "nobody can revive them",
                        f"redsched queue limit {depths.queue} --{place} N"
                        + ("; shorter retention" if place == "finished" else f"; redsched dead drop -q {depths.queue}"),
                    )
                )
        if depths.dead >= MANY_DEAD:
            found.append(
                Line(
                    "WARN",
                    f"queue {depths.queue}: many dead letters",
                    f"{depths.dead:,} are kept for 30 days each",
                    "they take memory, and nobody seems to look at them",
                    f"redsched dead ls -q {depths.queue}; redsched queue limit {depths.queue} --dead N",
                )
            )
    return found


def _lately(client: Client, keys: QueueKeys, place: str, now: int) -> int:
    minute = now // 60_000
    asked = [("HGET", f"{keys.index('stats')}:{minute - back}", f"{place}_evicted") for back in range(MINUTES)]
    replies = client.converse("doctor", doctor_steps.ask(*asked))
    return sum(count_of(reply) for reply in replies if reply is not None and not isinstance(reply, Refused))


def _age(client: Client, keys: QueueKeys, place: str, now: int) -> str:
    """Of the one that goes next."""
    (oldest,) = client.converse("doctor", doctor_steps.ask(("ZRANGE", keys.index(place), 0, 0)))
    if isinstance(oldest, Refused) or not oldest:
        return "no time"
    asked: tuple[Any, ...] = ("HGET", keys.task(oldest[0].decode("utf-8", "surrogateescape")), "finished_at")
    (ended,) = client.converse("doctor", doctor_steps.ask(asked))
    at = 0 if ended is None or isinstance(ended, Refused) else count_of(ended)
    return duration_text(max(now - at, 0)) if at else "an unknown time"
