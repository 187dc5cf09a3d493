"""What an API key has used of its quota, shared by all processes of a user on a machine.

There is one small file per key and server, `tsstore/massive-<digest>.quota` in `$XDG_STATE_HOME`
(`~/.local/state`), or in the folder that `quota_directory` names. It holds one record (`usage.py`)
with its checksum and fits one page, which the system takes in one step: a process that is killed
leaves the record of before or of after. A request is written down before it is sent, so whoever is
killed has used what it may have sent. A kernel lock is held while the record is changed, which
takes some tens of microseconds.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import xxhash

from tsstore.errors import LockedError, StorageError
from tsstore_massive.rest.usage import STATE, Moment, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from tsstore.clock import Clock

_MAGIC = b"TSQUOTA1"
_CHECKSUM_BYTES = 8
_SIZE = len(_MAGIC) + STATE.itemsize + _CHECKSUM_BYTES
_PAGE = 4096

_LOOK_S = 0.001
#: How long others may hold the record.
LOCK_S_MAX = 10.0

_logger = logging.getLogger(__name__)


class Quota(Protocol):
    """Where the record is."""

    def usage(self, wait_s: float = LOCK_S_MAX) -> AbstractContextManager[Usage]:
        """The record, brought to the present, for the length of a `with`.

        Args:
            wait_s: how long others may hold it before LockedError.
        """
        ...


class MemoryQuota:
    """A record of this process alone. Thread-safe.

    Args:
        clock: the source of time.
        minute_s: the length of the vendor's minute; another one only in tests.
    """

    def __init__(self, clock: Clock, minute_s: float = 60.0) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._usage = Usage(np.zeros(1, STATE), minute_s)

    @contextmanager
    def usage(self, wait_s: float = LOCK_S_MAX) -> Iterator[Usage]:  # noqa: ARG002  (nobody waits)
        """The record, brought to the present, for the length of a `with`."""
        with self._lock:
            self._usage.advance(_moment(self._clock, b"memory"))
            yield self._usage


class FileQuota:
    """A record in a file, which any number of processes and threads may use at once.

    Args:
        path: the file; it is made, in a folder that is there.
        clock: the source of time.
        minute_s: the length of the vendor's minute; another one only in tests.

    Raises:
        StorageError: the file cannot be opened.
    """

    def __init__(self, path: Path, clock: Clock, minute_s: float = 60.0) -> None:
        self._path = path
        self._clock = clock
        self._minute_s = minute_s
        self._boot = _boot_id()
        self._lock = threading.Lock()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._file = os.open(path, flags, 0o600)
        except OSError as error:
            raise self._failed(error) from None

    def __del__(self) -> None:
        file, self._file = getattr(self, "_file", -1), -1
        if file >= 0:
            os.close(file)

    @contextmanager
    def usage(self, wait_s: float = LOCK_S_MAX) -> Iterator[Usage]:
        """The record, brought to the present, for the length of a `with`.

        Args:
            wait_s: how long others may hold it.

        Raises:
            LockedError: another process holds it for longer, so it stands still.
            StorageError: the file cannot be read or written.
        """
        if not self._lock.acquire(timeout=wait_s):
            raise self._held()
        try:
            self._take_lock(wait_s)
            try:
                state = self._read()
                usage = Usage(state, self._minute_s)
                usage.advance(_moment(self._clock, self._boot))
                yield usage
                self._write(state)
            except OSError as error:
                raise self._failed(error) from None
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        finally:
            self._lock.release()

    def _take_lock(self, wait_s: float) -> None:
        never = threading.Event()
        for _ in range(1 + round(wait_s / _LOOK_S)):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                never.wait(_LOOK_S)
            else:
                return
        raise self._held()

    def _held(self) -> LockedError:
        return LockedError(
            f"{self._path} is held by a process that stands still; continue or end it (fuser "
            f"{self._path} names it)"
        )

    def _read(self) -> NDArray[np.void]:
        content = os.pread(self._file, _PAGE, 0)
        if not content:  # just made: nobody has sent anything yet
            return np.zeros(1, STATE)
        body, checksum = content[: _SIZE - _CHECKSUM_BYTES], content[_SIZE - _CHECKSUM_BYTES :]
        if not body.startswith(_MAGIC) or checksum != xxhash.xxh3_64_digest(body):
            return self._unknown()
        return np.frombuffer(body, STATE, 1, len(_MAGIC)).copy()

    def _unknown(self) -> NDArray[np.void]:
        """A new record in place of one that cannot be read, for which the minute is spent."""
        _logger.warning(
            "%s is damaged or of another version; the use of the quota is counted anew, and the "
            "first request waits for a minute", self._path,
        )  # fmt: skip
        state = np.zeros(1, STATE)
        usage = Usage(state, self._minute_s)
        usage.advance(_moment(self._clock, self._boot))
        usage.pause(self._minute_s)
        return state

    def _write(self, state: NDArray[np.void]) -> None:
        body = _MAGIC + state.tobytes()
        content = body + xxhash.xxh3_64_digest(body)
        if os.pwrite(self._file, content, 0) != len(content):
            raise OSError(0, "the disk took a part only")

    def _failed(self, error: OSError) -> StorageError:
        return StorageError(
            f"the use of the quota cannot be kept in {self._path}: {error.strerror}; make room or "
            "name another folder in quota_directory"
        )


def quota_path(server: str, api_key: str, directory: str = "") -> Path:
    """The file of a key; only a digest of the key is in its name.

    Args:
        server: host and port of the REST service; the same key may be used on another one.
        api_key: the key.
        directory: a folder instead of the usual one.
    """
    digest = hashlib.blake2b(f"{server} {api_key}".encode(), digest_size=8).hexdigest()
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    folder = directory or f"{state}/tsstore"
    return Path(folder).expanduser() / f"massive-{digest}.quota"


def _moment(clock: Clock, boot: bytes) -> Moment:
    return Moment(boot, clock.monotonic(), clock.now_ns())


def _boot_id() -> bytes:
    """Tells one start of the machine from another."""
    return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
