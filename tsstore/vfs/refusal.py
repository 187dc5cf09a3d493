"""What the system refuses, as an error that says what to do about it."""

from __future__ import annotations

import errno

from tsstore.errors import StorageError


class Refused:
    """What the system refuses in a `with` block is raised as `StorageError`.

    A class, because a generator would take as long as a short read does.
    """

    __slots__ = ("_action", "_path")

    def __init__(self, action: str, path: str) -> None:
        self._action = action
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, OSError):
            raise storage_error(self._action, self._path, error) from None


def storage_error(action: str, path: str, error: OSError) -> StorageError:
    """The error for an operation that the system refused, with what to do about it."""
    advice = {
        errno.ENOSPC: "free some space and write again",
        errno.EDQUOT: "free some space and write again",
        errno.EROFS: "the file system is read-only; open the store with read_only=True",
        errno.EACCES: "check the owner and the permissions of the directory",
        errno.EPERM: "check the owner and the permissions of the directory",
        errno.EMFILE: "raise the limit of open files (ulimit -n)",
        errno.ENFILE: "the machine has no file handles left; close other programs",
        errno.ENOENT: "the file is gone; do not change files of the data directory by hand",
        errno.EEXIST: "a file has that name; name a directory",
        errno.ENOTDIR: "a part of the path is a file; name another",
        errno.ELOOP: "a link in the path leads back to itself, or none is followed; name another",
        errno.ENAMETOOLONG: "choose a shorter name",
        errno.EIO: "the disk reported an error; check it before trusting this directory",
    }.get(error.errno or 0, "see the system's log")
    what = f"cannot {action} {path}: {error.strerror or error}"
    refusal = StorageError(f"{what}; {advice}")
    refusal.errno = error.errno
    if error.errno == errno.EROFS:
        refusal.shell_text = f"{what}; mount the file system for writing, or name another directory"
    return refusal
