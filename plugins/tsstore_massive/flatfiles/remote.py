"""The vendor's files on S3: the listing, and downloads by ranges in parallel.

The vendor throttles each connection to about 1 MB/s, so a file is fetched by many ranges at a time.
They are handed on in order, and only so many are under way or waiting that memory stays bounded.
All requests are tasks of an event loop on a thread, because these can be cancelled: a service that
does not answer holds up nobody who is to stop.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import deque
from concurrent.futures import wait
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tsstore.errors import ConfigError
from tsstore_massive.errors import StoppedError
from tsstore_massive.flatfiles.errors import (
    FileDeniedError,
    FileReplacedError,
    S3FailedError,
    S3RefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from concurrent.futures import Future
    from types import TracebackType

    from tsstore_massive.flatfiles.credentials import Access

RANGE_BYTES = 2 << 20
#: Ranges over all files that are under way or wait for an earlier one, for each connection.
_RANGES_PER_CONNECTION = 1.25
#: Attempts for a range, if another one comes; refusals and resets are tried again by the client.
_ATTEMPTS = 4
#: How often those who wait look whether they are to stop.
_LOOK_S = 0.1

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
#: The client's words for an answer that is in order and not the range that was asked for.
_OTHER_RANGE = re.compile(r"Requested \S+ got |non-partial response")
_REFUSED_CODES = {
    "SignatureDoesNotMatch": "the secret key is wrong",
    "InvalidAccessKeyId": "the access key is unknown",
    "NoSuchBucket": "there is no such bucket",
    "AccessDenied": "these keys may not list the bucket",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
}

_T = TypeVar("_T")


@dataclass(frozen=True)
class RemoteFile:
    """A file as it was listed.

    Attributes:
        path: its name in the bucket.
        size: in bytes.
        etag: what changes when the vendor replaces the file.
    """

    path: str
    size: int
    etag: str


class Remote:
    """The vendor's bucket; thread-safe. Close it to break off what is under way.

    Args:
        access: keys and address.
        connections: ranges fetched at a time, over all files.
        range_bytes: length of a range.
        retries: how often the client repeats a request that failed for a reason that may pass.
        retry_s: how long it may go on with that.
        stop: soon after it is set, `list` and `head` end with StoppedError.

    Raises:
        ConfigError: the client's package is not installed.
    """

    def __init__(
        self,
        access: Access,
        *,
        connections: int = 32,
        range_bytes: int = RANGE_BYTES,
        retries: int = 8,
        retry_s: float = 120.0,
        stop: threading.Event | None = None,
    ) -> None:
        self._access = access
        self._range_bytes = range_bytes
        self._obstore = _obstore()
        self._store = self._obstore.store.S3Store(
            access.bucket,
            endpoint=access.endpoint,
            region=access.region,
            virtual_hosted_style_request=False,
            # Keys given as options would be mixed with those of the environment.
            credential_provider=lambda: {
                "access_key_id": access.access_key,
                "secret_access_key": access.secret_key,
                "token": access.token,
                "expires_at": None,
            },
            client_options={
                "allow_http": access.endpoint.startswith("http://"),
                "connect_timeout": "10s",
                "read_timeout": "60s",
                "timeout": "10m",
            },
            retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=retry_s)},
        )
        # Bounds what is held in memory, however many files are read at a time.
        self._slots = threading.Semaphore(int(connections * _RANGES_PER_CONNECTION) + 1)
        self._connections = asyncio.Semaphore(connections)
        self._stop = stop or threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="flatfile-requests", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def list(self, prefix: str, after: str = "") -> Iterator[RemoteFile]:
        """Files in the folder `prefix` whose names come after `after`, in order of their names.

        Raises:
            S3RefusedError: wrong keys, or no such bucket.
            S3FailedError: the service does not answer.
        """
        pages = self._obstore.list(self._store, prefix, offset=after, chunk_size=1000)
        try:
            while (page := self._wait_for(_next(pages))) is not None:
                for meta in page:
                    yield RemoteFile(meta["path"], meta["size"], (meta["e_tag"] or "").strip('"'))
        except self._obstore.exceptions.BaseError as error:
            raise self._refused(error) from None

    def head(self, path: str) -> RemoteFile | None:
        """One file as it is now; None when it is not there.

        Raises:
            FileDeniedError: 403.
            S3FailedError: the service fails.
        """
        try:
            meta = self._wait_for(self._head(path))
        except FileNotFoundError:
            return None
        except self._obstore.exceptions.BaseError as error:
            raise self._failed(path, error) from None
        return RemoteFile(path, meta["size"], (meta["e_tag"] or "").strip('"'))

    def read(
        self, file: RemoteFile, start: int, is_stopped: Callable[[], bool] = lambda: False
    ) -> Iterator[memoryview]:
        """The bytes of a file from `start` on, in order.

        The caller may stop in the middle: what is under way then is not waited for.

        Raises:
            FileDeniedError: 403.
            FileReplacedError: it is not the listed file any more.
            S3FailedError: the service fails.
        """
        at = start
        waiting: deque[Future[memoryview]] = deque()
        try:
            while not is_stopped():
                # Who has a range to wait for never waits for a slot, so nobody waits for ever.
                while at < file.size and self._slots.acquire(blocking=not waiting):
                    end = min(at + self._range_bytes, file.size)
                    waiting.append(self._begin(self._range(file, at, end)))
                    at = end
                if not waiting:
                    return
                while not wait([waiting[0]], _LOOK_S).done:
                    if is_stopped():
                        return
                body = waiting[0].result()
                waiting.popleft()
                self._slots.release()
                yield body
        finally:
            for future in waiting:
                future.cancel()
                self._slots.release()

    def _begin(self, request: Coroutine[Any, Any, _T]) -> Future[_T]:
        return asyncio.run_coroutine_threadsafe(request, self._loop)

    def _wait_for(self, request: Coroutine[Any, Any, _T]) -> _T:
        future = self._begin(request)
        while not wait([future], _LOOK_S).done:
            if self._stop.is_set():
                future.cancel()
                raise StoppedError("stopped")
        return future.result()

    async def _head(self, path: str) -> Any:
        return await self._obstore.head_async(self._store, path)

    async def _range(self, file: RemoteFile, start: int, end: int) -> memoryview:
        options: dict[str, Any] = {"range": (start, end), "if_match": f'"{file.etag}"'}
        odd = ""
        for _ in range(_ATTEMPTS):
            try:
                async with self._connections:
                    answer = await self._obstore.get_async(self._store, file.path, options=options)
                    body = memoryview(await answer.bytes_async())
            except (FileNotFoundError, self._obstore.exceptions.BaseError) as error:
                odd = _first_line(error)
                if not _OTHER_RANGE.search(odd):
                    raise self._failed(file.path, error) from None
            else:
                if len(body) == end - start:
                    return body
                odd = f"{len(body)} bytes came"
        raise S3FailedError(
            f"{file.path}: bytes {start} to {end}: {odd}, {_ATTEMPTS} times; a proxy may cut "
            "answers, and the next run goes on from here"
        )

    def _refused(self, error: Exception) -> Exception:
        status, code = _parsed(error)
        where = f"{self._access.endpoint} with the keys of {self._access.source}"
        if status in (401, 403) or code in _REFUSED_CODES:
            why = _REFUSED_CODES.get(code, f"it says {code or status}")
            return S3RefusedError(
                f"{where}: bucket {self._access.bucket!r} cannot be listed: {why}; the S3 keys "
                "stand in the vendor's dashboard and are not the API key"
            )
        return S3FailedError(f"{where}: {_first_line(error)}{_advice(status)}")

    def _failed(self, path: str, error: Exception) -> Exception:
        kinds = self._obstore.exceptions
        if isinstance(error, kinds.PermissionDeniedError | kinds.UnauthenticatedError):
            code = _parsed(error)[1]
            if code in _REFUSED_CODES and code != "AccessDenied":
                return self._refused(error)
            return FileDeniedError(f"{path}: the vendor refuses it (403)")
        if isinstance(error, kinds.PreconditionError):
            return FileReplacedError(f"{path} was replaced while it was fetched")
        if isinstance(error, FileNotFoundError):
            return FileReplacedError(f"{path} is listed but not there")
        return S3FailedError(f"{path}: {_first_line(error)}{_advice(_parsed(error)[0])}")


async def _next(pages: Any) -> Any:
    """The next page of a listing, or None after the last one."""
    return await anext(pages, None)


async def _cancel_others() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _parsed(error: Exception) -> tuple[int, str]:
    """Status and S3 code of an answer, as far as the client's error tells them."""
    text = str(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    return int(status[1]) if status else 0, code[1] if code else ""


def _advice(status: int) -> str:
    """What to do about an error that is no answer."""
    return "" if status else "; check the network and --endpoint"


def _first_line(error: Exception) -> str:
    line = str(error).strip().splitlines()[0]
    return line.removesuffix(': <?xml version="1.0" encoding="UTF-8"?>')


def _obstore() -> Any:
    try:
        import obstore
        import obstore.store
    except ImportError:
        raise ConfigError(
            "flat files need the package obstore; run: pip install 'tsstore[massive]'"
        ) from None
    return obstore
