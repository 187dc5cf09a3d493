"""As many connections per API key on a machine as the account has: one more would evict another."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tsstore.errors import LockedError

if TYPE_CHECKING:
    from types import TracebackType


class KeyLock:
    """A kernel lock named after a key and a server; a process that dies lets go of it.

    Args:
        api_key: only a hash of it becomes part of the file's name.
        place: where the vendor counts connections; the same key may be used at another one.
        allowed: connections that the account has there.
    """

    def __init__(self, api_key: str, place: str, *, allowed: int = 1) -> None:
        digest = hashlib.blake2b(f"{place} {api_key}".encode(), digest_size=8).hexdigest()
        name = f"tsstore-massive-{os.getuid()}-{digest}"
        endings = ("", *(f"-{number}" for number in range(2, allowed + 1)))
        self._paths = [_folder() / f"{name}{ending}.lock" for ending in endings]
        self._file = -1

    def __enter__(self) -> Self:
        """Take a lock. Raises LockedError when other processes have all there are."""
        holders = []
        for path in self._paths:
            holder = self._take(path)
            if holder is None:
                return self
            holders.append(holder)
        raise LockedError(
            f"{_told(holders)} with this API key, and Massive allows {len(holders)} at a time; "
            "stop one of those, give this one another key, or set connections_allowed if the "
            "account has more"
        )

    def _take(self, path: Path) -> str | None:
        """Take one lock, or return who has it, empty while that one has not written it yet."""
        # The file stays behind on purpose: removing it would let two processes lock two files.
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 20, 0).decode(errors="replace").strip()
            self._release()
            return holder
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release()

    def _release(self) -> None:
        os.close(self._file)
        self._file = -1


def _told(holders: list[str]) -> str:
    """Who streams; a process may hold several locks, this one as well."""
    own = str(os.getpid())
    pids = dict.fromkeys(filter(None, holders))
    names = [f"{pid} (this one)" if pid == own else pid for pid in pids]
    if not names:
        return "another process streams"
    if not all(holders):
        names.append("one more")
    if len(names) == 1:
        return f"process {names[0]} streams"
    return f"processes {', '.join(names[:-1])} and {names[-1]} stream"


def _folder() -> Path:
    """The folder of the session, if it is not over; else that of everybody."""
    own = os.environ.get("XDG_RUNTIME_DIR")
    return Path(own if own and os.access(own, os.W_OK | os.X_OK) else tempfile.gettempdir())
