"""What an answer says about itself: its text, how long to wait, and what to raise for it."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tsstore.typed import whole
from tsstore.zones import NS_PER_SECOND
from tsstore_massive.errors import (
    ApiKeyError,
    BadResponseError,
    NoSuchPathError,
    NoSuchTickerError,
    NotEntitledError,
    RequestRefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

#: What `status` of an answer says when it is complete; delayed plans get the second.
_GOOD = frozenset({"OK", "DELAYED"})
_TEXT_MAX = 300


class RetryableError(Exception):
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


class _Envelope(msgspec.Struct):
    status: Any = ""
    error: Any = None
    message: Any = None


def refusal(
    host: str, path: str, status: int, headers: Mapping[str, str], body: bytes, now_ns: int
) -> Exception:
    """What to raise for an answer that is not 200.

    Args:
        host: who answered.
        path: what was asked for, without the query.
        status: of HTTP.
        headers: of the answer.
        body: the whole of it.
        now_ns: for dates in headers.
    """
    text = error_text(body)
    if status == 401:
        return ApiKeyError(
            f"{host} refuses the API key: {text}; set the right one in MASSIVE_API_KEY"
        )
    if status == 403 and _is_the_vendors(body):
        return NotEntitledError(f"{path}: {text}")
    if status == 403:
        # A firewall or gateway in between: that says nothing about the plan.
        return RetryableError(f"somebody on the way refuses (403): {text}")
    if status == 404 and _is_the_vendors(body):
        return NoSuchTickerError(f"{host}{path} answers 404: {text}")
    if status == 404:
        return NoSuchPathError(f"{host}{path} answers 404: {text}; check base_url")
    pause_s = retry_after(headers.get("Retry-After"), now_ns)
    if status == 429:
        return RetryableError("too many requests (429)", pause_s=pause_s, throttled=True)
    if status in {408, 425} or status >= 500:
        return RetryableError(f"the service fails ({status})", pause_s=pause_s)
    if 300 <= status < 400:
        return BadResponseError(
            f"{host}{path} redirects ({status}), which is not followed; check base_url"
        )
    return RequestRefusedError(f"{host}{path} answers {status}: {text}")


def check_empty(body: bytes) -> None:
    """An answer without rows must say itself that it is in order. Raises RetryableError."""
    if _envelope(body).status not in _GOOD:
        raise RetryableError(f"the answer holds nothing: {error_text(body)}")


def decode_whole(decode: Callable[[bytes], T], body: bytes) -> T:
    """Decode an answer. Raises RetryableError if it is none."""
    try:
        return decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RetryableError(f"the answer is not the JSON it should be ({error})") from None


def error_text(body: bytes) -> str:
    """What the vendor says: in `error`, or in `message`, or as plain text."""
    try:
        parsed = _envelope(body)
        text = str(parsed.error or parsed.message or "no reason given")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body[:_TEXT_MAX].decode(errors="replace") or "no reason given"
    return " ".join(text.split())[:_TEXT_MAX].rstrip(".")


def retry_after(value: str | None, now_ns: int) -> float | None:
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


def _envelope(body: bytes) -> _Envelope:
    return msgspec.json.decode(body, type=whole(_Envelope))


def _is_the_vendors(body: bytes) -> bool:
    """Whether a refusal is one of the vendor, which has a status, a text, or both."""
    try:
        said = _envelope(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return bool(said.status or said.error or said.message)
