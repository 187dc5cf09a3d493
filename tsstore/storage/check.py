"""Reading every byte of a data directory and reporting what is wrong with it.

Works on a directory that nobody has opened and beside a running writer: it opens the store
read-only, so what the log and the manifest promise is checked by the same code that relies on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tsstore.errors import TsStoreError
from tsstore.storage.filenames import BUCKETS_DIR, segment_number
from tsstore.storage.follower import Follower
from tsstore.storage.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsstore.storage.segment import SegmentReader
    from tsstore.vfs import FileSystem


@dataclass
class CheckReport:
    """What a check found.

    Attributes:
        buckets: how many there are.
        segments: how many segment files were read.
        rows: rows in segments and in the log.
        bytes: of segment files.
        problems: one line each, what is wrong, where and what to do.
        leftovers: segment files that no manifest names; they do no harm, and the writer removes
            them when it opens the store after a crash.
    """

    buckets: int = 0
    segments: int = 0
    rows: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def check_directory(fs: FileSystem) -> CheckReport:
    """Check a data directory.

    Raises:
        NotFoundError: there is no store.
    """
    report = CheckReport()
    try:
        follower = Follower(fs, Settings())
    except TsStoreError as error:
        if error.exit_code == 3:
            raise
        report.problems.append(str(error))
        return report
    try:
        _check_segments(fs, follower, report)
    finally:
        follower.close()
    return report


def _check_segments(fs: FileSystem, follower: Follower, report: CheckReport) -> None:
    state = follower.current()
    segments = state.view.segments
    report.buckets = len(state.catalog.keys())
    report.segments = len(segments.names)
    in_log = sum(len(chunk.ts) for chunks in state.view.chunks.values() for chunk in chunks)
    report.rows = int(segments.table["rows"].sum()) + in_log
    report.bytes = int(segments.table["bytes"].sum())
    problems = {
        name: found
        for name, opened in segments.try_readers()
        if (found := [str(problem) for problem in _verify(opened)])
    }
    files = [name for name in fs.walk(BUCKETS_DIR) if segment_number(name) is not None]
    # A writer may have removed and added files meanwhile: only what still counts is a problem.
    live = set(follower.current().view.segments.names)
    for name, found in problems.items():
        report.problems += found if name in live else []
    report.leftovers = [name for name in files if name not in live and fs.exists(name)]


def _verify(opened: SegmentReader | TsStoreError) -> Iterator[TsStoreError]:
    if isinstance(opened, TsStoreError):
        yield opened
        return
    try:
        yield from opened.verify()
    except TsStoreError as error:  # the disk does not give the bytes back
        yield error
