"""A store at the other end of a connection: `tsstore.connect("http://127.0.0.1:5993")`.

The same methods, results and exceptions as a store that was opened from a directory. One object
serves any number of threads; each call in progress has a connection of its own, which is kept.

Reads are tried a second time when a connection breaks. Writes are not: whether the server carried
out a write whose answer is missing cannot be known here, and ticks would double. The error says so.
"""

from __future__ import annotations

import http.client
import os
import select
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from itertools import filterfalse
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from tsstore.api import BucketInfo, Operation, Replace, Write, WriteTable
from tsstore.errors import (
    ClosedError,
    ConnectionFailedError,
    InvalidArgumentError,
    LimitExceededError,
)
from tsstore.key import BucketKey, KeyPattern, check_part
from tsstore.operations import check_operations, check_rename, check_schema, writes_of
from tsstore.query import check_columns, check_limit, parse_target
from tsstore.tables import read_table
from tsstore.times import to_ns
from tsstore.wire import exact
from tsstore.wire.codec import MSGPACK, MalformedBodyError
from tsstore.wire.envelope import OUTCOME_UNKNOWN, ErrorReply, decode_reply, encode_call
from tsstore.zones import zone

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

    from tsstore.api import BackupReport, BucketStats, CompactionReport, TableLike
    from tsstore.columns import Columns
    from tsstore.schema import Schema
    from tsstore.times import TimeLike

DEFAULT_PORT = 5993
_NOT_A_URL = "the server's URL is not like http://127.0.0.1:5993; correct it"
_R = TypeVar("_R", bound=msgspec.Struct)


def connect(url: str, *, token: str | None = None, timeout_s: float = 30.0) -> RemoteStore:
    """The store that a server serves.

    Args:
        url: `http://127.0.0.1:5993`; `https://` for TLS; a token may stand in it as a password.
        token: what the server's `token` setting asks for; blanks around it are dropped.
        timeout_s: longest silence of the server.

    Raises:
        ConnectionFailedError: nobody answers there, or it is no tsstore server.
        InvalidArgumentError: not a URL, a token that no header can hold, or no length of time.
    """
    store = RemoteStore(url, token=token, timeout_s=timeout_s)
    try:
        store.ping()
    except BaseException:
        store.close()
        raise
    return store


class RemoteStore:
    """A store behind a server. Thread-safe.

    Attributes:
        url: the server, without any token.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = 30.0) -> None:
        parts = _split(url)
        token = _checked_token(token or _token_in(parts))
        self._transport = _Transport(parts, token, _checked_timeout(timeout_s))
        self.url = self._transport.url

    def __repr__(self) -> str:
        return f"<RemoteStore {self.url}>"

    @overload
    def read(
        self,
        key: str,
        group: None = None,
        *,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        tz: str | None = None,
        limit: int | None = None,
        from_start: bool = False,
        columns: Sequence[str] | None = None,
    ) -> Columns: ...

    @overload
    def read(
        self,
        key: Sequence[str] | str,
        group: str,
        *,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        tz: str | None = None,
        limit: int | None = None,
        from_start: bool = False,
        columns: Sequence[str] | None = None,
    ) -> dict[str, Columns]: ...

    def read(
        self,
        key: str | Sequence[str],
        group: str | None = None,
        *,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        tz: str | None = None,
        limit: int | None = None,
        from_start: bool = False,
        columns: Sequence[str] | None = None,
    ) -> Columns | dict[str, Columns]:
        """Rows between `start` and `end`; see `StoreApi.read`."""
        symbols, *_, is_single = parse_target(key, group)
        if tz is not None:
            zone(tz)
        rows_max = check_limit(limit)
        names = check_columns(columns)
        params = exact.ReadParams(
            key if isinstance(key, str) else list(symbols),
            group,
            None if start is None else to_ns(start, tz),
            None if end is None else to_ns(end, tz),
            rows_max or None,
            bool(from_start),
            None if names is None else list(names),
        )
        result = self._call("TsStore.Read", params, exact.ReadResult, repeatable=True)
        found = exact.found_in(result, tz or "UTC")
        return next(iter(found.values())) if is_single else found

    def write(
        self, key: str, data: TableLike, *, schema: Schema | None = None, variable: bool = False
    ) -> int:
        """Write rows to one bucket; see `StoreApi.write`."""
        return self.commit([Write(key, data, schema, variable)])

    def write_many(self, batches: Mapping[str, TableLike]) -> int:
        """Write several buckets as one atomic unit; see `StoreApi.write_many`."""
        return self.commit(writes_of(batches))

    def write_table(
        self, group: str, data: TableLike, *, schema: Schema | None = None, variable: bool = False
    ) -> int:
        """Write a cross-section; see `StoreApi.write_table`."""
        return self.commit([WriteTable(group, data, schema, variable)])

    def replace(
        self,
        key: str,
        start: TimeLike,
        end: TimeLike,
        data: TableLike,
        *,
        schema: Schema | None = None,
    ) -> int:
        """Replace a range; see `StoreApi.replace`."""
        return self.commit([Replace(key, start, end, data, schema)])

    def commit(self, operations: Iterable[Operation]) -> int:
        """Several operations as one atomic unit; see `StoreApi.commit`."""
        messages = [_operation_message(operation) for operation in check_operations(operations)]
        params = exact.CommitParams(messages)
        return self._call("TsStore.Commit", params, exact.CommitResult, repeatable=False).rows

    def bulk(self, operations: Mapping[str, TableLike] | Iterable[Operation]) -> int:
        """Write very many rows, past the log; see `StoreApi.bulk`."""
        if isinstance(operations, Mapping):
            operations = writes_of(operations)
        messages = [_operation_message(operation) for operation in check_operations(operations)]
        params = exact.CommitParams(messages)
        return self._call("TsStore.Bulk", params, exact.CommitResult, repeatable=False).rows

    def iterate(
        self,
        key: str,
        *,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        tz: str | None = None,
        rows: int = 1_000_000,
        columns: Sequence[str] | None = None,
    ) -> Iterator[Columns]:
        """Rows of a bucket, about so many at a time; see `StoreApi.iterate`."""
        name = str(BucketKey.parse(key))
        self.info(name)  # a timeframe that is computed is no bucket
        if tz is not None:
            zone(tz)
        rows_max = check_limit(rows)
        params = exact.ReadParams(
            name,
            None,
            None if start is None else to_ns(start, tz),
            None if end is None else to_ns(end, tz),
            # One more than is handed out, at which the next piece begins.
            rows_max + 1 if rows_max else None,
            from_start=True,
            columns=None if columns is None else list(check_columns(columns) or ()),
        )
        # The first piece is read now, so that what is wrong is said here.
        return self._pieces(params, self._piece(params, tz), tz)

    def _pieces(
        self, params: exact.ReadParams, found: Columns, tz: str | None
    ) -> Iterator[Columns]:
        """Pieces from one that was read on; no instant is cut in two."""
        while params.limit is not None and len(found) == params.limit:
            last = int(found.ts[-1])
            whole = int(found.ts.searchsorted(last, "left"))
            if whole:
                yield found.slice(0, whole)
            else:
                one = msgspec.structs.replace(params, start_ns=last, end_ns=last, limit=None)
                yield self._piece(one, tz)
            # Bars have one row of an instant, so this is never the middle of a slot.
            params = msgspec.structs.replace(params, start_ns=last if whole else last + 1)
            found = self._piece(params, tz)
        if len(found):
            yield found

    def _piece(self, params: exact.ReadParams, tz: str | None) -> Columns:
        result = self._call("TsStore.Read", params, exact.ReadResult, repeatable=True)
        return next(iter(exact.found_in(result, tz or "UTC").values()))

    def delete(self, key: str, start: TimeLike | None = None, end: TimeLike | None = None) -> int:
        """Delete the rows of a range; see `StoreApi.delete`."""
        params = exact.DeleteParams(
            str(BucketKey.parse(key)),
            None if start is None else to_ns(start),
            None if end is None else to_ns(end),
        )
        return self._call("TsStore.Delete", params, exact.CommitResult, repeatable=False).rows

    def rename(self, key: str, new_key: str) -> None:
        """Give a bucket another name; see `StoreApi.rename`."""
        self._call("TsStore.Rename", _two_keys(key, new_key), exact.Nothing, repeatable=False)

    def copy(self, key: str, new_key: str) -> None:
        """Make a bucket with the rows of another; see `StoreApi.copy`."""
        params = _two_keys(key, new_key)
        self._call("TsStore.Copy", params, exact.Nothing, repeatable=False, patient=True)

    def alter(self, key: str, schema: Schema) -> None:
        """Give a bucket more or wider columns; see `StoreApi.alter`."""
        name = str(BucketKey.parse(key))
        params = exact.CreateParams(name, exact.schema_message(check_schema(schema)))
        self._call("TsStore.Alter", params, exact.Nothing, repeatable=False)

    def compact(self, pattern: str = "*/*/*") -> CompactionReport:
        """Merge the files of buckets into few packed ones; see `StoreApi.compact`."""
        params = exact.ListParams(KeyPattern(pattern).text)
        kind = exact.CompactResult
        return self._call("TsStore.Compact", params, kind, repeatable=True, patient=True).report

    @overload
    def stats(self) -> dict[str, Any]: ...

    @overload
    def stats(self, key: str) -> BucketStats: ...

    def stats(self, key: str | None = None) -> dict[str, Any] | BucketStats:
        """How the store, or one bucket, is stored; see `StoreApi.stats`."""
        params = exact.StatsParams(None if key is None else str(BucketKey.parse(key)))
        result = self._call("TsStore.Stats", params, exact.StatsResult, repeatable=True)
        found = result.store if key is None else result.bucket
        if found is None:
            raise ConnectionFailedError(
                f"{self.url} does not answer like a tsstore server (nothing was counted); "
                "check the address, and that both run the same version"
            )
        return found

    def backup(self, dest: str) -> BackupReport:
        """Make a copy of the store on the server's machine; see `StoreApi.backup`."""
        params = exact.BackupParams(str(dest))
        kind = exact.BackupResult
        return self._call("TsStore.Backup", params, kind, repeatable=False, patient=True).report

    def create(self, key: str, schema: Schema) -> None:
        """Create an empty bucket; see `StoreApi.create`."""
        name = str(BucketKey.parse(key))
        params = exact.CreateParams(name, exact.schema_message(check_schema(schema)))
        self._call("TsStore.Create", params, exact.Nothing, repeatable=False)

    def destroy(self, key: str) -> None:
        """Remove a bucket; see `StoreApi.destroy`."""
        params = exact.KeyParams(str(BucketKey.parse(key)))
        self._call("TsStore.Destroy", params, exact.Nothing, repeatable=False)

    def list(self, pattern: str = "*/*/*") -> list[str]:
        """Keys of the buckets that match; see `StoreApi.list`."""
        params = exact.ListParams(KeyPattern(pattern).text)
        return self._call("TsStore.List", params, exact.ListResult, repeatable=True).keys

    def info(self, key: str) -> BucketInfo:
        """Schema, first and last instant of a bucket; see `StoreApi.info`."""
        params = exact.KeyParams(str(BucketKey.parse(key)))
        return exact.info_of(self._call("TsStore.Info", params, exact.InfoResult, repeatable=True))

    @property
    def timezone(self) -> str:
        """Zone of the server's store; asks the server."""
        return self.ping().timezone

    def ping(self) -> exact.PingResult:
        """Version of the server and zone of its store."""
        return self._call("TsStore.Ping", exact.Nothing(), exact.PingResult, repeatable=True)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(
        self,
        method: str,
        params: msgspec.Struct,
        result: type[_R],
        *,
        repeatable: bool,
        patient: bool = False,
    ) -> _R:
        """Call a method; `patient` waits for what may take hours as long as the server lives."""
        body = self._transport.post(
            encode_call(method, params), repeatable=repeatable, patient=patient
        )
        try:
            reply = decode_reply(body)
            if isinstance(reply, ErrorReply):
                raise exact.error_from_wire(reply.message, reply.data)
            return _decoder(result).decode(reply)
        except (MalformedBodyError, msgspec.DecodeError) as error:
            raise ConnectionFailedError(
                f"{self.url} does not answer like a tsstore server ({error}); "
                "check the address, and that both run the same version"
            ) from None


_decoders: dict[type, msgspec.msgpack.Decoder[Any]] = {}


def _decoder(kind: type[_R]) -> msgspec.msgpack.Decoder[_R]:
    found = _decoders.get(kind)
    if found is None:
        found = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    return found


def _operation_message(operation: Operation) -> exact.OperationMessage:
    variable = bool(operation.variable)
    schema = None if operation.schema is None else exact.schema_message(operation.schema)
    table = read_table(operation.data, with_symbol=isinstance(operation, WriteTable))
    rows = exact.rows_of_table(table)
    if isinstance(operation, WriteTable):
        BucketKey.parse(f"X/{operation.group}")
        for symbol in filterfalse(str.isascii, table.symbols or ()):
            check_part("symbol", symbol)
        return exact.OperationMessage("table", operation.group, rows, schema, variable)
    key = str(BucketKey.parse(operation.key))
    if isinstance(operation, Write):
        return exact.OperationMessage("write", key, rows, schema, variable)
    return exact.OperationMessage(
        "replace",
        key,
        rows,
        schema,
        variable,
        to_ns(operation.start),
        to_ns(operation.end),
    )


def _two_keys(key: str, new_key: str) -> exact.TwoKeysParams:
    check_rename(key, new_key)
    return exact.TwoKeysParams(str(BucketKey.parse(key)), str(BucketKey.parse(new_key)))


def _split(url: str) -> SplitResult:
    # The URL is not shown in errors: a mistyped one may hold the token.
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        port = parts.port  # is checked when it is asked for
        host = b"" if parts.hostname is None else parts.hostname.encode("idna")
    except (ValueError, TypeError):  # not text, a port that is no number, a name that is too long
        raise InvalidArgumentError(_NOT_A_URL) from None
    is_host = bool(host) and not any(byte <= 0x20 or byte == 0x7F for byte in host)
    if parts.scheme not in ("http", "https") or not is_host or port == 0:
        raise InvalidArgumentError(_NOT_A_URL)
    return parts


def _token_in(parts: SplitResult) -> str | None:
    return None if parts.password is None else unquote(parts.password)


def _checked_token(token: object) -> str | None:
    if token is None:
        return None
    text = token.strip() if isinstance(token, str) else ""
    # It is not shown in the error, nor by whatever else would choke on it.
    if not text or not text.isascii() or not text.isprintable():
        raise InvalidArgumentError(
            "the token is not text of printable ASCII characters; copy it from the server's config"
        )
    return text


def _checked_timeout(timeout_s: Any) -> float:
    is_number = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
    if is_number and 0 < timeout_s <= threading.TIMEOUT_MAX:
        return float(timeout_s)
    raise InvalidArgumentError(f"timeout_s {timeout_s!r} is not a number of seconds above 0")


class _BrokenOffError(Exception):
    """A connection ended before its answer did."""


class _Transport:
    """Keeps connections to one server and sends one request at a time over each."""

    def __init__(self, parts: SplitResult, token: str | None, timeout_s: float) -> None:
        self._is_tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or DEFAULT_PORT
        shown = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"{parts.scheme}://{shown}:{self._port}"
        self._timeout_s = timeout_s
        self._headers = {"Content-Type": MSGPACK.content_type}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._context = ssl.create_default_context() if self._is_tls else None
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._process = os.getpid()
        self._is_closed = False

    def post(self, body: bytes, *, repeatable: bool, patient: bool = False) -> bytes:
        """The body of the answer.

        Raises:
            ConnectionFailedError: no answer; for what is not repeatable, it is unknown whether the
                server did it.
        """
        try:
            return self._attempt(body, repeatable=repeatable, patient=patient)
        except _BrokenOffError as error:
            if not repeatable:
                raise ConnectionFailedError(
                    f"{self.url} broke off before it answered ({error}); {OUTCOME_UNKNOWN}"
                ) from None
        try:
            return self._attempt(body, repeatable=repeatable, patient=patient)
        except _BrokenOffError as error:
            raise ConnectionFailedError(
                f"{self.url} broke off twice before it answered ({error}); see the server's log"
            ) from None

    def close(self) -> None:
        """Close idle connections; those in use are closed when they come back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _attempt(self, body: bytes, *, repeatable: bool, patient: bool) -> bytes:
        connection = self._borrow()
        connection.sock.settimeout(None if patient else self._timeout_s)
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before
                connection.request("POST", "/rpc", body, self._headers)
            response = connection.getresponse()
            answer = response.read()
        except TimeoutError:
            connection.close()
            raise _BrokenOffError(f"no answer within {self._timeout_s:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _BrokenOffError(str(error) or type(error).__name__) from None
        except BaseException:  # Ctrl-C: what is left of the answer must not meet the next call
            connection.close()
            raise
        self._give_back(connection)
        self._check_status(response.status, answer, repeatable=repeatable)
        return answer

    def _check_status(self, status: int, answer: bytes, *, repeatable: bool) -> None:
        if status == http.client.OK:
            return
        if status == http.client.UNAUTHORIZED:
            raise ConnectionFailedError(
                f"{self.url} does not accept the token; pass connect(url, token=...)"
            )
        said = answer[:200].decode("utf-8", "replace") or "no reason given"
        if status >= 500 and not repeatable and OUTCOME_UNKNOWN not in said:
            said += f"; {OUTCOME_UNKNOWN}"
        kinds = {413: LimitExceededError, 415: InvalidArgumentError}
        kind = kinds.get(status, ConnectionFailedError)
        raise kind(f"{self.url} answers {status}: {said}")

    def _borrow(self) -> http.client.HTTPConnection:
        with self._lock:
            if self._is_closed:
                raise ClosedError(f"the connection to {self.url} was closed; connect again")
            if self._process != os.getpid():  # a fork: the parent goes on using its sockets
                self._process, self._idle = os.getpid(), []
            while self._idle:
                connection = self._idle.pop()
                if _is_alive(connection):
                    return connection
                connection.close()
        return self._open()

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if not self._is_closed and connection.sock is not None:
                self._idle.append(connection)
                return
        connection.close()

    def _open(self) -> http.client.HTTPConnection:
        if self._context is not None:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout_s, context=self._context
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.connect()
        except OSError as error:
            raise ConnectionFailedError(
                f"cannot reach a server at {self.url}: {error.strerror or error}; "
                "start one with `tsstore start`, or check the address"
            ) from None
        with suppress(OSError):
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A server that vanished is noticed even where nobody sends anything for hours.
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection


def _is_alive(connection: http.client.HTTPConnection) -> bool:
    """Whether the server has not closed a kept connection: nothing, not even an end, is to read."""
    if connection.sock is None:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return not poll.poll(0)
