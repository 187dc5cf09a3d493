"""Bodies in, bodies out: decoding, dispatch by method name, and errors.

A failed call is an answer like any other (HTTP 200 with an `error`): MarketStore's clients read it
there. A call without an id gets an empty body, whatever happened.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tsstore.errors import TsStoreError
from tsstore.server.access import READING, check_role
from tsstore.server.lanes import Kind
from tsstore.wire import exact
from tsstore.wire.codec import JSON, MSGPACK, Codec, MalformedBodyError
from tsstore.wire.envelope import (
    APPLICATION_ERROR,
    INVALID_REQUEST,
    Call,
    error_of,
    read_call,
    result_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tsstore.server.access import Role
    from tsstore.server.metrics import Metrics
    from tsstore.wire.codec import Body

    _Method = Callable[[Any], Any]

logger = logging.getLogger(__name__)

_OWN = "TsStore."
_ECHO_BYTES_MAX = 64 * 1024
_CODECS: dict[str, Codec] = {"application/x-msgpack": MSGPACK, "application/json": JSON}
_JSON_NAMES = {
    "responses": "Responses", "result": "Result", "version": "Version", "timezone": "Timezone",
    "error": "Error", "types": "ColumnTypes", "names": "ColumnNames", "data": "ColumnData",
    "length": "Length", "startindex": "StartIndex", "lengths": "Lengths", "partial": "Partial",
}  # fmt: skip
_MAPS_BY_KEY = frozenset({"startindex", "lengths"})


def codec_for(content_type: str) -> Codec | None:
    """The codec of a Content-Type header; None when there is none."""
    return _CODECS.get(content_type.partition(";")[0].strip().lower())


@dataclass(frozen=True)
class Deferred:
    """A call that was read, to be carried out by threads of its kind.

    Attributes:
        kind: how long it takes.
        finish: carries it out and returns the body of the answer.
        refuse: the body of the answer that says why it is not carried out.
    """

    kind: Kind
    finish: Callable[[], Body]
    refuse: Callable[[TsStoreError], Body]


class RpcDispatcher:
    """Carries out the calls in bodies. Thread-safe as far as the methods are.

    Args:
        methods: functions by the name that clients call.
        metrics: what counts the calls.
        kinds: of the methods that are not short; a function where the parameters tell.
    """

    def __init__(
        self,
        methods: Mapping[str, _Method],
        metrics: Metrics,
        kinds: Mapping[str, Kind | Callable[[Any], Kind]],
    ) -> None:
        self._methods = dict(methods)
        self._kinds = dict(kinds)
        self._services = {name.partition(".")[0] for name in methods}
        self._metrics = metrics

    def answer(self, body: bytes, codec: Codec, role: Role) -> Body | Deferred:
        """The body of the answer, or what makes one elsewhere.

        It is empty when no answer is wanted, or the body is no request.
        """
        try:
            call = read_call(codec.decode(body))
        except MalformedBodyError as error:
            logger.info("refused a request: %s", error)
            return []
        echo = len(body) <= _ECHO_BYTES_MAX
        method = self._methods.get(call.method)
        found = self._kinds.get(call.method, Kind.SHORT)
        kind = found if isinstance(found, Kind) else found(call.params)
        if kind is Kind.SHORT:
            return self._finish(call, codec, method, role, echo)
        return Deferred(
            kind,
            finish=partial(self._finish, call, codec, method, role, echo),
            refuse=lambda error: self._finish(call, codec, _refusing(error), role, echo),
        )

    def may_write(self, body: bytes, codec: Codec) -> bool:
        """Whether a body may change something; a large one is taken for one that does."""
        if len(body) > _ECHO_BYTES_MAX:
            return True
        try:
            return read_call(codec.decode(body)).method not in READING
        except MalformedBodyError:
            return False

    def _finish(
        self, call: Call, codec: Codec, method: _Method | None, role: Role, echo: bool
    ) -> Body:
        answer = self._carry_out(call, codec, method, role, echo)
        if call.id is None:
            return []
        try:
            return codec.parts(answer)
        except (RecursionError, TypeError, ValueError, OverflowError) as error:
            # The parameters that it repeats are such as can be read and not be written.
            text = f"the request holds what no answer can repeat ({type(error).__name__})"
            return codec.parts(error_of(call, INVALID_REQUEST, text))

    def _carry_out(
        self, call: Call, codec: Codec, method: _Method | None, role: Role, echo: bool
    ) -> dict[str, Any]:
        if call.version != "2.0":
            return error_of(call, INVALID_REQUEST, "jsonrpc must be 2.0", _request(call, echo))
        if method is None:
            return error_of(call, APPLICATION_ERROR, self._unknown(call.method))
        if call.method.startswith(_OWN) and codec is JSON:
            text = f"{call.method} speaks msgpack; send application/x-msgpack"
            return error_of(call, APPLICATION_ERROR, text)
        with self._metrics.timed(call.method) as outcome:
            try:
                check_role(call.method, role)
                result = method(call.params)
            except MalformedBodyError as error:
                outcome.failed = True
                own = call.method.startswith(_OWN)
                data = exact.error_message(error) if own else call.params if echo else None
                return error_of(call, INVALID_REQUEST, str(error), data)
            except TsStoreError as error:
                outcome.failed = True
                data = exact.error_message(error) if call.method.startswith(_OWN) else None
                return error_of(call, APPLICATION_ERROR, str(error), data)
            except Exception as error:
                outcome.failed = True
                logger.exception("%s failed", call.method)
                text = f"internal error ({type(error).__name__}); the server's log has more"
                return error_of(call, APPLICATION_ERROR, text)
        return result_of(call, _json_named(result) if codec is JSON else result)

    def _unknown(self, method: str) -> str:
        service, dot, _ = method.partition(".")
        shown = method[:200]
        if not dot:
            return f'rpc: service/method request ill-formed: "{shown}"'
        if service not in self._services:
            return f'rpc: can\'t find service "{shown}"'
        return f'rpc: can\'t find method "{shown}"'


def _refusing(error: TsStoreError) -> _Method:
    """A method that carries out nothing."""

    def refuse(_: Any) -> Any:
        raise error

    return refuse


def _request(call: Call, echo: bool) -> Any:
    if not echo:
        return None
    return {
        "jsonrpc": call.version,
        "method": call.method,
        "id": call.id,
        "params": call.params,
    }


def _json_named(value: Any) -> Any:
    """A result with the names of its fields as JSON clients know them."""
    if isinstance(value, list):
        return [_json_named(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        _JSON_NAMES.get(name, name): item if name in _MAPS_BY_KEY else _json_named(item)
        for name, item in value.items()
    }
