"""``python -m redsched``: the command line."""

from redsched.cli.main import main

if __name__ == "__main__":
    main(prog_name="redsched")
