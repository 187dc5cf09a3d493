"""`python -m tsstore`."""

from tsstore.cli.main import main

main(prog_name="tsstore")
