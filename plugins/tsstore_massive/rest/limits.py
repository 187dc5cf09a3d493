"""How patient and how trusting the client is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of requests and of what comes back.

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
