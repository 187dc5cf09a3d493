"""What was measured as tables for people, as markdown and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.harness import MS_PER_S
from benchmarks.report import machine, rounded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.serving.measure import Found, Row, Seen
    from benchmarks.serving.subscribers import Streamed

_MB = 1e6
_TITLE = "Calls of a server: calls a second, median and 99th percentile"
_CLIENTS_NOTE = (
    "/rpc: raw sockets in one process, requests as pymarketstore sends them; gRPC and "
    "tsstore.connect: threads of one process. Writes are durable when they are answered. CPU: "
    "milliseconds of the server's and of the clients' processors for each call."
)
_PEER_NOTE = (
    "MarketStore: what one client waited over HTTP, measured once with the Go fork on a machine of "
    "this kind, not in this run, and how many times as long that is as ours. No other peer has a "
    "server to compare with."
)


def show(found: Found) -> None:
    """Print the tables."""
    console = Console(width=200)
    for title, rows in _tables(found):
        table = Table(title=title)
        for heading in rows[0]:
            table.add_column(heading)
        for row in rows[1:]:
            table.add_row(*row)
        console.print(table)
    for note in notes(found):
        console.print(note, highlight=False)


def markdown(found: Found) -> str:
    """The tables as markdown."""
    text = ""
    for title, (headings, *rows) in _tables(found):
        lines = [headings, ["---"] * len(headings), *rows]
        table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
        text += f"**{title}**\n\n{table}\n"
    return text + "".join(f"{note}\n\n" for note in notes(found))


def notes(found: Found) -> list[str]:
    """What a reader of the tables has to know."""
    missing = [f"Left out, because not installed: {name}." for name in found.left_out]
    return [_CLIENTS_NOTE, _PEER_NOTE, *missing]


def as_json(found: Found, *, quick: bool) -> dict[str, Any]:
    """Everything that was measured, and on what machine."""
    return {"machine": machine(), "quick": quick, **asdict(found)}


def _tables(found: Found) -> Iterator[tuple[str, list[list[str]]]]:
    if found.rows:
        yield _TITLE, list(_call_rows(found.rows))
    if found.streamed is not None:
        load = "load {:.1f} to {:.1f}".format(*found.stream_load)
        title = f"{found.streamed.plan.subscribers:,} subscribers of /ws; {load}"
        yield title, list(_stream_rows(found.streamed))


def _call_rows(rows: list[Row]) -> Iterator[list[str]]:
    counts = sorted({count for row in rows for count in row.seen})
    clients = [f"{count} client{'s' if count > 1 else ''}" for count in counts]
    yield ["", "call", "by", *clients, "CPU server, clients", "MarketStore", "load"]
    for row in rows:
        one = row.seen[counts[0]]
        before, after = row.load
        yield [
            row.name[:2],
            row.what,
            row.client,
            *(_figures(row.seen[count]) if count in row.seen else "" for count in counts),
            f"{rounded(one.server_cpu_ms)}, {rounded(one.client_cpu_ms)} ms",
            _marketstore(row.marketstore_ms, one),
            f"{before:.1f} to {after:.1f}",
        ]


def _figures(seen: Seen) -> str:
    return f"{rounded(seen.per_s)}/s, {rounded(seen.p50_ms)}, {rounded(seen.p99_ms)} ms"


def _marketstore(milliseconds: float | None, one: Seen) -> str:
    if milliseconds is None:
        return ""
    return f"{rounded(milliseconds)} ms, {milliseconds / one.p50_ms:.3g}x"


def _stream_rows(streamed: Streamed) -> Iterator[list[str]]:
    plan = streamed.plan
    thousands = plan.subscribers * plan.burst_rows * plan.bursts / 1e3
    rate = f"{rounded(thousands / sum(streamed.burst_s))} k/s"
    cpu = f"{rounded(thousands / streamed.burst_cpu_s)} k a second of the server's processors"
    alone, subscribed, after = (size / _MB for size in streamed.rss)
    each = (after - alone) / plan.subscribers * MS_PER_S
    yield ["measured", "figure"]
    yield ["from sending a row to the last receipt", _quantiles(streamed.last_s)]
    yield ["to the receipt of half of them", _quantiles(streamed.median_s)]
    yield [f"messages delivered, {plan.burst_rows} rows at once", f"{rate}, {cpu}; none lost"]
    text = f"{alone:.0f} MB alone, {subscribed:.0f} subscribed, {after:.0f} in the end"
    yield ["memory of the server", f"{text}: {rounded(each)} kB each"]


def _quantiles(seconds: list[float]) -> str:
    p50, p99 = np.quantile(seconds, (0.5, 0.99)) * MS_PER_S
    return f"p50 {rounded(p50)}, p99 {rounded(p99)} ms"
