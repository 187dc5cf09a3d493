"""What can be wrong with a MarketStore directory."""

from __future__ import annotations

from tsstore.errors import CorruptionError


class DamagedFileError(CorruptionError):
    """A file is not what MarketStore writes.

    Attributes:
        path: the file.
        offset: where in it, in bytes.
        what: what was found there.
    """

    def __str__(self) -> str:
        return (
            f"{self.path} is damaged at byte {self.offset}: {self.what}; "
            "restore this file from a backup of the MarketStore directory"
        )
