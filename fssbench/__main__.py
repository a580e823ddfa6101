"""``python -m fssbench``: the command line."""

from fssbench.cli import main

main()
