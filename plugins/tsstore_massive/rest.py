"""The vendor's REST service as an iterator of pages; used from many threads at once.

What is promised:
- The key travels in the Authorization header to `base_url` only. Of a `next_url` nothing but path
  and query is used, redirects are refused, so no answer can send the key elsewhere.
- An answer is complete or an error: a body that breaks off, does not unzip or is not JSON is asked
  for again and never taken for an empty result.
- Every wait is bounded: each body in bytes and seconds, each request in tries, each listing in
  pages; pages that repeat or go back in time end in BadResponseError.
- 429 stops all threads that share the limiter until the time the vendor names, or the next minute.
"""

from __future__ import annotations

import hashlib
import logging
import random
import threading
import zlib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from tsstore.zones import NS_PER_SECOND
from tsstore_massive.config import is_loopback
from tsstore_massive.errors import (
    ApiKeyError,
    BadResponseError,
    NotEntitledError,
    RequestRefusedError,
    StoppedError,
    UnavailableError,
    UnreachableError,
)
from tsstore_massive.pages import decode_page
from tsstore_massive.rate import MINUTE_S
from tsstore_massive.symbols import bars_symbol, market_of
from tsstore_massive.traffic import Traffic

# httpx has had no release since 2024; httpx2 continues it with the same interface.
try:
    import httpx2 as httpx
except ImportError:
    import httpx  # type: ignore[no-redef]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tsstore.clock import Clock
    from tsstore.columns import Columns
    from tsstore.timeframe import Timeframe
    from tsstore_massive.pages import Page
    from tsstore_massive.rate import RateLimiter
    from tsstore_massive.schemas import Kind

#: What `status` of an answer says when it is complete; delayed plans get the second.
_GOOD = frozenset({"OK", "DELAYED"})
_GZIP = 16 + zlib.MAX_WBITS

_TIMESPANS = {
    "Sec": "second", "Min": "minute", "H": "hour", "D": "day", "W": "week", "M": "month",
    "Y": "year",
}  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """How patient and how trusting the client is.

    Attributes:
        page_rows: rows asked for per page; the vendor allows 50,000.
        attempts: tries of one request that fails (5xx, time-out, reset, broken body).
        first_attempts: tries of one request that connects to nobody, as long as nobody has answered
            any: the network or the address may be wrong, and somebody may be waiting to be told.
        throttled_attempts: tries of one request that is answered with 429.
        backoff_s: pause after the first failure; it doubles, with jitter, up to `backoff_max_s`.
        backoff_max_s: longest pause between tries that we choose ourselves.
        retry_after_max_s: longest pause the vendor may ask for; above, it is tried earlier.
        connect_s: time to connect.
        idle_s: time without a byte.
        total_s: time for one whole answer.
        body_bytes: size of one answer after unzipping.
        pages: pages of one listing.
    """

    page_rows: int = 50_000
    attempts: int = 7
    first_attempts: int = 7
    throttled_attempts: int = 60
    backoff_s: float = 0.5
    backoff_max_s: float = 60.0
    retry_after_max_s: float = 900.0
    connect_s: float = 10.0
    idle_s: float = 20.0
    total_s: float = 180.0
    body_bytes: int = 256 << 20
    pages: int = 20_000


class _Ticker(msgspec.Struct):
    ticker: str = ""


class _TickerPage(msgspec.Struct):
    results: list[_Ticker] = []
    next_url: str | None = None


class _Envelope(msgspec.Struct):
    status: str = ""
    error: Any = None
    message: Any = None


class _RetryableError(Exception):
    """A try that failed and may be repeated.

    Attributes:
        pause_s: what the vendor asked to wait, None if it did not say.
        throttled: whether it was 429.
        connected: whether there was anybody to ask.
    """

    def __init__(
        self,
        what: str,
        *,
        pause_s: float | None = None,
        throttled: bool = False,
        connected: bool = True,
    ) -> None:
        super().__init__(what)
        self.pause_s = pause_s
        self.throttled = throttled
        self.connected = connected


T = TypeVar("T")


class RestClient:
    """Reads bars, trades, quotes and tickers. Thread-safe.

    Args:
        base_url: such as `https://api.massive.com`.
        api_key: sent as a bearer token; never shown.
        clock: the source of time.
        limiter: the bucket of tokens shared by everyone who uses the key.
        stop: set to make every call end soon, with StoppedError.
        limits: sizes, times and tries.

    Attributes:
        account: digest of the key, for what is remembered of its plan.
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
        limits: Limits | None = None,
    ) -> None:
        address = urlsplit(base_url)
        self._host, self._prefix = address.netloc, address.path.rstrip("/")
        self._clock = clock
        self._limiter = limiter
        self._stop = stop
        self.limits = limits or Limits()
        self.account = hashlib.blake2b(api_key.encode(), digest_size=8).hexdigest()
        self.traffic = Traffic()
        self._logger = logging.getLogger(__name__)
        self._lock = threading.Lock()
        self._faults: Counter[str] = Counter()
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
            timeout=httpx.Timeout(self.limits.idle_s, connect=self.limits.connect_s),
            limits=httpx.Limits(max_connections=None),
            follow_redirects=False,
            # A proxy of the environment is for the world outside, not for a local simulator.
            trust_env=not is_loopback(base_url),
        )

    def __repr__(self) -> str:
        return f"<RestClient {self._host}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def faults(self) -> dict[str, int]:
        """Rows that could not be used and odd fields, by kind."""
        with self._lock:
            return dict(self._faults)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def bars(
        self, symbol: str, timeframe: Timeframe, start_ns: int, end_ns: int, *, adjusted: bool
    ) -> Iterator[Columns]:
        """Bars that begin from `start_ns` to `end_ns`, both included, page by page, ascending."""
        span = f"{timeframe.count}/{_TIMESPANS[timeframe.unit]}"
        start_ms, end_ms = -(-start_ns // 1_000_000), end_ns // 1_000_000
        ticker = quote(bars_symbol(symbol), safe=":")
        path = f"/v2/aggs/ticker/{ticker}/range/{span}/{start_ms}/{end_ms}"
        query = {
            "adjusted": "true" if adjusted else "false",
            "sort": "asc",
            "limit": self.limits.page_rows,
        }
        return self._ascending(path, query, _page_of(symbol, "bars"))

    def trades(self, symbol: str, start_ns: int, end_ns: int) -> Iterator[Columns]:
        """Trades from `start_ns` to `end_ns`, both included, page by page, ascending."""
        path = f"/v3/trades/{quote(symbol, safe=':')}"
        return self._ascending(path, self._ticks(start_ns, end_ns), _page_of(symbol, "trades"))

    def quotes(self, symbol: str, start_ns: int, end_ns: int) -> Iterator[Columns]:
        """Quotes from `start_ns` to `end_ns`, both included, page by page, ascending."""
        path = f"/v3/quotes/{quote(symbol, safe=':')}"
        return self._ascending(path, self._ticks(start_ns, end_ns), _page_of(symbol, "quotes"))

    def tickers(self) -> Iterator[str]:
        """Symbols of all stocks that trade now, spelled as the vendor spells them."""
        query = {"market": "stocks", "active": "true", "order": "asc", "sort": "ticker"}
        decode = msgspec.json.Decoder(_TickerPage).decode
        for page in self._pages("/v3/reference/tickers", {**query, "limit": 1000}, decode):
            yield from (row.ticker for row in page.results if row.ticker)

    def _ticks(self, start_ns: int, end_ns: int) -> dict[str, Any]:
        # The vendor's own default is the newest 1000 rows, newest first.
        return {
            "timestamp.gte": start_ns,
            "timestamp.lte": end_ns,
            "order": "asc",
            "sort": "timestamp",
            "limit": self.limits.page_rows,
        }

    def _ascending(
        self, path: str, query: Mapping[str, Any], decode: Callable[[bytes], Page]
    ) -> Iterator[Columns]:
        last_ns: int | None = None
        for page in self._pages(path, query, partial(_decode_rows, decode)):
            self._count(page.faults, path)
            rows = page.columns
            if not len(rows):
                continue
            if last_ns is not None and int(rows.ts.min()) < last_ns:
                raise BadResponseError(
                    f"{path}: a page goes back in time instead of on; nothing of it was stored, "
                    "run again later"
                )
            last_ns = int(rows.ts.max())
            yield rows

    def _count(self, faults: Counter[str], path: str) -> None:
        with self._lock:
            new = [what for what in faults if what not in self._faults]
            self._faults.update(faults)
        for what in new:
            self._logger.warning("%s: %s; counted from now on, not told again", path, what)

    def _pages(
        self, path: str, query: Mapping[str, Any], decode: Callable[[bytes], T]
    ) -> Iterator[T]:
        target: str | None = f"{path}?{urlencode(query)}"
        seen = set[str]()
        while target is not None:
            if target in seen or len(seen) == self.limits.pages:
                what = "leads in a circle" if target in seen else "does not end"
                raise BadResponseError(
                    f"{path}: the list of pages {what} after {len(seen)} pages; run again later"
                )
            seen.add(target)
            page = self._get(target, decode)
            yield page
            target = self._next_target(getattr(page, "next_url", None))

    def _next_target(self, next_url: str | None) -> str | None:
        if not next_url:
            return None
        parts = urlsplit(next_url)
        path = parts.path.removeprefix(self._prefix)
        return f"{path}?{parts.query}" if parts.query else path

    def _get(self, target: str, decode: Callable[[bytes], T]) -> T:
        path = target.partition("?")[0]
        failures = throttled = 0
        while True:
            try:
                return self._try(target, decode)
            except _RetryableError as error:
                self.traffic.failed(throttled=error.throttled)
                failures += not error.throttled
                throttled += error.throttled
                unknown = not (error.connected or self._was_answered)
                if unknown and failures >= self.limits.first_attempts:
                    raise UnreachableError(
                        f"{self._host} cannot be reached: {error}; check the network and base_url"
                    ) from None
                if failures >= self.limits.attempts or throttled >= self.limits.throttled_attempts:
                    raise UnavailableError(
                        f"{self._host}{path}: {error}, after {failures + throttled} tries; "
                        "run again later, it goes on from here"
                    ) from None
                self._wait_to_retry(error, failures)

    def _try(self, target: str, decode: Callable[[bytes], T]) -> T:
        if not self._limiter.acquire(self._stop):
            raise StoppedError("stopped")
        self.traffic.sent()
        try:
            with self._http.stream("GET", target) as response:
                self._was_answered = True
                body = self._body(response)
        except httpx.InvalidURL:
            raise BadResponseError(f"{self._host} names a next page that is no address") from None
        except httpx.HTTPError as error:
            # The text of a transport error names no header, so it cannot hold the key.
            connected = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            what = str(error) or type(error).__name__
            raise _RetryableError(what, connected=connected) from None
        if response.status_code != 200:
            raise self._refusal(response, body, target.partition("?")[0])
        try:
            return decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _RetryableError(f"the answer is not the JSON it should be ({error})") from None

    def _body(self, response: httpx.Response) -> bytes:
        """The whole answer, unzipped; an error if it breaks off, is too large or takes too long."""
        deadline = self._clock.monotonic() + self.limits.total_s
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding not in {"gzip", "identity"}:
            raise _RetryableError(f"the answer is encoded as {encoding!r}, asked for was gzip")
        unzip = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
        pieces = list[bytes]()
        room = self.limits.body_bytes
        for raw in response.iter_raw():  # as it comes, so that a trickle meets the deadline
            self.traffic.came(len(raw))
            if self._stop.is_set():
                raise StoppedError("stopped")
            if self._clock.monotonic() > deadline:
                raise _RetryableError(f"the answer took more than {self.limits.total_s:g} s")
            piece = raw if unzip is None else _unzip(unzip, raw, room + 1)
            room -= len(piece)
            if room < 0:
                raise BadResponseError(
                    f"{self._host}: an answer is larger than {self.limits.body_bytes} bytes; "
                    "ask for smaller pages (-batchSize)"
                )
            pieces.append(piece)
        if unzip is not None and not unzip.eof and pieces:
            raise _RetryableError("the answer breaks off in the middle")
        return b"".join(pieces)

    def _refusal(self, response: httpx.Response, body: bytes, path: str) -> Exception:
        """What to raise for an answer that is not 200."""
        status = response.status_code
        text = _error_text(body)
        if status == 401:
            return ApiKeyError(
                f"{self._host} refuses the API key: {text}; set the right one in MASSIVE_API_KEY"
            )
        if status == 403:
            return NotEntitledError(f"{path}: {text}")
        if status == 429:
            pause_s = _retry_after(response.headers.get("Retry-After"), self._clock.now_ns())
            return _RetryableError("too many requests (429)", pause_s=pause_s, throttled=True)
        if status in {408, 425} or status >= 500:
            pause_s = _retry_after(response.headers.get("Retry-After"), self._clock.now_ns())
            return _RetryableError(f"the service fails ({status})", pause_s=pause_s)
        if 300 <= status < 400:
            return BadResponseError(
                f"{self._host}{path} redirects ({status}), which is not followed; check base_url"
            )
        return RequestRefusedError(f"{self._host}{path} answers {status}: {text}")

    def _wait_to_retry(self, error: _RetryableError, failures: int) -> None:
        asked_s = error.pause_s
        if error.throttled:
            pause_s = self._to_next_minute_s() if asked_s is None else asked_s
            # Everyone who shares the key waits, not only this thread.
            self._limiter.pause(min(pause_s, self.limits.retry_after_max_s))
            return
        pause_s = min(self.limits.backoff_s * 2 ** (failures - 1), self.limits.backoff_max_s)
        pause_s *= 0.5 + self._jitter.random() / 2
        pause_s = max(pause_s, min(asked_s or 0.0, self.limits.retry_after_max_s))
        if self._clock.wait(self._stop, pause_s):
            raise StoppedError("stopped")

    def _to_next_minute_s(self) -> float:
        return MINUTE_S - self._clock.now_ns() / NS_PER_SECOND % MINUTE_S


def _page_of(symbol: str, kind: Kind) -> Callable[[bytes], Page]:
    return partial(decode_page, market=market_of(symbol), kind=kind)


def _decode_rows(decode: Callable[[bytes], Page], body: bytes) -> Page:
    """A page of rows; one without any must say itself that it is in order."""
    page = decode(body)
    if len(page.columns):
        return page
    if page.faults:
        raise _RetryableError(f"no row of the answer can be used ({', '.join(page.faults)})")
    envelope = msgspec.json.decode(body, type=_Envelope)
    if envelope.status not in _GOOD:
        raise _RetryableError(f"the answer holds nothing: {_error_text(body)}")
    return page


def _unzip(unzip: Any, raw: bytes, room: int) -> bytes:
    try:
        piece: bytes = unzip.decompress(raw, room)
    except zlib.error:
        raise _RetryableError("the answer does not unzip") from None
    return piece


def _error_text(body: bytes) -> str:
    """What the vendor says: in `error`, or in `message`, or as plain text."""
    try:
        parsed = msgspec.json.decode(body, type=_Envelope)
        text = str(parsed.error or parsed.message or "no reason given")
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = body[:200].decode(errors="replace") or "no reason given"
    return " ".join(text.split())[:300].rstrip(".")


def _retry_after(value: str | None, now_ns: int) -> float | None:
    """Seconds to wait by a Retry-After header: a number or a date; None when there is none."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    now = datetime.fromtimestamp(now_ns / NS_PER_SECOND, UTC)
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds())
