"""Flat files: keys of S3, the listing, and a few bytes of a file of each data set."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tsstore.errors import ConfigError
from tsstore_massive.doctor.findings import fail, ok, warn
from tsstore_massive.flatfiles.catalogue import FlatSet
from tsstore_massive.flatfiles.credentials import find_access
from tsstore_massive.flatfiles.errors import (
    FileDeniedError,
    FileReplacedError,
    S3FailedError,
    S3RefusedError,
)
from tsstore_massive.flatfiles.remote import Remote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from tsstore_massive.doctor.findings import Finding
    from tsstore_massive.flatfiles.credentials import Access
    from tsstore_massive.flatfiles.remote import RemoteFile

_DATASETS = ("day_aggs", "minute_aggs", "trades", "quotes")
#: Files of the last days may be refused because they are not out yet.
_OUT_DAYS = 5
#: How far back to look for one; the listing of a data set has a thousand names a page.
_LOOK_BACK_DAYS = 20
_RANGE_BYTES = 16 << 10
_GZIP = b"\x1f\x8b"


def check_files(today: date, *, profile: str | None, endpoint: str | None) -> Iterator[Finding]:
    """Find the keys, list and read.

    Args:
        today: in New York.
        profile: see `find_access`.
        endpoint: see `find_access`.
    """
    try:
        access = find_access(profile=profile, endpoint=endpoint)
        # No patience: a person waits.
        remote = Remote(access, connections=1, range_bytes=_RANGE_BYTES, retries=1, retry_s=10)
    except ConfigError as error:
        yield warn("S3 keys", str(error), "nothing to do unless flat files are wanted")
        return
    yield ok("S3 keys", f"from {access.source}, for {access.endpoint}")
    with remote:
        yield from _check_sets(remote, access, today)


def _check_sets(remote: Remote, access: Access, today: date) -> Iterator[Finding]:
    for name in _DATASETS:
        try:
            yield _check_set(remote, FlatSet.of("stocks", name), today)
        except S3RefusedError as error:
            advice = f"check the keys of {access.source} and the bucket {access.bucket!r}"
            yield fail("S3 listing", str(error), advice)
            return
        except S3FailedError as error:
            yield fail("S3 listing", str(error), "check the network and the endpoint")
            return


def _check_set(remote: Remote, flat: FlatSet, today: date) -> Finding:
    check = f"S3 {flat}"
    file = _latest(remote, flat, today)
    if file is None:
        return warn(
            check,
            f"no file of the last {_LOOK_BACK_DAYS} days is listed",
            "check the bucket; nothing can be said of the plan",
        )
    heads: list[bytes] = []
    try:
        for part in remote.read(file, 0, is_stopped=lambda: bool(heads)):
            heads.append(bytes(part[: len(_GZIP)]))  # noqa: PERF401  (it ends when there is one)
    except FileDeniedError:
        # The listing shows what one may not read as well, so it is no proof.
        return warn(check, f"not in the plan: {file.path} is listed and refused", "leave it out")
    except FileReplacedError:
        return warn(check, f"{file.path} has just been replaced", "try again")
    if heads != [_GZIP]:
        return fail(check, f"{file.path} is not gzip", "check the endpoint; a proxy may answer")
    return ok(check, f"in the plan; {file.path}, {file.size / 1e6:,.1f} MB")


def _latest(remote: Remote, flat: FlatSet, today: date) -> RemoteFile | None:
    """The newest file that is surely out."""
    found = None
    after = flat.path(today - timedelta(days=_LOOK_BACK_DAYS))
    for file in remote.list(flat.prefix, after):
        day = flat.day_of(file.path)
        if day is not None and day <= today - timedelta(days=_OUT_DAYS) and file.size:
            found = file
    return found
