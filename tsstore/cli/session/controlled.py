r"""`\load` of the session: a CSV file into a bucket that is there, as a control file says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.cli.csvcells import NotReadQuicklyError
from tsstore.cli.csvquick import read_quickly
from tsstore.cli.csvslow import open_csv, read_slowly
from tsstore.cli.load import Loading, Source
from tsstore.cli.session.control import WITHOUT_FILE, Places, place_columns, read_control
from tsstore.cli.session.timecells import BadTimeError, GoTimes, Timestamps, time_format
from tsstore.cli.tablefile import TEXT, Layout, Piece, Symbols
from tsstore.errors import InvalidArgumentError
from tsstore.zones import zone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from tsstore.cli.csvcells import Batch
    from tsstore.cli.load import Loaded
    from tsstore.cli.session.control import Control
    from tsstore.client import RemoteStore
    from tsstore.schema import Schema
    from tsstore.store import Store


def load(store: Store | RemoteStore, key: str, path: Path, control: Path | None) -> Loaded:
    """Write the rows of a file to a bucket that is there, in large pieces.

    Args:
        store: where to.
        key: the bucket; its kind and columns stay what they are.
        path: the CSV file, plain or .gz.
        control: how to read it; None for MarketStore's defaults.

    Raises:
        NotFoundError: no such bucket.
        InvalidArgumentError: columns or cells that cannot be right, with file, line and column; how
            many rows were written before is told.
        StorageError: the file cannot be read, or the disk refused.
    """
    schema = store.info(key).schema
    table = ControlledCsv(path, WITHOUT_FILE if control is None else read_control(control), schema)
    return Loading(store, Source(path, key), schema, may_replace=True).run(table.pieces())


class ControlledCsv:
    """A CSV file that is read as a control file says.

    Args:
        path: where it is.
        control: how to read it.
        schema: of the bucket.

    Raises:
        InvalidArgumentError: it is empty, or names, zone or format cannot be right.
        StorageError: it cannot be read.
    """

    def __init__(self, path: Path, control: Control, schema: Schema) -> None:
        self._path = path
        self._schema = schema
        self._tz = control.time_zone
        self._header_rows = int(control.first_row_has_column_names)
        zone(self._tz)
        with open_csv(path) as file:
            rows = file.rows()
            first: list[str] = next(rows, [])
            data = next(rows, []) if control.first_row_has_column_names else first
        if not first:
            raise InvalidArgumentError(f"{path} begins with an empty line or is empty")
        self._places: Places = place_columns(str(path), control, first, schema)
        self._types = {name: schema.dtypes.get(name, TEXT) for name in self._places.names}
        self._format = self._settled(time_format(control.time_format), data)

    def _settled(self, layout: GoTimes | Timestamps, row: list[str]) -> GoTimes | Timestamps:
        if len(row) != len(self._places.names):  # no rows, or one that the reader complains about
            return layout
        cells = [row[self._places.names.index(name)] for name in self._places.times]
        try:
            return layout.settled(" ".join(cells))
        except BadTimeError as error:
            line = 1 + self._header_rows
            raise InvalidArgumentError(f"{self._where(line)}: {error}") from None

    def pieces(self) -> Iterator[Piece]:
        """The rows, in order.

        Raises:
            InvalidArgumentError: a cell that cannot be right.
        """
        done = 0
        try:
            wanted, header_rows = self._places.wanted, self._header_rows
            quickly = read_quickly(
                self._path, self._types, Layout(), wanted, header_rows=header_rows
            )
            for batch in quickly:
                piece = self._piece(batch)
                done += len(piece)
                yield piece
        except NotReadQuicklyError:
            slowly = read_slowly(self._path, self._types, done, header_rows=self._header_rows)
            yield from map(self._piece, slowly)

    def _piece(self, batch: Batch) -> Piece:
        names, codes = self._time_texts(batch)
        try:
            times = self._format.read(names, self._tz)[codes].view("M8[ns]")
        except BadTimeError as error:
            if batch.lines is None:  # the slow reader knows the line
                raise NotReadQuicklyError(None) from None
            line = batch.lines[int(np.argmax(codes == error.at))]
            raise InvalidArgumentError(f"{self._where(line)}: {error}") from None
        table: dict[str, NDArray[Any]] = {"Epoch": times}
        for name in self._schema.names:
            table[name] = _written_out(batch.columns[name])
        return Piece(table, batch.fraction)

    def _time_texts(self, batch: Batch) -> tuple[list[str], NDArray[np.integer[Any]]]:
        """Different texts of the time, and which one each row has."""
        columns = [batch.columns[name] for name in self._places.times]
        if len(columns) == 1:
            return columns[0].names, columns[0].codes
        dates, times = columns
        pairs = dates.codes.astype(np.int64) * max(1, len(times.names)) + times.codes
        different, codes = np.unique(pairs, return_inverse=True)
        texts = [
            f"{dates.names[at // len(times.names)]} {times.names[at % len(times.names)]}"
            for at in different.tolist()
        ]
        return texts, codes

    def _where(self, line: int) -> str:
        return f"{self._path}, line {line}, column {'+'.join(self._places.times)}"


def _written_out(values: Any) -> NDArray[Any]:
    if not isinstance(values, Symbols):
        return np.asarray(values)
    return np.array(values.names, str)[values.codes] if values.names else np.empty(0, "U1")
