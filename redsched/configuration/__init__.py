"""Where the values of settings come from: the environment, files of secrets, and redsched.toml."""
