"""Work in a thread that signals ask to stop."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from tsstore.signals import Signals
from tsstore_massive.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable

_EXIT_INCOMPLETE = 1
_LOOK_S = 0.1


def run_until_stopped(work: Callable[[threading.Event], bool]) -> None:
    """Do some work, and end the process with 1 if it is incomplete, or as a signal demands.

    It is done in a thread: an event that a handler set could be locked by what it interrupts.

    Args:
        work: is given the event that asks it to stop; returns whether everything was done.
    """
    with Signals() as signals, suppress(StoppedError):
        is_whole = _in_thread(work, signals)
        if not is_whole and not signals.stop:
            sys.exit(_EXIT_INCOMPLETE)
    if signals.first is not None:
        click.echo("stopped; the same command goes on from here", err=True)
        sys.exit(128 + signals.first)


def _in_thread(work: Callable[[threading.Event], bool], signals: Signals) -> bool:
    stop = threading.Event()
    with ThreadPoolExecutor(1, "tsstore-massive") as pool:
        running = pool.submit(work, stop)
        while not wait([running], _LOOK_S).done:
            if signals.stop:
                stop.set()
                signals.let_go()
        return running.result()
