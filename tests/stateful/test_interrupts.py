"""Ctrl-C at every moment of a call: nothing is lost, nothing is locked, no file stays.

Python hands a signal to the main thread when a function begins and when a built-in one has ended.
Each of these moments of a call gets its interrupt, one after the other.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tsstore import Settings
from tsstore.store import Store
from tsstore.testing.faultfs import FaultFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable

GROUP = "1Min/OHLCV"
NAMES = ["A", "B"]
SETTINGS = Settings(compaction_bytes_per_s=0, bulk_bytes_min=0)
#: Where the calls that change something keep what others rely on.
WATCHED = ("batch.py", "catalog.py", "changes.py", "flusher.py", "gate.py", "latch.py", "log.py")


def bars(first: int, count: int) -> dict[str, object]:
    return {"Epoch": 60 * np.arange(first, first + count), "Close": np.ones(count)}


def table(minute: int) -> dict[str, object]:
    return {"Symbol": NAMES, "Epoch": [60 * minute] * len(NAMES), "Close": [1.0] * len(NAMES)}


CALLS: dict[str, Callable[[Store], object]] = {
    "write_table": lambda store: store.write_table(GROUP, table(0)),
    "copy": lambda store: store.copy(f"A/{GROUP}", f"B/{GROUP}"),
    "destroy": lambda store: store.destroy(f"A/{GROUP}"),
}


def is_interrupted(call: Callable[[], object], moment: int) -> bool:
    """Whether the call had so many moments; it was interrupted then."""
    left = moment

    def interrupt(frame: Any, event: str, _: object) -> None:
        nonlocal left
        watched = frame.f_code.co_filename.endswith((*WATCHED, "threading.py"))
        if watched and event in {"call", "c_return"}:
            left -= 1
            if left == 0:
                raise KeyboardInterrupt

    sys.setprofile(interrupt)
    try:
        call()
    except (KeyboardInterrupt, RuntimeError):  # threading makes the latter of it now and then
        pass
    finally:
        sys.setprofile(None)
    return left <= 0


def check(store: Store, fs: FaultFileSystem) -> None:
    """Whether everyone can write, and finds it."""
    store.write_table(GROUP, table(9000))
    store.close()
    left = {name for name in fs.files() if name.endswith(".seg")}
    with Store("s", fs=fs, settings=SETTINGS) as again:
        for name in NAMES:
            assert again.read(f"{name}/{GROUP}").ts[-1] == 9000 * 60_000_000_000
        assert left <= set(again.engine.current().view.segments.names)


@pytest.mark.parametrize("name", CALLS)
def test_an_interrupt_at_any_moment_harms_nobody(name: str) -> None:
    moment = 1
    while True:
        fs = FaultFileSystem()
        store = Store("s", fs=fs, settings=SETTINGS)
        store.write(f"A/{GROUP}", bars(0, 10))
        if not is_interrupted(lambda: CALLS[name](store), moment):  # noqa: B023  called at once
            store.close()
            break
        failures: list[BaseException] = []

        def others() -> None:
            try:
                check(store, fs)  # noqa: B023
            except BaseException as error:
                failures.append(error)  # noqa: B023

        thread = threading.Thread(target=others, daemon=True)
        thread.start()
        thread.join(10)
        assert not thread.is_alive(), f"everything waits after an interrupt at moment {moment}"
        assert not failures, (moment, failures)
        moment += 1
    assert moment > 30
