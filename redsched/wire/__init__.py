"""How things are written in Redis: keys, cells, scripts, codec, and a pure function for each verb."""
