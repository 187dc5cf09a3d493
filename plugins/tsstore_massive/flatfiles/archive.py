"""The copy of the vendor's files on this machine, under the vendor's names.

    <archive>/us_stocks_sip/minute_aggs_v1/2026/08/2026-08-31.csv.gz        as the vendor has it
    <archive>/us_stocks_sip/minute_aggs_v1/2026/08/2026-08-31.csv.gz.etag   ETag and size of it
    <archive>/us_stocks_sip/minute_aggs_v1/2026/08/2026-08-31.<etag>.part   one that is under way

A file gets its name when all of it is on the medium, and its ETag after that, so a file with an
ETag is whole. A download that was broken off goes on where it was, unless the vendor has replaced
the file. A file without an ETag was put there by somebody else: it is taken for whole, known by its
size and time of change, and never removed.
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tsstore.errors import InvalidArgumentError, LockedError, StorageError
from tsstore_massive.errors import StoppedError
from tsstore_massive.flatfiles.remote import RemoteFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tsstore_massive.flatfiles.remote import Remote


#: Begins what stands for the ETag of files that were not downloaded.
_OWN = "own-"


class Archive:
    """A folder of flat files; one process at a time changes it, and any number read it.

    Args:
        folder: made when it is not there.
        read_only: nothing of it is changed, so it may lie on a medium that takes nothing.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.folder = folder
        self._read_only = read_only

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out, if anything is to be changed.

        Raises:
            LockedError: another process works on this archive.
            StorageError: the folder cannot be made.
            InvalidArgumentError: it is not there to be read.
        """
        if self._read_only:
            if not self.folder.is_dir():
                raise InvalidArgumentError(
                    f"there is no archive {self.folder}; name the one to read with --archive"
                )
            yield
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # The file stays behind on purpose: removing it would let two processes lock two files.
            fd = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"archive {self.folder}: {error.strerror}") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise LockedError(
                f"another process works on the archive {self.folder}; wait for it, or give "
                "another folder with --archive"
            ) from None
        finally:
            os.close(fd)

    def path(self, file: RemoteFile) -> Path:
        """Where a file lies, or will lie."""
        return self.folder / file.path

    def list(self, prefix: str, after: str = "") -> Iterator[RemoteFile]:
        """The whole files of this archive, as `Remote.list` lists those of the vendor."""
        for path in sorted((self.folder / prefix).glob("*/*/*.csv.gz")):
            name = path.relative_to(self.folder).as_posix()
            if name > after and (file := self._found(name)) is not None:
                yield file

    def holds(self, file: RemoteFile) -> bool:
        """Whether this very file is here, whole."""
        return self._found(file.path) == file

    def _found(self, name: str) -> RemoteFile | None:
        """The file of a name as it is here; None if it is not here, or not whole."""
        path = self.folder / name
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        try:
            etag, _, size = _label(path).read_text().strip().rpartition(" ")
        except FileNotFoundError:
            return RemoteFile(name, found.st_size, f"{_OWN}{found.st_size}-{found.st_mtime_ns}")
        except UnicodeDecodeError:
            return None
        return RemoteFile(name, found.st_size, etag) if size == str(found.st_size) else None

    def fetch(
        self,
        remote: Remote,
        file: RemoteFile,
        *,
        is_stopped: Callable[[], bool],
        on_bytes: Callable[[int], None],
    ) -> Path:
        """Download a file; it is whole and on the medium when this returns.

        Args:
            remote: where it comes from.
            file: as it was listed.
            is_stopped: ends the download, which the next one then continues.
            on_bytes: told how many bytes came, ahead of time for those of an earlier run.

        Raises:
            MassiveError: it could not be had.
            StoppedError: it was stopped.
            StorageError: the disk refused.
        """
        path = self.path(file)
        part = path.with_name(f"{_stem(path)}.{re.sub(r'[^0-9A-Za-z-]', '_', file.etag)}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for other in path.parent.glob(f"{_stem(path)}.*.part"):
                if other != part:
                    other.unlink()
            self._fill(remote, file, part, is_stopped, on_bytes)
            _label(path).unlink(missing_ok=True)
            part.replace(path)
            _write(_label(path), _text(file))
            _sync(path.parent)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}; free or mend the disk") from None
        return path

    def remove(self, file: RemoteFile) -> None:
        """Forget a file, unless somebody else put it here, or nothing is to be changed."""
        if self._read_only or file.etag.startswith(_OWN):
            return
        path = self.path(file)
        _label(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)

    def _fill(
        self,
        remote: Remote,
        file: RemoteFile,
        part: Path,
        is_stopped: Callable[[], bool],
        on_bytes: Callable[[int], None],
    ) -> None:
        with part.open("ab") as out:
            if out.tell() > file.size:
                out.truncate(0)
            start = out.tell()
            on_bytes(start)
            for body in remote.read(file, start, is_stopped):
                out.write(body)
                on_bytes(len(body))
            out.flush()
            if out.tell() != file.size:
                raise StoppedError("stopped")
            os.fsync(out.fileno())  # noqa: TID251  (the archive is no part of the store)


def _label(path: Path) -> Path:
    return path.with_name(path.name + ".etag")


def _stem(path: Path) -> str:
    return path.name.removesuffix(".csv.gz")


def _text(file: RemoteFile) -> str:
    return f"{file.etag} {file.size}\n"


def _write(path: Path, text: str) -> None:
    with path.open("w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())  # noqa: TID251  (the archive is no part of the store)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)  # noqa: TID251  (the archive is no part of the store)
    finally:
        os.close(fd)
