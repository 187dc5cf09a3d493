"""`python -m benchmarks [--only P2,P5] [--quick] [--growth] [--json FILE] [--svg FILE] ...`."""

from __future__ import annotations

import tempfile
import traceback
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks import growth, growth_report, report, svg
from benchmarks.harness import load_average
from benchmarks.session import Session

if TYPE_CHECKING:
    from benchmarks.harness import Line

#: In this order: P8 rewrites a part of what P4 to P7 read.
WORKLOADS = {
    "P1": "p1_bulk_load",
    "P2": "p2_durable_append",
    "P3": "p3_ticks",
    "P4": "p4_range_read",
    "P5": "p5_last_rows",
    "P6": "p6_cross_section",
    "P7": "p7_resample",
    "P8": "p8_upsert",
    "P9": "p9_flat_files",
    "P10": "p10_cold_start",
    "P11": "p11_bytes",
    "P12": "p12_firehose",
    "P13": "p13_latency",
    "P14": "p14_recovery",
    "P15": "p15_backfill",
}
_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def _chosen(_context: click.Context, _param: click.Parameter, text: str) -> list[str]:
    wanted = {name.strip().upper() for name in text.split(",")}
    for name in sorted(wanted - WORKLOADS.keys()):
        raise click.BadParameter(f"there is no {name}; there are {', '.join(WORKLOADS)}")
    return [name for name in WORKLOADS if name in wanted]


@click.command(context_settings={"show_default": True})
@click.option("--only", default=",".join(WORKLOADS), callback=_chosen, help="Which workloads.")
@click.option("--growth", "grows", is_flag=True, help="How cost grows with data, and no peers.")
@click.option("--quick", is_flag=True, help="Little work, to see that everything runs.")
@click.option("--json", "json_file", type=_FILE, help="Everything measured.")
@click.option("--markdown", "markdown_file", type=_FILE, help="The table.")
@click.option("--svg", "svg_file", type=_FILE, help="A picture of the ratios.")
@click.option("--data", type=_FOLDER, help="Real flat files in the vendor's layout, for P11.")
@click.option(
    "--dir",
    "parent",
    default=".",
    type=_FOLDER,
    help="Where a temporary directory for the data is made; the disk that is measured.",
)
def main(
    only: list[str],
    grows: bool,
    quick: bool,
    json_file: Path | None,
    markdown_file: Path | None,
    svg_file: Path | None,
    data: Path | None,
    parent: Path,
) -> None:
    """Measure tsstore and its peers on the same data, in turns, and compare them."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=parent) as folder:
        session = Session(quick, Path(folder).resolve(), data)
        if grows:
            _grow(session, json_file, markdown_file)
            return
        lines, loads, failed = _measure(session, only)
    found = report.as_json(lines, loads, quick=quick)
    report.show(lines, loads)
    _write(json_file, report.dump(found))
    _write(markdown_file, report.markdown(lines, loads))
    _write(svg_file, svg.draw(found))
    if failed:
        raise click.ClickException(f"failed: {', '.join(failed)}")


def _measure(
    session: Session, only: list[str]
) -> tuple[list[Line], dict[str, tuple[float, float]], list[str]]:
    """The lines, the load of the machine before and after each workload, and what failed."""
    lines: list[Line] = []
    loads: dict[str, tuple[float, float]] = {}
    failed: list[str] = []
    for name in only:
        before = load_average()
        try:
            lines += import_module(f"benchmarks.{WORKLOADS[name]}").run(session)
        except Exception:  # noqa: BLE001  (what the others measured took minutes)
            failed.append(name)
            click.echo(traceback.format_exc(), err=True)
        loads[name] = before, load_average()
        click.echo(f"{name}: load {before:.1f} before and {loads[name][1]:.1f} after", err=True)
    return lines, loads, failed


def _grow(session: Session, json_file: Path | None, markdown_file: Path | None) -> None:
    tables = growth.run(session)
    growth_report.show(tables)
    _write(json_file, report.dump(growth_report.as_json(tables, quick=session.quick)))
    _write(markdown_file, growth_report.markdown(tables))


def _write(file: Path | None, text: str) -> None:
    if file is not None:
        file.write_text(text)


if __name__ == "__main__":
    main()
