"""`python -m ov2_cli`: the same command, for processes that start it."""

from ov2_cli.main import main

if __name__ == "__main__":
    main()
