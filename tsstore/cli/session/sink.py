"""Where the results of a session go: standard output, or a file."""

from __future__ import annotations

from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_STYLES = {".csv": "csv", ".json": "json"}


class Sink:
    """Where results go.

    Attributes:
        style: how rows are printed there: `table`, `csv` or `json`, by the end of a file's name.
    """

    def __init__(self) -> None:
        self.style = "table"
        self._file: TextIO | None = None

    def use(self, path: str | None) -> None:
        """Write to that file from now on, which is emptied; None: to standard output.

        Raises:
            OSError: the file cannot be written; results go where they went.
        """
        file = None if path is None else Path(path).open("w", encoding="utf-8")  # noqa: SIM115
        self.close()
        self._file = file
        self.style = "table" if path is None else _STYLES.get(Path(path).suffix.lower(), "table")

    @contextmanager
    def open(self) -> Iterator[None]:
        """What is printed meanwhile goes there, and is there when this ends."""
        if self._file is None:
            yield
            return
        with redirect_stdout(self._file):
            yield
        self._file.flush()

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()
            self._file = None
