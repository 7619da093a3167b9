"""``python -m tcpstates``: the command, where it is not on the path."""

from tcpstates.cli import main

if __name__ == "__main__":
    main()
