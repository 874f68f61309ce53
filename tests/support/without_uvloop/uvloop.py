"""In the way of the real one, for tests on asyncio's own event loop."""

raise ImportError("left out")
