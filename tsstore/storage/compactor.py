"""The thread that compacts: by itself, slowly and in no rush, and at once when it is asked to."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from tsstore.clock import SystemClock
from tsstore.errors import ClosedError, CorruptionError
from tsstore.storage.compaction import Job, Merger, jobs, own_jobs, shared_jobs
from tsstore.storage.latch import Latch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tsstore.reports import CompactionReport
    from tsstore.storage.catalog import Bucket
    from tsstore.storage.flush import SegmentWriter
    from tsstore.storage.publisher import Publisher
    from tsstore.storage.segments import SegmentSet
    from tsstore.storage.state import State

logger = logging.getLogger("tsstore.storage")

# A manifest is published after so many bytes were merged, or so many jobs carried out.
_ROUND_BYTES = 256 << 20
_ROUND_JOBS = 512
# Shorter pauses are put together.
_PAUSE_S = 0.25
# Rows that arrive at a larger part of the pace have the machine to themselves: to pack them takes a
# processor about half as long as to take them in. One looks now and then whether it goes on.
_RUSH_SHARE = 1 / 16
_LOOK_S = 1.0
# So much may wait meanwhile: it takes ten times the space and readers look at every file.
_WAITING_BYTES_MAX = 1 << 30
_WAITING_SEGMENTS_MAX = 128
# After a refusal the disk gets so much time to recover.
_RETRY_S = 60.0


class _Stopped(Exception):  # noqa: N818  not an error
    """The store is being closed."""


class _Request:
    """A caller waiting for a compaction of all it names."""

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        from tsstore.reports import CompactionReport  # most openings never need it

        self.wanted = wanted
        self.report = CompactionReport()
        self.done = Latch()
        self.error: BaseException | None = None


class Compactor:
    """Compacts the segments of one writer.

    Args:
        state: whose segments.
        publisher: makes the results valid.
        new_writer: writes new segments.
        published: called after each manifest.
        bytes_per_s: how fast rows are rewritten when nobody waits; 0 for not at all.
    """

    def __init__(
        self,
        state: State,
        publisher: Publisher,
        new_writer: Callable[[], SegmentWriter],
        published: Callable[[], None],
        *,
        bytes_per_s: int,
    ) -> None:
        self._state = state
        self._publisher = publisher
        self._new_writer = new_writer
        self._published = published
        self._bytes_per_s = bytes_per_s
        self._clock = SystemClock()
        self._requests: list[_Request] = []
        self._answers = False  # at work for a caller
        self._looks = False
        self._retry_at = 0.0
        self._owed_s = 0.0  # pauses that were too short to take
        self._seen = self._look_round()
        self._begins_in_rush = False
        self._stopping = False
        self._mutex = threading.RLock()  # see CommitLog
        self._wake = threading.Condition(self._mutex)
        self._thread: threading.Thread | None = None
        self._damaged: set[int] = set()  # segments that could not be read are left alone

    def look(self, after_s: float = 0.0) -> None:
        """There are new segments: see whether something is worth merging, after some time."""
        if not self._bytes_per_s or self._stopping:
            return
        before, self._seen = self._seen, self._look_round()
        with self._mutex:
            self._looks = True
            self._begins_in_rush = self._is_rush(before, self._seen)
            if after_s:
                self._retry_at = self._clock.monotonic() + after_s
            self._start()

    def compact(self, wanted: Callable[[str], bool]) -> CompactionReport:
        """Merge all that can be merged of the buckets whose key is wanted, and wait for it.

        Raises:
            ClosedError: the store was closed meanwhile.
            CorruptionError: a segment cannot be read; others were compacted.
            StorageError: the disk refused; nothing is lost.
        """
        request = _Request(wanted)
        with self._mutex:
            if self._stopping:
                raise ClosedError("the store was closed; open it again")
            self._requests.append(request)
            self._start()
        request.done.wait()
        if request.error is not None:
            raise request.error
        return request.report

    def stop(self) -> None:
        """Give up what is under way, and end."""
        with self._mutex:
            self._stopping = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()
        left, self._requests = self._requests, []
        for request in left:
            request.error = ClosedError("the store was closed; open it again")
            request.done.open()

    # The thread

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="tsstore-compact", daemon=True)
            self._thread.start()
        self._wake.notify_all()

    def _run(self) -> None:
        while True:
            with self._mutex:
                while not (self._stopping or self._requests or self._is_due()):
                    self._wake.wait(self._due_in())
                if self._stopping:
                    return
                request = self._requests.pop(0) if self._requests else None
                if request is None:
                    self._looks = False
            self._answers = request is not None
            if request is None:
                self._work()
            else:
                self._answer(request)

    def _is_due(self) -> bool:
        return self._looks and self._clock.monotonic() >= self._retry_at

    def _due_in(self) -> float | None:
        """How long to wait if nothing happens."""
        return max(0.0, self._retry_at - self._clock.monotonic()) if self._looks else None

    def _work(self) -> None:
        """What nobody asked for."""
        try:
            if self._begins_in_rush:
                self._pause(_LOOK_S)
            while self._round(self._worth_it, self._throttle):
                if self._gives_way():
                    with self._mutex:
                        self._looks = True
                    return
        except _Stopped:
            return
        except Exception as error:  # noqa: BLE001  nobody waits for it, and nothing is lost
            logger.warning("compaction failed and will be tried again: %s", error)
            with self._mutex:
                self._looks = True
                self._retry_at = self._clock.monotonic() + _RETRY_S

    def _gives_way(self) -> bool:
        """Whether this is what nobody asked for, and somebody waits."""
        return bool(self._requests) and not self._answers

    def _worth_it(self, segments: SegmentSet, checkpoint: int) -> Iterator[Job]:
        return self._readable(jobs(segments, self._state.catalog, checkpoint), segments)

    def _readable(self, found: Iterable[Job], segments: SegmentSet) -> Iterator[Job]:
        for job in found:
            if not self._damaged.intersection(job.numbers(segments)):
                yield job

    def _answer(self, request: _Request) -> None:
        """What a caller waits for."""
        before = self._state.view.segments.table
        # What is written from now on is not part of what was asked for.
        checkpoint = self._publisher.manifest.checkpoint
        ids: deque[int] = deque()
        schema_ids: set[int] = set()
        self._damaged.clear()  # some may be mended
        try:
            for bucket in self._buckets(request.wanted):
                ids.append(bucket.id)
                schema_ids.update(bucket.schema_ids)
            self._compact_all(request, partial(self._shared_of, schema_ids), checkpoint)
            self._compact_all(request, partial(self._own_of, ids), checkpoint)
        except _Stopped:
            request.error = ClosedError("the store was closed during the compaction")
        except BaseException as error:  # noqa: BLE001  handed to the caller
            request.error = error
        after = self._state.view.segments.table
        request.report = replace(
            request.report,
            segments_before=len(before),
            segments_after=len(after),
            bytes_before=int(before["bytes"].sum()),
            bytes_after=int(after["bytes"].sum()),
        )
        request.done.open()

    def _compact_all(
        self,
        request: _Request,
        choose: Callable[[SegmentSet, int], Iterable[Job]],
        checkpoint: int,
    ) -> None:
        """Round after round; what cannot be read stays, and the caller is told in the end."""
        more = True
        while more:
            known = len(self._damaged)
            try:
                more = self._round(choose, self._go_on, checkpoint)
            except CorruptionError as error:
                request.error = request.error or error
                more = len(self._damaged) > known

    def _buckets(self, wanted: Callable[[str], bool]) -> Iterator[Bucket]:
        catalog = self._state.catalog
        for key in filter(wanted, catalog.keys()):
            bucket = catalog.get(key)
            if bucket is not None:
                yield bucket

    def _shared_of(
        self, schema_ids: set[int], segments: SegmentSet, checkpoint: int
    ) -> Iterator[Job]:
        """Everything that can be merged of the shared segments of schemas."""
        for schema_id in sorted(schema_ids):
            found = shared_jobs(segments, schema_id, checkpoint, everything=True)
            yield from self._readable(found, segments)

    def _own_of(self, ids: deque[int], segments: SegmentSet, checkpoint: int) -> Iterator[Job]:
        """Everything that can be merged of buckets.

        A bucket leaves the queue when nothing is found for it any more. It is looked up anew each
        time, because it may have been altered meanwhile.
        """
        for _ in range(len(ids)):
            bucket = self._state.catalog.by_id(ids.popleft())
            if bucket is None:
                continue
            found = [
                *self._readable(own_jobs(segments, bucket, checkpoint, everything=True), segments)
            ]
            if found:
                ids.append(bucket.id)
                yield from found

    # One round: some jobs, one manifest

    def _round(
        self,
        choose: Callable[[SegmentSet, int], Iterable[Job]],
        pace: Callable[[int], None],
        checkpoint: int | None = None,
    ) -> bool:
        """Merge some of what is chosen; what nobody asked for ends with a job when a caller comes.

        Args:
            choose: finds jobs in the segments, among those of commits up to a checkpoint.
            pace: called with the bytes of each slice.
            checkpoint: the newest one by default.

        Returns:
            Whether there may be more to do.
        """
        # Before the segments, so that they have all that lies between the commits up to it.
        if checkpoint is None:
            checkpoint = self._publisher.manifest.checkpoint
        segments = self._state.view.segments
        chosen = _some(choose(segments, checkpoint), segments)
        if not chosen:
            return False
        replaced = {number for job in chosen for number in job.numbers(segments)}
        writer = self._new_writer()
        try:
            self._merge(chosen, segments, writer, pace)
            change = writer.finish()
        except BaseException:
            writer.abandon()
            raise
        with self._publisher.changing:
            if not segments.same(replaced, self._state.view.segments):
                # Rows were deleted meanwhile from what was merged: merge again.
                writer.abandon()
                return True
            self._publisher.publish(change)
        del segments  # a reader of what was replaced, as far as the publisher can tell
        self._published()
        self._publisher.remove_unused()
        return True

    def _merge(
        self,
        chosen: list[Job],
        segments: SegmentSet,
        writer: SegmentWriter,
        pace: Callable[[int], None],
    ) -> None:
        merger = Merger(segments, self._state.catalog, writer, pace)
        for done, job in enumerate(chosen):
            if done and self._gives_way():
                return  # with what a shorter round would have merged
            try:
                merger.run(job)
            except CorruptionError:
                self._damaged |= job.numbers(segments)
                raise

    def _go_on(self, _bytes: int) -> None:
        if self._stopping:
            raise _Stopped

    # Its pace when nobody waits

    def _throttle(self, size: int) -> None:
        """Leave the machine to others most of the time, and all the time while rows rush in."""
        self._owed_s += size / self._bytes_per_s
        if self._owed_s < _PAUSE_S:
            self._go_on(size)
            return
        pause_s, self._owed_s = self._owed_s, 0.0
        self._pause(pause_s)

    def _pause(self, seconds: float) -> None:
        """Wait so long, and on until no rush is seen; a caller who waits ends the leisure."""
        before = self._look_round()
        while self._rest(before.at + seconds):
            now = self._look_round()
            if not self._is_rush(before, now):
                break
            before, seconds = now, _LOOK_S
        self._go_on(0)

    def _rest(self, until: float) -> bool:
        """Wait until some time; returns whether nobody ended it."""
        with self._mutex:
            while not (self._stopping or self._requests):
                left = until - self._clock.monotonic()
                if left <= 0:
                    return True
                self._wake.wait(left)
            return False

    def _look_round(self) -> _Waiting:
        view = self._state.view
        table = view.segments.table
        flat = table["bytes"][table["generation"] == 0]
        return _Waiting(self._clock.monotonic(), view.chunk_bytes + int(flat.sum()), len(flat))

    def _is_rush(self, before: _Waiting, now: _Waiting) -> bool:
        """Whether packing had better wait; False once too much waits for it."""
        if now.bytes > _WAITING_BYTES_MAX or now.segments > _WAITING_SEGMENTS_MAX:
            return False
        calm = self._bytes_per_s * _RUSH_SHARE * (now.at - before.at)
        return now.bytes - before.bytes > calm


class _Waiting(NamedTuple):
    """What was never packed.

    Attributes:
        at: when, in seconds of the monotonic clock.
        bytes: in memory and in segments.
        segments: how many there are.
    """

    at: float
    bytes: int
    segments: int


def _some(found: Iterable[Job], segments: SegmentSet) -> list[Job]:
    """As many jobs as make one round."""
    chosen: list[Job] = []
    size = 0
    for job in found:
        chosen.append(job)
        size += job.bytes(segments)
        if len(chosen) >= _ROUND_JOBS or size >= _ROUND_BYTES:
            break
    return chosen
