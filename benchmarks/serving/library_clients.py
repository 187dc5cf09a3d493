"""Clients that are libraries: gRPC's own, ours, and pymarketstore.

They are blocking, so each client has a thread. They take more time of the processor than the
server does, which is therefore told beside the figures.
"""

from __future__ import annotations

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import grpc

import tsstore
from benchmarks.serving.http_client import Sample
from benchmarks.serving.wire import WrongAnswerError, grpc_request, rows_in_grpc_answer
from benchmarks.serving.work import Query

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.serving.work import Call, Work
    from tsstore.client import RemoteStore

_ROOT = Path(__file__).parent.parent.parent
#: The environment that the tests of pymarketstore make; it needs older packages than ours.
PYMARKETSTORE = _ROOT / ".venv-pymarketstore" / "bin" / "python"
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each client
)
_TIMEOUT_S = 60.0


def call_grpc(target: str, work: Work, clients: int, seconds: float) -> Sample:
    """The calls over gRPC; see `call_http`."""
    channels = [grpc.insecure_channel(target, _OPTIONS) for _ in range(clients)]
    try:
        return _in_threads([partial(_by_grpc, one) for one in channels], work, seconds)
    finally:
        for channel in channels:
            channel.close()


def _by_grpc(channel: grpc.Channel, call: Call) -> int:
    path, message = grpc_request(call)
    method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    answer = method(message, timeout=_TIMEOUT_S)
    return rows_in_grpc_answer(call, answer)


def call_tsstore(target: str, work: Work, clients: int, seconds: float) -> Sample:
    """The calls by `tsstore.connect`; see `call_http`."""
    with tsstore.connect(target) as store:
        return _in_threads([partial(_by_tsstore, store)] * clients, work, seconds)


def _by_tsstore(store: RemoteStore, call: Call) -> int:
    if not isinstance(call, Query):
        store.write(call.key, call.columns)
        return 0
    symbols, _, group = call.destination.partition("/")
    found = store.read(symbols.split(","), group, limit=call.limit or None)
    return sum(map(len, found.values()))


def _in_threads(callers: list[Callable[[Call], int]], work: Work, seconds: float) -> Sample:
    wanted = 0 if work.is_write else work.rows
    calls = [work.calls(number) for number in range(len(callers))]

    def once(number: int) -> float:
        call = next(calls[number])
        begun = perf_counter()
        found = callers[number](call)
        latency = perf_counter() - begun
        if found != wanted:
            raise WrongAnswerError(f"{work.what}: {found} rows instead of {wanted}")
        return latency

    def again(deadline: float, number: int) -> list[float]:
        latencies = [once(number)]
        while perf_counter() < deadline:
            latencies.append(once(number))
        return latencies

    with ThreadPoolExecutor(len(callers)) as pool:
        for number in range(len(callers)):
            once(number)
        cpu, begun = time.process_time(), perf_counter()
        found = list(pool.map(partial(again, begun + seconds), range(len(callers))))
        elapsed = perf_counter() - begun
    latencies = [latency for each in found for latency in each]
    return Sample(latencies, elapsed, time.process_time() - cpu, len(callers))


def call_pymarketstore(target: str, work: Work, clients: int, seconds: float) -> Sample:
    """The calls by pymarketstore, one client in its own environment; see `call_http`."""
    if clients != 1:
        raise ValueError("pymarketstore calls alone")
    (queries,) = ([next(calls) for _ in range(1_000)] for calls in [work.calls(0)])
    destinations = [
        (query.destination, query.limit) for query in queries if isinstance(query, Query)
    ]
    program = Path(__file__).with_name("pymarketstore_client.py")
    command = [str(PYMARKETSTORE), str(program), f"{target}/rpc", str(seconds), str(work.rows)]
    done = subprocess.run(
        command, input=json.dumps(destinations), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise WrongAnswerError(done.stderr)
    return Sample(**json.loads(done.stdout))
