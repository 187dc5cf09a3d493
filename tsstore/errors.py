"""Every exception tsstore raises on purpose.

    TsStoreError
    ├── InvalidArgumentError (ValueError)   the call is wrong: fix the arguments
    │   ├── InvalidKeyError                 not a bucket key, timeframe or pattern
    │   ├── SchemaMismatchError             columns do not fit the bucket
    │   ├── ConfigError                     mkts.yml or an option of it
    │   └── LimitExceededError              a request is larger than a setting allows
    ├── NotFoundError (LookupError)         no such bucket
    ├── AlreadyExistsError                  create() of a bucket that is there
    ├── CorruptionError                     bytes on disk are not what was written
    ├── FormatVersionError                  written by another version of the format
    ├── LockedError                         somebody writes to the directory already
    ├── ReadOnlyError                       a write through a read-only opening
    ├── ClosedError                         the store was closed
    ├── StorageError                        the disk refused: full, I/O error, no permission
    ├── ForbiddenError                      the server's token allows to read only
    ├── BusyError                           the server has too much to do: try again later
    └── ConnectionFailedError               the server cannot be reached or broke off

An error's text is one line that says what is wrong, where, and what to do. `exit_code` is what a
command line ends with, so commands need no table of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


class TsStoreError(Exception):
    """Base of all exceptions of tsstore.

    Attributes:
        shell_text: what the command line says instead, where who types needs other advice than
            who writes programs; or None.
    """

    exit_code = 1
    shell_text: str | None = None


class InvalidArgumentError(TsStoreError, ValueError):
    """The caller passed something that cannot be right."""

    exit_code = 2


class InvalidKeyError(InvalidArgumentError):
    """Not a bucket key `symbol/timeframe/attribute group`, or a part of one is not allowed."""


class SchemaMismatchError(InvalidArgumentError):
    """The columns do not fit the bucket; the text shows both schemas."""


class ConfigError(InvalidArgumentError):
    """A configuration is wrong; the text names the file, line and key."""


class LimitExceededError(InvalidArgumentError):
    """A request is larger than a limit that is set; the text names the limit."""


class NotFoundError(TsStoreError, LookupError):
    """There is no such bucket."""

    exit_code = 3

    @classmethod
    def of_bucket(cls, what: str, context: str = "") -> Self:
        """The error for a bucket that is not there.

        Args:
            what: that and why, `there is no bucket A/1D/OHLCV`.
            context: for clients, before it.
        """
        error = cls(f"{context}{what}; list() shows those there are")
        error.shell_text = f"{what}; `tsstore ls` shows what there is"
        return error


class AlreadyExistsError(TsStoreError):
    """There is such a bucket already."""

    exit_code = 2


class CorruptionError(TsStoreError):
    """Bytes on disk are not the bytes that were written.

    Attributes:
        path: the damaged file.
        offset: where in it, in bytes.
        what: what was found there.
    """

    exit_code = 4

    def __init__(self, path: str, offset: int, what: str) -> None:
        super().__init__(path, offset, what)
        self.path = path
        self.offset = offset
        self.what = what

    def __str__(self) -> str:
        return (
            f"{self.path} is damaged at byte {self.offset}: {self.what}; "
            "run `tsstore check` on the directory, then `tsstore repair`, or restore a backup"
        )


class FormatVersionError(TsStoreError):
    """A file was written by a version of the format this code does not know."""

    exit_code = 4

    def __init__(self, path: str, found: int, supported: int) -> None:
        super().__init__(path, found, supported)
        self.path = path
        self.found = found
        self.supported = supported

    def __str__(self) -> str:
        return (
            f"{self.path} has format version {self.found}, this tsstore reads up to "
            f"{self.supported}; nothing was changed, open it with a newer tsstore"
        )


class LockedError(TsStoreError):
    """The directory is open for writing already, mostly in another process, which the text names.

    Attributes:
        pid: the process, when it is known.
        endpoint: URL of the server that it runs, through which one can write as well; or None.
    """

    exit_code = 6
    pid: int | None = None
    endpoint: str | None = None


class ReadOnlyError(TsStoreError):
    """A write through a store that was opened read-only."""

    exit_code = 2


class ClosedError(TsStoreError):
    """The store was closed, or was carried into a forked process."""


class StorageError(TsStoreError):
    """The operating system refused an operation on a file.

    Attributes:
        errno: its number for the refusal (`errno.ENOSPC` ...), when there is one.
    """

    exit_code = 7
    errno: int | None = None


class ForbiddenError(TsStoreError):
    """The token that the server was given allows to read only; nothing was done."""

    exit_code = 5


class BusyError(TsStoreError):
    """The server carries out as many calls that take long as it may; nothing was done."""


class ConnectionFailedError(TsStoreError):
    """The server cannot be reached, broke off, or is not a tsstore server."""

    exit_code = 5
