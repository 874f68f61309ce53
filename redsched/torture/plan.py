"""What the processes of a run do."""

from __future__ import annotations

from pathlib import Path

import msgspec

from redsched.settings import Settings


class Plan(msgspec.Struct, frozen=True):
    """What the processes of a run do."""

    settings: Settings
    folder: Path
    rate: float  # tasks a second of one producer
    batch: int = 20  # most tasks of one call
    longest_delay_ms: int = 1_500
    durability: tuple[str, ...] = ()  # a producer asks for one of these at each call; empty: as the settings say
    api_port: int = 0

    @property
    def client_name(self) -> str:
        """By which the server knows the connections of this run."""
        return f"torture-{self.settings.namespace}"
