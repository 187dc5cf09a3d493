"""Runs a program that is asked to stop as soon as the process that started it is gone.

    python -IS tether.py PID PROGRAM ARGUMENT...

A process of its own, because what has to be done between fork and exec is not safe in Python once
the parent has threads. The program takes its place.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>; it outlives exec


def main() -> None:
    """Tie this process to the one with that number, and become the program."""
    parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(f"process {parent} ended before {command[0]} began")
    try:
        os.execvp(command[0], command)  # noqa: S606  (our own programs)
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
