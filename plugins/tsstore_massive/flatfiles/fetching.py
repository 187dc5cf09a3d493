"""The files of a plan on this machine, a few of them ahead of the one that is being loaded."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from tsstore_massive.flatfiles.errors import FileReplacedError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from tsstore_massive.flatfiles.archive import Archive
    from tsstore_massive.flatfiles.planning import Wanted
    from tsstore_massive.flatfiles.remote import Remote, RemoteFile

_FILES_AHEAD = 4
#: Times that a file may be replaced while it is fetched.
_REPLACED_MAX = 3


class Fetching:
    """Fetches files on threads of its own, until the context ends.

    Args:
        archive: where they are kept.
        remote: where they come from; None when the archive has them all.
        stop: nothing more is fetched once it is set.
        on_bytes: told how many bytes came, on any thread.
    """

    def __init__(
        self,
        archive: Archive,
        remote: Remote | None,
        stop: threading.Event,
        on_bytes: Callable[[int], None],
    ) -> None:
        self._archive = archive
        self._remote = remote
        self._stop = stop
        self._on_bytes = on_bytes
        self._ended = False
        self._pool = ThreadPoolExecutor(_FILES_AHEAD, thread_name_prefix="flatfile")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True  # first: a file that is under way is left where it is
        self._pool.shutdown()

    def files(
        self, plan: Iterable[Wanted]
    ) -> Iterator[tuple[Wanted, Future[tuple[RemoteFile, Path]]]]:
        """The files in order, each as it is listed by now and where it lies."""
        todo = iter(plan)
        ahead: deque[tuple[Wanted, Future[tuple[RemoteFile, Path]]]] = deque()
        while not self._is_stopped():
            while len(ahead) < _FILES_AHEAD and (wanted := next(todo, None)) is not None:
                ahead.append((wanted, self._pool.submit(self._fetch, wanted)))
            if not ahead:
                return
            yield ahead.popleft()

    def _is_stopped(self) -> bool:
        return self._ended or self._stop.is_set()

    def _fetch(self, wanted: Wanted) -> tuple[RemoteFile, Path]:
        file = wanted.file
        for attempt in range(_REPLACED_MAX):
            if self._remote is None or self._archive.holds(file):
                return file, self._archive.path(file)
            try:
                path = self._archive.fetch(
                    self._remote, file, is_stopped=self._is_stopped, on_bytes=self._on_bytes
                )
            except FileReplacedError:
                newer = self._remote.head(file.path)
                if newer is None or attempt + 1 == _REPLACED_MAX:
                    raise
                file = newer
            else:
                return file, path
        raise AssertionError("the last attempt returns or raises")
