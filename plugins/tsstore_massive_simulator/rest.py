"""The REST interface: who may ask, which path means what, and the vendor's ways to say no."""

from __future__ import annotations

import base64
import re
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from tsstore_massive_simulator import (
    actions,
    aggregates,
    codes,
    futuresrest,
    marketstatus,
    reference,
    snapshots,
    ticks,
    universal,
)
from tsstore_massive_simulator.http import Reply
from tsstore_massive_simulator.question import BadRequestError, NoSuchThingError, Page, Question

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsstore_massive_simulator.http import Request
    from tsstore_massive_simulator.world import World

_TICKER = r"(?P<ticker>[^/]+)"
_SNAPSHOT = "/v2/snapshot/locale/(?:us|global)/markets/(?P<market>stocks|forex|crypto)"
_GROUPED = "/v2/aggs/grouped/locale/(?:us|global)/market/(?P<market>stocks|fx|crypto)"
_PAIR = "(?P<first>[^/]+)/(?P<second>[^/]+)"
_FUTURES = "/(?P<market>futures)/v1"
_ROUTES: tuple[tuple[str, Callable[[Question], Page]], ...] = (
    (
        (
            rf"/v2/aggs/ticker/{_TICKER}/range/(?P<multiplier>\d+)/(?P<timespan>\w+)"
            r"/(?P<first>[^/]+)/(?P<last>[^/]+)"
        ),
        aggregates.bars,
    ),
    (rf"/v2/aggs/ticker/{_TICKER}/prev", aggregates.previous_close),
    (rf"{_GROUPED}/(?P<day>[^/]+)", aggregates.grouped_daily),
    (rf"/v1/open-close/{_TICKER}/(?P<day>[^/]+)", aggregates.open_close),
    (rf"/v3/trades/{_TICKER}", ticks.trades),
    (rf"/v3/quotes/{_TICKER}", ticks.quotes),
    (rf"/v2/last/trade/{_TICKER}", ticks.last_trade),
    (rf"/v2/last/nbbo/{_TICKER}", ticks.last_quote),
    (r"/v3/reference/tickers", reference.tickers),
    (r"/v3/reference/tickers/types", reference.ticker_types),
    (rf"/v3/reference/tickers/{_TICKER}", reference.ticker_details),
    (rf"/vX/reference/tickers/{_TICKER}/events", reference.ticker_events),
    (r"/v3/reference/splits", actions.splits),
    (r"/stocks/v1/splits", actions.stock_splits),
    (r"/v3/reference/dividends", actions.dividends),
    (r"/stocks/v1/dividends", actions.stock_dividends),
    (r"/v3/reference/exchanges", codes.exchanges),
    (r"/v3/reference/conditions", codes.conditions),
    (r"/v1/marketstatus/now", marketstatus.market_status),
    (r"/v1/marketstatus/upcoming", marketstatus.market_holidays),
    (rf"{_SNAPSHOT}/tickers", snapshots.every_ticker),
    (rf"{_SNAPSHOT}/tickers/{_TICKER}", snapshots.one_ticker),
    (rf"{_SNAPSHOT}/(?P<direction>gainers|losers)", snapshots.movers),
    (r"/v3/snapshot", universal.universal),
    (r"/v3/snapshot/indices", universal.universal),
    (rf"/v1/last/(?P<market>crypto)/{_PAIR}", ticks.last_pair),
    (rf"/v1/last_quote/(?P<market>currencies)/{_PAIR}", ticks.last_pair),
    (rf"{_FUTURES}/aggs/{_TICKER}", futuresrest.bars),
    (rf"{_FUTURES}/trades/{_TICKER}", futuresrest.trades),
    (rf"{_FUTURES}/quotes/{_TICKER}", futuresrest.quotes),
    (rf"{_FUTURES}/contracts", futuresrest.contracts),
    (rf"{_FUTURES}/products", futuresrest.products),
    (rf"{_FUTURES}/exchanges", futuresrest.exchanges),
    (rf"{_FUTURES}/market-status", futuresrest.market_status),
)
_COMPILED = tuple((re.compile(pattern), answer) for pattern, answer in _ROUTES)

_UPGRADE = "Please upgrade your plan at https://massive.com/pricing"
_FORBIDDEN = {
    "entitlement": f"You are not entitled to this data. {_UPGRADE}",
    "timeframe": f"Your plan doesn't include this data timeframe. {_UPGRADE}",
    "today": f"Attempted to request today's data before end of day. {_UPGRADE}",
}
_TOO_MANY = (
    "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to "
    "continue. https://polygon.io/pricing"
)
_HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


class Rest:
    """Answers requests; may be called from any thread.

    Args:
        world: the market and what goes wrong.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._faults = world.faults
        self._asked_at: dict[str, deque[float]] = {}

    def answer(self, request: Request) -> Reply:
        """The answer to a request."""
        request_id = uuid.uuid4().hex
        reply = self._refusal(request, request_id) or self._routed(request, request_id)
        reply.headers["X-Request-Id"] = request_id
        return reply

    def _refusal(self, request: Request, request_id: str) -> Reply | None:
        faults = self._faults
        authorization = request.headers.get("authorization", "")
        key = authorization.removeprefix("Bearer ").strip() or request.params.get("apiKey", "")
        if not key:
            return _error(401, "API Key was not provided", request_id)
        if (self._world.keys and key not in self._world.keys) or faults.strikes("wrong_key"):
            return _error(401, "Unknown API Key", request_id)
        if self._is_over_rate(key) or faults.strikes("too_many"):
            return self._too_many(request_id)
        if faults.strikes("server_error"):
            return Reply(_HTML, 502, "text/html")
        if faults.strikes("not_json"):
            return Reply(_HTML, 200, "text/html")
        if faults.on("forbidden") and request.path.startswith(faults.text("forbidden_paths", "/")):
            text = _FORBIDDEN.get(faults.text("forbidden"), _FORBIDDEN["entitlement"])
            return _json(
                {"status": "NOT_AUTHORIZED", "request_id": request_id, "message": text}, 403
            )
        return None

    def _is_over_rate(self, key: str) -> bool:
        if not self._faults.on("rate"):
            return False
        now = self._world.clock.monotonic()
        asked = self._asked_at.setdefault(key, deque())
        while asked and asked[0] <= now - 60:
            asked.popleft()
        if len(asked) >= self._faults.number("rate", 5):
            return True
        asked.append(now)
        return False

    def _too_many(self, request_id: str) -> Reply:
        if self._faults.on("empty_429"):
            reply = Reply(b"", 429)
        else:
            reply = _error(429, _TOO_MANY, request_id)
        if self._faults.on("retry_after"):
            reply.headers["Retry-After"] = f"{self._faults.number('retry_after', 1):g}"
        return reply

    def _routed(self, request: Request, request_id: str) -> Reply:
        for pattern, answer in _COMPILED:
            match = pattern.fullmatch(request.path)
            if match is None:
                continue
            try:
                page = answer(self._question(request, match.groupdict()))
            except BadRequestError as error:
                return _error(400, str(error), request_id)
            except NoSuchThingError as error:
                body = {"status": "NOT_FOUND", "request_id": request_id, "message": str(error)}
                return _json(body, 404)
            return self._page(request, page, request_id)
        return Reply(b"404 page not found\n", 404, "text/plain")

    def _question(self, request: Request, parts: dict[str, str]) -> Question:
        params = dict(request.params)
        params.pop("apiKey", None)
        cursor = params.pop("cursor", None)
        if cursor is not None:
            # What a cursor says was said by the first request, and stays as it was.
            params |= _decode_cursor(cursor)
        if self._faults.on("page"):
            page = int(self._faults.number("page", 100))
            params["limit"] = str(min(int(params.get("limit", "1000")), page))
        world = self._world
        return Question(
            world.markets,
            world.horizon_ns(),
            world.now_ns(),
            request.path,
            parts,
            params,
        )

    def _page(self, request: Request, page: Page, request_id: str) -> Reply:
        body: Any = page.body
        if isinstance(body, dict) and page.is_standard:
            body = {"status": "OK", **body, "request_id": request_id}
            if not body.get("results", True):
                del body["results"]
            if "results" not in body and self._faults.on("null_results"):
                body["results"] = None
        headers = {}
        if page.next_path is not None:
            cursor = _encode_cursor(page.next_params)
            next_url = f"{request.base_url}{page.next_path}?cursor={cursor}"
            body["next_url"] = next_url
            headers["Link"] = f'<{next_url}>; rel="next"'
        elif self._faults.on("null_next_url") and isinstance(body, dict):
            body["next_url"] = None
        reply = _json(body)
        reply.headers |= headers
        return reply


def _encode_cursor(params: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(urlencode(params).encode()).decode().rstrip("=")


def _decode_cursor(cursor: str) -> dict[str, str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        return {}
    return dict(parse_qsl(text))


def _json(body: Any, status: int = 200) -> Reply:
    return Reply(msgspec.json.encode(body), status)


def _error(status: int, text: str, request_id: str) -> Reply:
    return _json({"status": "ERROR", "request_id": request_id, "error": text}, status)
