"""One question to the REST service, asked once, and the answer as it came.

`RestClient` hides what a diagnosis is about: it repeats what fails, and waits where it is told to.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import msgspec

from tsstore.zones import NS_PER_SECOND
from tsstore_massive.errors import StoppedError, UnreachableError
from tsstore_massive.optionvalues import is_loopback
from tsstore_massive.rest.rate import MINUTE_S

# httpx has had no release since 2024; httpx2 continues it with the same interface.
try:
    import httpx2 as httpx
except ImportError:
    import httpx  # type: ignore[no-redef]

if TYPE_CHECKING:
    import threading

    from tsstore.clock import Clock
    from tsstore_massive.rest.rate import RateLimiter

_TIMEOUT_S = 15.0
_TEXT_CHARACTERS_MAX = 200


@dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes:
        status: of HTTP.
        body: the JSON object; empty when the answer is none.
        text: what the vendor says went wrong; empty when it says nothing.
        seconds: from the question to the whole answer.
        asked_ns: our clock in the middle of that time.
        date_ns: the server's clock by the header Date, whole seconds; None without one.
    """

    status: int
    body: dict[str, Any]
    text: str
    seconds: float
    asked_ns: int
    date_ns: int | None

    @property
    def results(self) -> list[Any]:
        """The rows, none when the answer has no such list."""
        results = self.body.get("results")
        return results if isinstance(results, list) else []


class Probe:
    """Asks the REST service.

    Args:
        base_url: of the service.
        key: the API key, sent in a header.
        clock: the source of time.
        limiter: how many questions may be asked in a minute.
        stop: set to end a wait for the limiter.

    Attributes:
        asked: how many questions were asked.
    """

    def __init__(
        self, base_url: str, key: str, *, clock: Clock, limiter: RateLimiter, stop: threading.Event
    ) -> None:
        self.asked = 0
        self.host = urlsplit(base_url).netloc
        self._clock = clock
        self._limiter = limiter
        self._stop = stop
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {key}", "User-Agent": "tsstore"},
            timeout=_TIMEOUT_S,
            # A proxy of the environment is for the world outside, not for a local simulator.
            trust_env=not is_loopback(base_url),
            # Reading the certificates takes 20 ms, which plain HTTP needs not wait for.
            verify=not base_url.startswith("http:"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **query: str) -> Answer:
        """Ask once.

        Raises:
            UnreachableError: nobody answers, or not in time, or not in HTTP.
            StoppedError: it was stopped.
        """
        ticket = self._limiter.acquire(self._stop)
        if ticket is None:
            raise StoppedError("stopped")
        self.asked += 1
        started, started_ns = self._clock.monotonic(), self._clock.now_ns()
        status = 0
        try:
            response = self._http.get(path, params=query)
            status = response.status_code
        except httpx.HTTPError as error:
            # The text of a transport error names no header, so it cannot hold the key.
            raise UnreachableError(str(error) or type(error).__name__) from None
        finally:
            self._limiter.answered(ticket, granted=status not in {0, 429})
        if status == 429:
            # Whoever shares the key, a worker for one, would be told the same.
            self._limiter.pause(MINUTE_S - self._clock.now_ns() / NS_PER_SECOND % MINUTE_S)
        seconds = self._clock.monotonic() - started
        body = _json_object(response.content)
        return Answer(
            status,
            body,
            _words(body),
            seconds,
            started_ns + round(seconds * 5e8),
            _date_ns(response.headers.get("Date")),
        )


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return body if isinstance(body, dict) else {}


def _words(body: dict[str, Any]) -> str:
    text = str(body.get("error") or body.get("message") or "")
    return " ".join(text.split())[:_TEXT_CHARACTERS_MAX].rstrip(".")


def _date_ns(header: str | None) -> int | None:
    try:
        return None if header is None else int(parsedate_to_datetime(header).timestamp()) * 10**9
    except ValueError:
        return None
