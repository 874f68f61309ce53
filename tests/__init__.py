"""Tests of redsched: unit, Lua, contract and system."""
