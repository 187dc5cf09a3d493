"""One request: sent when the plan allows it, answered as a whole, tried again when that may help.

What is promised:
- The key travels in the Authorization header to `base_url` only. Of a `next_url` nothing but path
  and query is used, redirects are refused, so no answer can send the key elsewhere.
- An answer is complete or an error: a body that breaks off, does not unzip or is not JSON is asked
  for again and never taken for an empty result.
- Every wait is bounded: each body in bytes and seconds, each request in tries.
- 429 stops all that share the limiter, of that class of assets, until the time the vendor names, or
  the next minute.
"""

from __future__ import annotations

import random
import zlib
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from tsstore.redact import Redactor
from tsstore.zones import NS_PER_SECOND
from tsstore_massive.errors import (
    BadResponseError,
    StoppedError,
    UnavailableError,
    UnreachableError,
)
from tsstore_massive.optionvalues import is_loopback
from tsstore_massive.rest.rate import MINUTE_S
from tsstore_massive.rest.replies import RetryableError, decode_whole, refusal
from tsstore_massive.rest.traffic import Traffic

# httpx has had no release since 2024; httpx2 continues it with the same interface.
try:
    import httpx2 as httpx
except ImportError:
    import httpx  # type: ignore[no-redef]

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from tsstore.clock import Clock
    from tsstore_massive.rest.limits import Limits
    from tsstore_massive.rest.rate import RateLimiter
    from tsstore_massive.rest.usage import Ticket
    from tsstore_massive.symbols import AssetClass

_GZIP = 16 + zlib.MAX_WBITS
#: After a 429, whatever the answer asks for: `Retry-After: 0` would be a storm.
_PAUSE_S_MIN = 1.0

T = TypeVar("T")


class Transport:
    """Gets answers. Thread-safe.

    Args:
        base_url: such as `https://api.massive.com`.
        api_key: sent as a bearer token; never shown.
        clock: the source of time.
        limiter: shared by everyone who uses the key.
        stop: set to make every call end soon, with StoppedError.
        limits: sizes, times and tries.

    Attributes:
        host: host and port of the service.
        prefix: of all paths.
        traffic: what was asked and answered.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        clock: Clock,
        limiter: RateLimiter,
        stop: threading.Event,
        limits: Limits,
    ) -> None:
        address = urlsplit(base_url)
        self.host = address.netloc
        self.prefix = address.path.rstrip("/")
        self.traffic = Traffic()
        self._clock = clock
        self._limiter = limiter
        self._stop = stop
        self._limits = limits
        self._redactor = Redactor([api_key])
        self._was_answered = False
        self._jitter = random.Random()  # noqa: S311  (spreads retries, guards nothing)
        self._http = httpx.Client(
            base_url=base_url,
            headers={
                "Authorization": f"Bearer {api_key}",
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "User-Agent": "tsstore",
            },
            timeout=httpx.Timeout(limits.idle_s, connect=limits.connect_s),
            limits=httpx.Limits(max_connections=None),
            follow_redirects=False,
            # A proxy of the environment is for the world outside, not for a local simulator.
            trust_env=not is_loopback(base_url),
            # Reading the certificates takes 20 ms, which plain HTTP needs not wait for.
            verify=not base_url.startswith("http:"),
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, target: str, asset_class: AssetClass, decode: Callable[[bytes], T]) -> T:
        """Ask until there is an answer.

        Args:
            target: path and query.
            asset_class: whose quota it takes.
            decode: makes a value of a whole answer; may raise RetryableError.

        Raises:
            MassiveError: there is none.
        """
        path = target.partition("?")[0]
        failures = throttled = 0
        while True:
            try:
                return self._try(target, asset_class, decode)
            except RetryableError as error:
                self._hide_key(error)
                self.traffic.failed(throttled=error.throttled)
                failures += not error.throttled
                throttled += error.throttled
                unknown = not (error.connected or self._was_answered)
                if unknown and failures >= self._limits.first_attempts:
                    raise UnreachableError(
                        f"{self.host} cannot be reached: {error}; check the network and base_url"
                    ) from None
                if (
                    failures >= self._limits.attempts
                    or throttled >= self._limits.throttled_attempts
                ):
                    raise UnavailableError(
                        f"{self.host}{path}: {error}, after {failures + throttled} tries; "
                        "run again later, it goes on from here"
                    ) from None
                if not error.throttled:
                    self._wait_to_retry(error, failures)

    def _try(self, target: str, asset_class: AssetClass, decode: Callable[[bytes], T]) -> T:
        ticket = self._limiter.acquire(self._stop, asset_class)
        if ticket is None:
            raise StoppedError("stopped")
        self.traffic.sent()
        status = 0
        try:
            with self._http.stream("GET", target) as response:
                self._was_answered = True
                status = response.status_code
                body = self._body(response)
        except httpx.InvalidURL:
            raise BadResponseError(f"{self.host} names a next page that is no address") from None
        except httpx.HTTPError as error:
            # The text of a transport error names no header, so it cannot hold the key.
            connected = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            what = str(error) or type(error).__name__
            raise RetryableError(what, connected=connected) from None
        finally:
            self._limiter.answered(ticket, granted=status not in {0, 429})
        if status != 200:
            raise self._refusal(ticket, target.partition("?")[0], response, body)
        return decode_whole(decode, body)

    def _refusal(
        self, ticket: Ticket, path: str, response: httpx.Response, body: bytes
    ) -> Exception:
        now_ns = self._clock.now_ns()
        error = refusal(
            self.host, path, response.status_code, response.headers, body, now_ns
        )  # fmt: skip
        if isinstance(error, RetryableError) and error.throttled:
            asked_s = error.pause_s
            pause_s = MINUTE_S - now_ns / NS_PER_SECOND % MINUTE_S
            if asked_s is not None:
                pause_s = max(asked_s, _PAUSE_S_MIN)
            # Everyone who shares the key waits, not only this thread.
            self._limiter.refused(
                ticket, min(pause_s, self._limits.retry_after_max_s), for_sure=asked_s is not None
            )
        return self._hide_key(error)

    def _hide_key(self, error: Exception) -> Exception:
        """Errors hand on the words of an answer, which may repeat the key."""
        error.args = (self._redactor.mask(str(error)),)
        return error

    def _body(self, response: httpx.Response) -> bytes:
        """The whole answer, unzipped; an error if it breaks off, is too large or takes too long."""
        limits = self._limits
        deadline = self._clock.monotonic() + limits.total_s
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding not in {"gzip", "identity"}:
            raise RetryableError(f"the answer is encoded as {encoding!r}, asked for was gzip")
        unzip = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
        pieces = list[bytes]()
        room = limits.body_bytes
        for raw in response.iter_raw():  # as it comes, so that a trickle meets the deadline
            self.traffic.came(len(raw))
            if self._stop.is_set():
                raise StoppedError("stopped")
            if self._clock.monotonic() > deadline:
                raise RetryableError(f"the answer took more than {limits.total_s:g} s")
            piece = raw if unzip is None else _unzip(unzip, raw, room + 1)
            room -= len(piece)
            if room < 0:
                raise BadResponseError(
                    f"{self.host}: an answer is larger than {limits.body_bytes} bytes; "
                    "ask for smaller pages (-batchSize)"
                )
            pieces.append(piece)
        if unzip is not None and not unzip.eof and pieces:
            raise RetryableError("the answer breaks off in the middle")
        return b"".join(pieces)

    def _wait_to_retry(self, error: RetryableError, failures: int) -> None:
        limits = self._limits
        pause_s = min(limits.backoff_s * 2 ** (failures - 1), limits.backoff_max_s)
        pause_s *= 0.5 + self._jitter.random() / 2
        pause_s = max(pause_s, min(error.pause_s or 0.0, limits.retry_after_max_s))
        if self._clock.wait(self._stop, pause_s):
            raise StoppedError("stopped")


def _unzip(unzip: Any, raw: bytes, room: int) -> bytes:
    try:
        piece: bytes = unzip.decompress(raw, room)
    except zlib.error:
        raise RetryableError("the answer does not unzip") from None
    return piece
