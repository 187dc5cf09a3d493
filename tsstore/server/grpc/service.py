"""The methods of `proto.Marketstore`: who may call them, within which limits, and how they fail.

The event loop only moves bytes: decoding, the store and encoding run in the threads that serve /rpc
as well. An error of a call has the status UNKNOWN and the text that /rpc gives; what gRPC has a
status of its own for (no token, a limit of the server, bytes that are no message) has that one.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from tsstore.errors import ForbiddenError, TsStoreError
from tsstore.server.access import NO_TOKEN, READING, Tokens, check_role
from tsstore.server.grpc.fields import MalformedMessageError
from tsstore.server.grpc.messages import FORMS
from tsstore.server.grpc.readers import BYTES_PER_S_MIN
from tsstore.server.lanes import Kind
from tsstore.server.service import DataService
from tsstore.wire.envelope import OUTCOME_UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tsstore.server.grpc.messages import Form
    from tsstore.server.grpc.readers import Readers
    from tsstore.server.lanes import Lanes
    from tsstore.server.metrics import Metrics
    from tsstore.server.served import ServedStore
    from tsstore.server.settings import ServerSettings

SERVICE = "proto.Marketstore"
# Details travel percent-encoded in a trailer, and clients take 8 KiB of those.
_DETAILS_BYTES_MAX = 2_500
# What precedes a message on the wire.
_FRAME_BYTES = 5

logger = logging.getLogger(__name__)


class CallFailedError(Exception):
    """A call that ends with a status instead of an answer."""

    def __init__(self, status: grpc.StatusCode, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


class MarketstoreService:
    """The methods, over DataService.

    Args:
        store: stays open.
        settings: limits and who may call.
        metrics: what counts the calls, beside those of /rpc.
        lanes: threads, shared with /rpc.
        version: of the server.
    """

    def __init__(
        self,
        store: ServedStore,
        settings: ServerSettings,
        *,
        metrics: Metrics,
        lanes: Lanes,
        version: str,
    ) -> None:
        # Rows that no message could carry need not be read.
        bytes_max = min(settings.reply_bytes_max, settings.grpc_send_bytes_max)
        service = DataService(store, replace(settings, reply_bytes_max=bytes_max), version=version)
        self._methods: dict[str, Callable[[Any], Mapping[str, Any]]] = {
            **service.methods(),
            "DataService.ServerVersion": lambda _: {"version": version},
        }
        self._kinds = service.kinds()
        self._settings = settings
        self._tokens = Tokens(settings)
        self._metrics = metrics
        self._lanes = lanes
        self._calls = set[asyncio.Task[Any]]()
        self._unanswered = set[asyncio.Task[Any]]()
        # gRPC does not tell how much of a request is there.
        self._request_s = (
            settings.read_timeout_s + settings.grpc_receive_bytes_max / BYTES_PER_S_MIN
        )

    def handler(self, readers: Readers) -> grpc.GenericRpcHandler:
        """What a server of gRPC is given; `readers` are told of each answer."""
        # A client's call looks the same whether one message or several are announced; so the
        # method reads the one itself, after it has looked who calls, and not for ever.
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            name: grpc.stream_unary_rpc_method_handler(partial(self._call, name, form, readers))
            for name, form in FORMS.items()
        }
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    async def finish(self, timeout_s: float) -> None:
        """Wait for the calls under way, then end them; what their threads do goes on."""
        if self._calls:
            await asyncio.wait(set(self._calls), timeout=timeout_s)
        # An answer that is under way is gRPC's, which breaks it off.
        unanswered = set(self._unanswered)
        for call in unanswered:
            call.cancel()
        if unanswered:
            await asyncio.wait(unanswered, timeout=timeout_s)

    async def _call(
        self,
        name: str,
        form: Form,
        readers: Readers,
        _: object,
        context: grpc.aio.ServicerContext[bytes, bytes],
    ) -> bytes:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (gRPC runs methods in tasks)
        # gRPC's task ends when the answer has been read, so until then the call counts.
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        self._unanswered.add(task)
        try:
            answer = await self._answer(f"DataService.{name}", form, context)
            peer, size = context.peer(), _FRAME_BYTES + len(answer)
            readers.begin(peer, size)
            task.add_done_callback(lambda _: readers.end(peer, size))
            return answer
        except CallFailedError as failed:
            if failed.status is not grpc.StatusCode.UNKNOWN:
                self._metrics.grpc_refused.labels(failed.status.name).inc()
            await context.abort(failed.status, _short(failed.text))
        except asyncio.CancelledError:
            text = "the server stops"
            if f"DataService.{name}" not in READING:
                text += f"; {OUTCOME_UNKNOWN}"
            await context.abort(grpc.StatusCode.UNAVAILABLE, text)
        finally:
            self._unanswered.discard(task)

    async def _answer(
        self, method: str, form: Form, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> bytes:
        if len(self._calls) > self._settings.connections_max:
            raise CallFailedError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"the server answers {self._settings.connections_max} calls already; try again "
                "later, or raise limits.connections_max",
            )
        self._admit(method, dict(context.invocation_metadata() or ()))
        body = await self._request(context)
        kind = Kind.SHORT
        if method in self._kinds:
            kind = await self._lanes.run(kind, partial(self._kind, method, form, body))
        return await self._lanes.run(kind, partial(self._carry_out, method, form, body))

    def _admit(self, method: str, metadata: Mapping[str, str | bytes]) -> None:
        authorization = metadata.get("authorization", "")
        role = self._tokens.role_of(str(authorization))
        if role is None:
            raise CallFailedError(grpc.StatusCode.UNAUTHENTICATED, NO_TOKEN)
        try:
            check_role(method, role)
        except ForbiddenError as error:
            raise CallFailedError(grpc.StatusCode.PERMISSION_DENIED, str(error)) from None

    async def _request(self, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        reading = asyncio.ensure_future(context.read())
        reading.add_done_callback(_look_at)
        await asyncio.wait({reading}, timeout=self._request_s)
        if not reading.done():
            text = "the rest of the request did not come"
            raise CallFailedError(grpc.StatusCode.DEADLINE_EXCEEDED, text)
        body = reading.result()
        if not isinstance(body, bytes):  # the end of the stream
            raise CallFailedError(grpc.StatusCode.INTERNAL, "the call has no request")
        return body

    def _kind(self, method: str, form: Form, body: bytes) -> Kind:
        try:
            return self._kinds[method](form.read(body))
        except (MalformedMessageError, TsStoreError):  # which the call itself answers
            return Kind.SHORT

    def _carry_out(self, method: str, form: Form, body: bytes) -> bytes:
        with self._metrics.timed(method) as outcome:
            try:
                answer = form.write(self._methods[method](form.read(body)))
                self._check_size(answer)
            except Exception as error:  # noqa: BLE001  (logged, and told to the client)
                outcome.failed = True
                raise _failure(method, error) from None
        return answer

    def _check_size(self, answer: bytes) -> None:
        bytes_max = self._settings.grpc_send_bytes_max
        if len(answer) > bytes_max:
            raise CallFailedError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"the answer has {len(answer)} bytes and grpc_max_send_msg_size allows "
                f"{bytes_max}; ask for less, or raise it",
            )


def _failure(method: str, error: Exception) -> CallFailedError:
    if isinstance(error, CallFailedError):
        return error
    if isinstance(error, MalformedMessageError):
        text = f"the request is no message of {method.partition('.')[2]}: {error}"
        return CallFailedError(grpc.StatusCode.INTERNAL, text)
    if isinstance(error, TsStoreError):
        return CallFailedError(grpc.StatusCode.UNKNOWN, str(error))
    logger.error("%s failed", method, exc_info=error)
    text = f"internal error ({type(error).__name__}); the server's log has more"
    return CallFailedError(grpc.StatusCode.UNKNOWN, text)


def _short(text: str) -> str:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= _DETAILS_BYTES_MAX:
        return text
    return encoded[:_DETAILS_BYTES_MAX].decode("utf-8", "ignore") + "..."


def _look_at(reading: asyncio.Future[Any]) -> None:
    """What becomes of a request that nobody waits for any more is no news."""
    if not reading.cancelled():
        reading.exception()
