"""arq: 100 enqueue_job() in flight; a worker of 100 jobs that polls every 10 ms and keeps no results."""

import datetime

from arq import Worker, create_pool
from arq.connections import RedisSettings
from shared import PORT, in_flight, main, record, runner

SETTINGS = RedisSettings(port=PORT)
pools = []


async def noop(ctx, number, due_ms, text):
    record(number, due_ms)


async def connect():
    pools.append(await create_pool(SETTINGS))


async def add(item):
    await pools[0].enqueue_job("noop", **item)


async def schedule(item):
    when = datetime.datetime.fromtimestamp(item["due_ms"] / 1_000, datetime.UTC)
    await pools[0].enqueue_job("noop", _defer_until=when, **item)


async def one(items):
    for item in items:
        await pools[0].enqueue_job("noop", **item)


def bulk(items):
    return in_flight(add, items)


def due(items):
    return in_flight(schedule, items)


async def serve():
    await Worker(functions=[noop], redis_settings=SETTINGS, max_jobs=100, poll_delay=0.01, keep_result=0).main()


def work(due):
    with runner() as loop:
        loop.run(serve())


if __name__ == "__main__":
    main(one=one, bulk=bulk, due=due, work=work, connect=connect)
