"""dramatiq: send in a loop; eight threads that prefetch 1,000 (prefetch is what its speed hangs on)."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from shared import URL, become, main, now_ms, record

dramatiq.set_broker(RedisBroker(url=URL))


@dramatiq.actor
def noop(number, due_ms, text):
    record(number, due_ms)


def one(items):
    for item in items:
        noop.send(**item)


def due(items):
    for item in items:
        noop.send_with_options(kwargs=item, delay=max(item["due_ms"] - now_ms(), 0))


def work(due):
    os.environ.update(dramatiq_queue_prefetch="1000")
    become("dramatiq", "peer_dramatiq", "--processes", "1", "--threads", "8")


if __name__ == "__main__":
    main(one=one, bulk=one, due=due, work=work)
