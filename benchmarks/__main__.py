"""`python -m benchmarks [--only P2,P5] [--quick] [--json FILE] [--markdown FILE]`."""

from __future__ import annotations

import tempfile
import traceback
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks import report
from benchmarks.harness import Scale, load_average

if TYPE_CHECKING:
    from benchmarks.harness import Line

WORKLOADS = {
    "P2": "p2_durable_append",
    "P3": "p3_ticks",
    "P4": "p4_range_read",
    "P5": "p5_last_rows",
    "P10": "p10_cold_start",
    "P12": "p12_firehose",
}


def _chosen(_context: click.Context, _param: click.Parameter, text: str) -> list[str]:
    wanted = [name.strip().upper() for name in text.split(",")]
    for name in wanted:
        if name not in WORKLOADS:
            raise click.BadParameter(f"there is no {name}; there are {', '.join(WORKLOADS)}")
    return wanted


@click.command(context_settings={"show_default": True})
@click.option("--only", default=",".join(WORKLOADS), callback=_chosen, help="Which workloads.")
@click.option("--quick", is_flag=True, help="Little work, to see that everything runs.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Everything measured.")
@click.option("--markdown", "markdown_file", type=click.Path(path_type=Path), help="The table.")
@click.option(
    "--dir",
    "parent",
    default=".",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where a temporary directory for the data is made; the disk that is measured.",
)
def main(
    only: list[str],
    quick: bool,
    json_file: Path | None,
    markdown_file: Path | None,
    parent: Path,
) -> None:
    """Measure tsstore and its peers on the same data, in turns, and compare them."""
    lines: list[Line] = []
    loads: dict[str, tuple[float, float]] = {}
    failed: list[str] = []
    for name in only:
        before = load_average()
        try:
            lines += _measure(name, quick, parent)
        except Exception:  # noqa: BLE001  (what the others measured took minutes)
            failed.append(name)
            click.echo(traceback.format_exc(), err=True)
        loads[name] = before, load_average()
        click.echo(f"{name}: load {before:.1f} before and {loads[name][1]:.1f} after", err=True)
    report.show(lines)
    if json_file is not None:
        json_file.write_text(report.as_json(lines, quick=quick, load=loads))
    if markdown_file is not None:
        markdown_file.write_text(report.markdown(lines))
    if failed:
        raise click.ClickException(f"failed: {', '.join(failed)}")


def _measure(name: str, quick: bool, parent: Path) -> list[Line]:
    module = import_module(f"benchmarks.{WORKLOADS[name]}")
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=parent) as folder:
        lines: list[Line] = module.run(Scale(quick, Path(folder).resolve()))
    return lines


if __name__ == "__main__":
    main()
