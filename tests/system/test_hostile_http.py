"""The short form of ``hostile_http``."""

from __future__ import annotations

import msgspec

from tests.stress import hostile_http
from tests.support.processes import Redsched
from tests.support.servers import Store


def test_no_hostile_request_breaks_the_api(valkey_store: Store) -> None:
    settings = {"REDSCHED_REDIS_URL": valkey_store.url or "", "REDSCHED_NAMESPACE": valkey_store.namespace}
    api = Redsched("api", "--port", "0", env={**settings, "REDSCHED_LOG_FORMAT": "json"})
    try:
        url = msgspec.json.decode(api.wait_for_error("api.listening").encode())["url"]
        found = hostile_http.run(url, requests=250, seed=7, heavy_share=0.008, floor=1, hard_ones=1)
        assert api.process.poll() is None
    finally:
        api.process.kill()
        api.wait()
    assert not found.sent.failures, found.sent.failures[:3]
    assert {200, 400, 404, 422} <= found.sent.statuses.keys()
