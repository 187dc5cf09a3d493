"""One worker per API key on a machine: a second connection would only evict the first."""

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
        server: the socket's URL; the same key may be used on another server.
    """

    def __init__(self, api_key: str, server: str) -> None:
        digest = hashlib.blake2b(f"{server} {api_key}".encode(), digest_size=8).hexdigest()
        folder = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        self._path = Path(folder) / f"tsstore-massive-{os.getuid()}-{digest}.lock"
        self._file = -1

    def __enter__(self) -> Self:
        """Take the lock. Raises LockedError when another process has it."""
        # The file stays behind on purpose: removing it would let two processes lock two files.
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 20, 0).decode(errors="replace").strip() or "unknown"
            self._release()
            raise LockedError(
                f"another process ({holder}) streams with this API key, and Massive allows one "
                "connection; stop the other one, or give one of them another key"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        return self

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
