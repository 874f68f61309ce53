"""saq: 100 enqueue() in flight; a worker of concurrency 100, its schedule polled every second (the least it takes)."""

from saq import Worker
from saq.queue.redis import RedisQueue
from shared import URL, in_flight, main, record, runner

queue = RedisQueue.from_url(URL, name="bench", max_concurrent_ops=100)


async def noop(ctx, *, number, due_ms, text):
    record(number, due_ms)


async def connect():
    await queue.connect()


async def add(item):
    await queue.enqueue("noop", ttl=-1, **item)


async def schedule(item):
    await queue.enqueue("noop", ttl=-1, scheduled=item["due_ms"] / 1_000, **item)


async def one(items):
    for item in items:
        await queue.enqueue("noop", ttl=-1, **item)


def bulk(items):
    return in_flight(add, items)


def due(items):
    return in_flight(schedule, items)


async def serve():
    await queue.connect()
    await Worker(queue, functions=[noop], concurrency=100).start()


def work(due):
    with runner() as loop:
        loop.run(serve())


if __name__ == "__main__":
    main(one=one, bulk=bulk, due=due, work=work, connect=connect)
