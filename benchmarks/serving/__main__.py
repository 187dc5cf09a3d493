"""`python -m benchmarks.serving [--only S1,S7] [--quick] [--json FILE] [--markdown FILE]`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from benchmarks.report import dump
from benchmarks.serving import measure, report
from benchmarks.session import Session

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def _chosen(_context: click.Context, _param: click.Parameter, text: str) -> list[str]:
    wanted = {name.strip().upper() for name in text.split(",")}
    for name in sorted(wanted - set(measure.NAMES)):
        raise click.BadParameter(f"there is no {name}; there are {', '.join(measure.NAMES)}")
    return sorted(wanted)


@click.command(context_settings={"show_default": True})
@click.option("--only", default=",".join(measure.NAMES), callback=_chosen, help="Which workloads.")
@click.option("--quick", is_flag=True, help="Little work, to see that everything runs.")
@click.option("--json", "json_file", type=_FILE, help="Everything measured.")
@click.option("--markdown", "markdown_file", type=_FILE, help="The tables.")
@click.option(
    "--dir",
    "parent",
    default=".",
    type=_FOLDER,
    help="Where a temporary directory for the data is made; the disk that is measured.",
)
def main(
    only: list[str],
    quick: bool,
    json_file: Path | None,
    markdown_file: Path | None,
    parent: Path,
) -> None:
    """Measure a server with 1, 8 and 64 clients, and with 1,000 subscribers."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=parent) as folder:
        found = measure.run(Session(quick, Path(folder).resolve()), only)
    report.show(found)
    if json_file is not None:
        json_file.write_text(dump(report.as_json(found, quick=quick)))
    if markdown_file is not None:
        markdown_file.write_text(report.markdown(found))


if __name__ == "__main__":
    main()
