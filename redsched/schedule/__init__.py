"""The arithmetic of recurring time. Pure: it knows of no clock and no Redis, and imports durations and errors only."""
