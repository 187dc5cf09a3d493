"""This machine: the key, room and speed of the disk, and the store."""

from __future__ import annotations

import os
import shutil
import stat
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import tsstore
from tsstore.errors import ConfigError, TsStoreError
from tsstore_massive.config import API_KEY_VARIABLE
from tsstore_massive.doctor.findings import fail, ok, skip, warn

if TYPE_CHECKING:
    from tsstore.clock import Clock
    from tsstore_massive.config import Config
    from tsstore_massive.doctor.findings import Finding

_FREE_FAIL = 1 << 30
_FREE_WARN = 10 << 30
#: A minute boundary is one durable write, and so is every batch of ticks.
_WRITE_WARN_S = 0.05
_WRITES = 20
#: Reading every byte of more than this takes longer than somebody who asks what is wrong waits.
_CHECKED_BYTES_MAX = 1 << 30


def check_key(config: Config) -> tuple[Finding, str | None]:
    """Whether there is an API key that can be one, and the key; nothing of it is told."""
    check = "key present"
    try:
        key = config.resolve_key()
    except ConfigError as error:
        return fail(check, str(error), f"set {API_KEY_VARIABLE}"), None
    source = key_source(config)
    is_file = config.api_key_file and not config.api_key
    if is_file and stat.S_IMODE(Path(source).stat().st_mode) & 0o077:
        return warn(check, f"others can read {source}", f"chmod 600 {source}"), key
    return ok(check, f"{len(key)} characters, from {source}"), key


def key_source(config: Config) -> str:
    """Where the API key is from, as people call it: an option, a variable or the path of a file."""
    if config.api_key_file and not config.api_key:
        return str(Path(config.api_key_file).expanduser())
    # mkts.yml may name the variable as the value of the option.
    is_written = config.api_key not in ("", os.environ.get(API_KEY_VARIABLE))
    return "option api_key" if is_written else f"${API_KEY_VARIABLE}"


def check_space(directory: Path) -> Finding:
    """Room on the disk of a directory, which need not be there yet."""
    place = _existing(directory)
    free = shutil.disk_usage(place).free
    found = f"{free / 2**30:,.1f} GiB free at {place}"
    advice = "make room; a full disk ends writing, and what comes meanwhile has to be fetched later"
    if free < _FREE_FAIL:
        return fail("disk space", found, advice)
    if free < _FREE_WARN:
        return warn("disk space", found, advice)
    return ok("disk space", found)


def check_speed(directory: Path, clock: Clock) -> Finding:
    """How long a durable write takes on the disk of a directory, tried with a store of its own."""
    check = "durable writes"
    try:
        with tempfile.TemporaryDirectory(
            dir=_beside(directory), prefix="tsstore-doctor-"
        ) as folder:
            seconds = _write_seconds(Path(folder), clock)
    except (OSError, TsStoreError) as error:
        return fail(check, str(error), f"make {_existing(directory)} writable for this user")
    found = f"{seconds * 1e3:.1f} ms each, the median of {_WRITES}"
    if seconds > _WRITE_WARN_S:
        advice = "a faster disk, or wal_sync: interval in mkts.yml, which risks the last moments"
        return warn(check, found, advice)
    return ok(check, found)


def check_store(directory: Path, timezone: str | None) -> Finding:
    """Whether the store opens, and is whole if it is not too large to be read."""
    if not directory.exists():
        return ok("store", f"{directory} is not there yet; it is made with the first row")
    try:
        with tsstore.open(directory, timezone=timezone, read_only=True) as store:
            held = f"{directory}: {len(store.list()):,} buckets"
            if _bytes_below(directory) > _CHECKED_BYTES_MAX:
                return ok("store", f"{held}; too large to be read now: `tsstore check` does")
            report = store.check()
    except TsStoreError as error:
        return fail("store", str(error), "see what the message says")
    if report.ok:
        return ok("store", f"{held}, {report.rows:,} rows, every byte as it was written")
    return fail(
        "store",
        f"{len(report.problems):,} problems, such as {report.problems[0]}",
        "run `tsstore check`, then `tsstore repair`, or restore a backup",
    )


def no_store() -> Finding:
    """There is no directory to look at."""
    return skip("store", "no directory is named; give --dir, or --config with a mkts.yml")


def _write_seconds(folder: Path, clock: Clock) -> float:
    taken = []
    with tsstore.open(folder / "store", timezone="UTC") as store:
        for at in range(_WRITES + 1):  # the first one makes files as well
            started = clock.monotonic()
            store.write("DOCTOR/1Min/OHLCV", {"Epoch": [at * 60], "Close": [1.0]})
            taken.append(clock.monotonic() - started)
    return statistics.median(taken[1:])


def _bytes_below(directory: Path) -> int:
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += (Path(folder) / name).stat().st_size
            except FileNotFoundError:  # merged with others meanwhile
                continue
    return total


def _existing(directory: Path) -> Path:
    """The directory, or the nearest one above it that is there."""
    place = directory.resolve()
    while not place.exists():
        place = place.parent
    return place


def _beside(directory: Path) -> Path:
    """Where to try writing: beside the store, in it only if it is a file system of its own."""
    place = _existing(directory)
    above = place.parent
    is_same_disk = place.stat().st_dev == above.stat().st_dev
    return above if is_same_disk and os.access(above, os.W_OK) else place
