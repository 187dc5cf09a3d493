"""What the workloads of a run share."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from benchmarks.years import Years

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


@dataclass
class Session:
    """A run of the benchmarks.

    Attributes:
        quick: only as much work as shows that everything runs.
        root: an existing, empty directory for all data.
        flat_files: real data in the vendor's layout, if there are any.
    """

    quick: bool
    root: Path
    flat_files: Path | None = None

    def pick(self, quick: T, full: T) -> T:
        """One of two sizes."""
        return quick if self.quick else full

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty directory that is gone after the block."""
        with TemporaryDirectory(dir=self.root) as path:
            yield Path(path)

    @cached_property
    def years(self) -> Years:
        """A year of bars in every store; loaded by the workload that asks first."""
        folder = self.root / "years"
        folder.mkdir()
        return Years(folder, self.pick(2, 100))
