"""What a repair says it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsstore.storage.places import Place

MAY_BE_BACK = "its rows are lost, and older ones that they replaced or deleted may be back"


@dataclass
class RepairReport:
    """What a repair found, saved and lost.

    Attributes:
        aside: directory with the files that were damaged or stopped to count; empty if none.
        files: their names.
        manifest: the file that says since then what the store is; empty if nothing was changed.
        rows_saved: rows of damaged segments that are in new ones, and rows of the log.
        lost: rows that could not be read.
        hidden: rows that are left out because lost rows may have replaced them.
        notes: what else should be known, one line each.
    """

    aside: str = ""
    files: list[str] = field(default_factory=list)
    manifest: str = ""
    rows_saved: int = 0
    lost: list[Place] = field(default_factory=list)
    hidden: list[Place] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def rows_lost(self) -> int:
        """How many rows could not be read."""
        return sum(place.rows for place in self.lost)
