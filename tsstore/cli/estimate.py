"""`tsstore estimate`: how much disk a plan takes."""

from __future__ import annotations

import click

from tsstore.timeframe import Timeframe

_DAY_HOURS = 24
_HOUR_NS = Timeframe(1, "H").duration_ns
_TIME_BYTES = 8
#: Bytes that a value takes once it is packed, from the best to the worst of what was measured on
#: bars, trades and quotes of US stocks (`python -m benchmarks --only P11`).
_PACKED_BYTES = (0.3, 0.8)
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


@click.command("estimate", context_settings={"show_default": True})
@click.option(
    "--4byteCols", "four_bytes", type=click.IntRange(0), default=0, help="4-byte columns."
)
@click.option(
    "--8byteCols", "eight_bytes", type=click.IntRange(0), default=5, help="8-byte columns."
)
@click.option("-d", "--days", type=click.IntRange(1, 366), default=261, help="Days of a year.")
@click.option("--hours", type=click.FloatRange(0, _DAY_HOURS), default=6.5, help="Hours of a day.")
@click.option("-s", "--symbols", type=click.IntRange(1), default=1000, help="Symbols.")
@click.option("-t", "--timeframe", default="1Min", help="Of the bars.")
@click.option("-y", "--years", type=click.FloatRange(0), default=10.0, help="Years of history.")
def command(
    four_bytes: int,
    eight_bytes: int,
    days: int,
    hours: float,
    symbols: int,
    timeframe: str,
    years: float,
) -> None:
    """Estimate the disk that bars take, with the flags of `marketstore estimate`."""
    slot_ns = Timeframe.parse(timeframe).duration_ns
    # A bar of a day or longer is one, however short the day.
    a_year = days * min(max(hours * _HOUR_NS / slot_ns, 1.0), _DAY_HOURS * _HOUR_NS / slot_ns)
    rows = round(symbols * years * a_year)
    row_bytes = _TIME_BYTES + 4 * four_bytes + 8 * eight_bytes
    low, high = (_size(rows * each * (four_bytes + eight_bytes)) for each in _PACKED_BYTES)
    click.echo(
        f"{symbols} symbols x {years:g} years of {timeframe}: {rows:,} rows, about {low} to {high} "
        f"packed ({_size(rows * row_bytes)} before compaction)"
    )


def _size(octets: float) -> str:
    unit = 0
    while octets >= 1000 and unit < len(_UNITS) - 1:
        octets /= 1000
        unit += 1
    return f"{octets:.3g} {_UNITS[unit]}"
