"""The REST interface: who may ask, what is wrong on purpose, and answers as JSON."""

from __future__ import annotations

import base64
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from tsstore_massive_simulator import aggregates, entitlements
from tsstore_massive_simulator.http import Reply
from tsstore_massive_simulator.limits import RequestCount
from tsstore_massive_simulator.question import BadRequestError, NoSuchThingError, Page, Question
from tsstore_massive_simulator.routes import route_of

if TYPE_CHECKING:
    from tsstore_massive_simulator.http import Request
    from tsstore_massive_simulator.plans import Plan
    from tsstore_massive_simulator.routes import Route
    from tsstore_massive_simulator.world import World

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
_HTML = b"<html><body><h1>Bad Gateway</h1></body></html>"


class Rest:
    """Answers requests; may be called from any thread.

    Args:
        world: the markets and what goes wrong.

    Attributes:
        requests: how many were made.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._faults = world.faults
        self.requests = RequestCount(world.clock)

    def answer(self, request: Request) -> Reply:
        """The answer to a request."""
        request_id = uuid.uuid4().hex
        try:
            reply = self._answer(request, request_id)
        except BadRequestError as error:
            reply = _error(400, str(error), request_id)
        except NoSuchThingError as error:
            body = {"status": "NOT_FOUND", "request_id": request_id, "message": str(error)}
            reply = _json(body, 404)
        reply.headers["X-Request-Id"] = request_id
        return reply

    def _answer(self, request: Request, request_id: str) -> Reply:
        faults = self._faults
        authorization = request.headers.get("authorization", "")
        key = authorization.removeprefix("Bearer ").strip() or request.params.get("apiKey", "")
        if not key:
            return _error(401, "API Key was not provided", request_id)
        if (self._world.keys and key not in self._world.keys) or faults.strikes("wrong_key"):
            return _error(401, "Unknown API Key", request_id)
        route = route_of(request.path)
        if route is None or faults.strikes("no_route"):
            return Reply(b"404 page not found\n", 404, "text/plain")
        question = self._question(request, route)
        plan = self._world.plans.get(question.market.name)
        if self._is_over_rate(key, question, plan) or faults.strikes("too_many"):
            return self._too_many(request_id)
        if faults.strikes("server_error"):
            return Reply(_HTML, int(faults.number("server_status", 502)), "text/html")
        if faults.strikes("not_json"):
            return Reply(_HTML, 200, "text/html")
        reason = self._why_not(question, route, plan)
        if reason is not None:
            body = {"status": "NOT_AUTHORIZED", "request_id": request_id}
            return _json(
                {**body, "message": _FORBIDDEN.get(reason, _FORBIDDEN["entitlement"])}, 403
            )
        question = replace(question, horizon_ns=entitlements.horizon_ns(plan, question))
        page = route.answer(question)
        if route.answer is aggregates.grouped_daily and faults.on("test_tickers"):
            page = aggregates.with_test_ticker(question, page)
        return self._page(request, page, request_id, "DELAYED" if plan and plan.delay_s else "OK")

    def _why_not(self, question: Question, route: Route, plan: Plan | None) -> str | None:
        faults = self._faults
        if faults.on("forbidden") and question.path.startswith(faults.text("forbidden_paths", "/")):
            return faults.text("forbidden")
        return None if plan is None else entitlements.refusal(plan, route.kind, question)

    def _is_over_rate(self, key: str, question: Question, plan: Plan | None) -> bool:
        faults = self._faults
        # A plan's limit is that of a market; those that are switched on count every request.
        if faults.on("rate") or faults.on("rate_day"):
            limits = faults.number("rate", 0) or None, faults.number("rate_day", 0) or None
            return not self.requests.admit(key, "", *limits)
        per_minute = None if plan is None else plan.requests_a_minute
        return not self.requests.admit(key, question.market.name, per_minute, None)

    def _too_many(self, request_id: str) -> Reply:
        if self._faults.on("empty_429"):
            reply = Reply(b"", 429)
        else:
            reply = _error(429, _TOO_MANY, request_id)
        if self._faults.on("retry_after"):
            reply.headers["Retry-After"] = f"{self._faults.number('retry_after', 1):g}"
        return reply

    def _question(self, request: Request, route: Route) -> Question:
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
        horizon_ns, now_ns = world.horizon_ns(), world.now_ns()
        return Question(world.markets, horizon_ns, now_ns, request.path, route.parts, params)

    def _page(self, request: Request, page: Page, request_id: str, status: str) -> Reply:
        body: Any = page.body
        if isinstance(body, dict) and page.is_standard:
            body = {"status": status, **body, "request_id": request_id}
            if not body.get("results", True) or self._faults.strikes("no_results"):
                body.pop("results", None)
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
