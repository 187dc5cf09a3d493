"""Reading every byte of a data directory and reporting what is wrong with it.

Works on a directory that nobody has opened and beside a running writer: it opens the store
read-only, so what the log and the manifest promise is checked by the same code that relies on it.
A deep check decodes every block as well and looks at what readers take for granted: the order of
the rows, slots that are there once, footers that say what is there, and which rows are newer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from tsstore.errors import CorruptionError, TsStoreError
from tsstore.storage.deepcheck import check_chunk, check_entry, check_masks, check_order, check_rows
from tsstore.storage.filenames import BUCKETS_DIR, WAL_DIR, manifest_name, segment_number
from tsstore.storage.follower import Follower
from tsstore.storage.manifest import manifest_numbers
from tsstore.storage.places import Place, place_of_block
from tsstore.storage.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsstore.storage.deepcheck import Found
    from tsstore.storage.segment import SegmentReader
    from tsstore.storage.segments import SegmentSet
    from tsstore.storage.state import State
    from tsstore.vfs import FileSystem

_ADVICE = "run `tsstore repair` on the directory, or restore a backup"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: the file.
        offset: where in it, in bytes.
        what: what was found there.
        place: rows that are concerned; None where that cannot be told.
    """

    path: str
    offset: int
    what: str
    place: Place | None = None

    def __str__(self) -> str:
        rows = "" if self.place is None else f" ({self.place})"
        return f"{self.path} is damaged at byte {self.offset}: {self.what}{rows}; {_ADVICE}"


@dataclass
class CheckReport:
    """What a check found.

    Attributes:
        buckets: how many there are.
        segments: how many segment files were read.
        rows: rows in segments and in the log.
        bytes: of segment files.
        problems: what is wrong, where, and what to do; as text, one line each.
        leftovers: segment files that no manifest names; they do no harm, and the writer removes
            them when it opens the store after a crash.
    """

    buckets: int = 0
    segments: int = 0
    rows: int = 0
    bytes: int = 0
    problems: list[Problem | TsStoreError] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def check_directory(fs: FileSystem, *, deep: bool = False) -> CheckReport:
    """Check a data directory.

    Args:
        fs: the directory.
        deep: decode every block as well, and look at the order of the rows.

    Raises:
        NotFoundError: there is no store.
    """
    report = CheckReport()
    try:
        follower = Follower(fs, Settings())
    except TsStoreError as error:
        if error.exit_code == 3:
            raise
        report.problems.append(_problem(error))
        return report
    try:
        _check_segments(fs, follower, report, deep=deep)
    finally:
        follower.close()
    return report


def _check_segments(fs: FileSystem, follower: Follower, report: CheckReport, *, deep: bool) -> None:
    state = follower.current()
    segments = state.view.segments
    report.buckets = len(state.catalog.keys())
    report.segments = len(segments.names)
    in_log = sum(len(chunk.ts) for chunks in state.view.chunks.values() for chunk in chunks)
    report.rows = int(segments.table["rows"].sum()) + in_log
    report.bytes = int(segments.table["bytes"].sum())
    found = _Found(fs, state, deep=deep)
    problems = {name: list(found.of_segment(row)) for row, name in enumerate(segments.names)}
    files = [name for name in fs.walk(BUCKETS_DIR) if segment_number(name) is not None]
    # A writer may have removed and added files meanwhile: only what still counts is a problem.
    live = set(follower.refreshed().view.segments.names)
    for name, several in problems.items():
        report.problems += several if name in live else []
    if deep:
        report.problems += [p for name, p in found.between_files() if not name or name in live]
        report.problems += found.of_log()
    report.leftovers = [name for name in files if name not in live and fs.exists(name)]


class _Found:
    """Looks for problems in one state of a store."""

    def __init__(self, fs: FileSystem, state: State, *, deep: bool) -> None:
        self._fs = fs
        self._state = state
        self._segments: SegmentSet = state.view.segments
        self._keys = dict(state.catalog.keys_by_id())
        self._manifest = max(manifest_numbers(fs), default=0)
        self._deep = deep

    def of_segment(self, row: int) -> Iterator[Problem | TsStoreError]:
        """What is wrong with one segment file."""
        try:
            reader = self._segments.open_reader(row)
        except TsStoreError as error:
            yield _problem(error, self._of_entry(row))
            return
        try:
            yield from self._of_reader(row, reader)
        except TsStoreError as error:  # the disk does not give the bytes back
            yield _problem(error)
        finally:
            reader.drop_rows()
            reader.close_file()

    def _of_reader(self, row: int, reader: SegmentReader) -> Iterator[Problem | TsStoreError]:
        damaged = False
        for error in reader.verify():
            damaged = True
            yield _problem(error, place_of_block(reader.footer, error.offset, self._keys))
        if not self._deep:
            return
        path = self._fs.describe(self._segments.names[row])
        entry = self._segments.table[row]
        found = chain(
            check_entry(entry, reader.footer, self._state.catalog.schemas),
            check_rows(reader, self._keys) if not damaged else (),
        )
        for offset, what, place in found:
            yield Problem(path, offset, what, place)

    def _of_entry(self, row: int) -> Place | None:
        """What the manifest says of a segment that cannot say it itself."""
        entry = self._segments.table[row]
        key = self._keys.get(int(entry["bucket"]))
        rows, first, last = int(entry["rows"]), int(entry["first_ts"]), int(entry["last_ts"])
        return Place((key,) if key else (), rows, first, last)

    def between_files(self) -> Iterator[tuple[str, Problem]]:
        """What is wrong between the segments, with the name of one of them if there is one."""
        segments = self._segments
        names = dict(zip(segments.table["number"].tolist(), segments.names, strict=True))
        for number, what, place in chain(check_masks(segments, self._keys), self._order()):
            name = names.get(number, "")
            path = self._fs.describe(name or manifest_name(self._manifest))
            yield name, Problem(path, 0, what, place)

    def _order(self) -> Iterator[Found]:
        for bucket_id in self._keys:
            bucket = self._state.catalog.by_id(bucket_id)
            if bucket is None:
                continue
            try:
                yield from check_order(self._segments, bucket)
            except TsStoreError:  # reported with its file
                continue

    def of_log(self) -> Iterator[Problem]:
        """What is wrong with rows that are in the log alone."""
        for schema_id, chunks in self._state.view.chunks.items():
            schema = self._state.catalog.schemas[schema_id]
            for chunk in chunks:
                for what in check_chunk(chunk, schema):
                    yield Problem(self._fs.describe(WAL_DIR), 0, what)


def _problem(error: TsStoreError, place: Place | None = None) -> Problem | TsStoreError:
    """An error as a problem; what is no damage stays what it is."""
    if isinstance(error, CorruptionError):
        return Problem(error.path, error.offset, error.what, place)
    return error
