"""CSV files whose columns are the fields of a `*Row` class of `records`: written, read, and checked.

Missing is an empty cell, booleans are `true` and `false`, floats stand with at most six decimals, the
encoding is UTF-8 and every line ends with LF. Reading gives a DataFrame with one column a field: `int`
as int64 (Int64 where it may be missing), `float` as float64 with NaN for missing, the rest as str and
bool. A file that says anything else is refused, with file, line, column and what was expected: figures
computed from half a file look like figures. A file of an earlier schema version lacks the columns that came
later (metadata `since` of the field), all of them, and reads as if they were empty.
"""

import csv
import dataclasses
import io
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd

from bench import quick_csv
from bench.errors import RunFolderError
from bench.records import SCHEMA_VERSION

SIGNED_COLUMNS = frozenset(
    {"bin_start_s", "t_s", "planned_s", "invoked_s", "completed_s", "value"}
    | {"injected_s", "impact_s", "detected_s", "first_success_s", "restored_s", "caught_up_s"}
    | {"redundant_s", "at_s"}
    | {"slope_s", "slope_lower_s", "slope_upper_s", "at_zero_s"}
)
"""Columns whose numbers may be below zero; a negative number anywhere else is refused."""

Row = TypeVar("Row")

_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its type, whether its cells may be empty, and the words it may hold (None: any).

    Files of schema versions before `since` lack it.
    """

    name: str
    kind: type
    optional: bool
    words: frozenset[str] | None
    since: int = 1

    @property
    def expected(self) -> str:
        """What a cell of it holds, in words."""
        if self.words is not None:
            what = "one of " + ", ".join(sorted(self.words))
        else:
            what = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[self.kind]
            if self.kind in (int, float) and self.name not in SIGNED_COLUMNS:
                what += ", not negative"
        return f"{what}, or nothing" if self.optional else what


def columns(row_class: type) -> tuple[Column, ...]:
    """The columns of a row class, in order."""
    hints = typing.get_type_hints(row_class)
    return tuple(
        replace(_column(field.name, hints[field.name]), since=field.metadata.get("since", 1))
        for field in dataclasses.fields(row_class)
    )


def _column(name: str, hint: Any) -> Column:
    union = typing.get_origin(hint) in (types.UnionType, typing.Union)  # the latter is Literal | None
    parts = typing.get_args(hint) if union else (hint,)
    given = [part for part in parts if part is not type(None)]
    optional = len(given) < len(parts)
    (kind,) = given
    if typing.get_origin(kind) is Literal:
        return Column(name, str, optional, frozenset(typing.get_args(kind)))
    return Column(name, kind, optional, None)


def to_csv(row_class: type, rows: Iterable[Any], *, header: bool = True) -> str:
    """The rows as CSV text; `header` False gives the lines to append to a file that has one."""
    out = io.StringIO()
    names = [column.name for column in columns(row_class)]
    writer = csv.writer(out, lineterminator="\n")
    if header:
        writer.writerow(names)
    writer.writerows([_cell(getattr(row, name)) for name in names] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)):
        if not np.isfinite(value):
            raise ValueError(f"{value} is no figure: a missing one is None")
        return repr(round(float(value), 6) + 0.0)  # + 0.0 turns -0.0 into 0.0
    # A line break inside a cell would be legal CSV and break every line-based tool.
    return " ".join(str(value).replace("\0", " ").splitlines())


def from_csv(row_class: type, data: bytes, where: str, *, schema_version: int | None = None) -> pd.DataFrame:
    """The file's rows; `where` names the file in what RunFolderError says.

    Columns that came after `schema_version` are missing throughout; without one it is the version that
    the header is of, the latest that fits.
    """
    every = columns(row_class)
    if schema_version is None or all(column.since <= schema_version for column in every):
        quick = quick_csv.read(every, data, SIGNED_COLUMNS)
        if quick is not None:
            return quick
    records = _records(data, where)
    version = _version(every, records[0]) if schema_version is None else schema_version
    table = _frame([c for c in every if c.since <= version], records, where)
    for column in every:
        if column.since > version:
            table[column.name] = _values(column, [""] * len(table), where)
    return table[[column.name for column in every]]


def header(data: bytes, where: str) -> tuple[str, ...]:
    """The names in a file's first line; raises RunFolderError where it is none of CSV."""
    first, end, _ = data.partition(b"\n")
    return tuple(name.removeprefix("\ufeff") for name in _records(first + end, where)[0])


def frame(row_class: type, rows: Iterable[Any]) -> pd.DataFrame:
    """The DataFrame that reading the rows back from a file gives."""
    return from_csv(row_class, to_csv(row_class, rows).encode(), row_class.__name__)


def read_rows(row_class: type[Row], data: bytes, where: str) -> list[Row]:
    """The file's rows as the frozen values they were written from; checked as `from_csv` does."""
    table = from_csv(row_class, data, where)
    return [
        row_class(*(None if pd.isna(cell) else cell for cell in row))
        for row in table.astype(object).itertuples(index=False, name=None)
    ]


def _records(data: bytes, where: str) -> list[list[str]]:
    """All lines' cells, the header's first."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RunFolderError(
            f"{where}: line {line}: byte {data[error.start]:#04x} is not UTF-8: expected a CSV file in UTF-8"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise RunFolderError(f"{where}: line {line}: a zero byte: expected a CSV file, this one is binary")
    if not text:
        raise RunFolderError(f"{where}: line 1: the file is empty: expected a header")
    if not text.endswith("\n"):
        line = text.count("\n") + 1
        raise RunFolderError(f"{where}: line {line}: cut off: expected a line end after the last row")
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        return list(reader)
    except csv.Error as error:
        raise RunFolderError(f"{where}: line {reader.line_num}: {error}: expected CSV") from error


def _frame(expected: Sequence[Column], records: list[list[str]], where: str) -> pd.DataFrame:
    header, rows = [name.removeprefix("\ufeff") for name in records[0]], records[1:]
    names = [column.name for column in expected]
    missing = [name for name in names if name not in header]
    surplus = [name for name in header if name not in names]
    if missing or surplus or len(header) != len(names):
        said = [f"column {name!r} is missing" for name in missing]
        said += [
            f"column {name[:60]!r} is not known up to schema version {SCHEMA_VERSION}" for name in surplus
        ]
        said += ["a column stands there twice"]
        raise RunFolderError(f"{where}: line 1: {said[0]}: expected {','.join(names)}")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise RunFolderError(f"{where}: line {number}: {len(row)} cells: expected {len(header)}")
    cells = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ())
    return pd.DataFrame({column.name: _values(column, cells[column.name], where) for column in expected})


def _version(every: Sequence[Column], header: Sequence[str]) -> int:
    """The schema version of a file with this header; the current one where it is of none."""
    names = set(header)
    for version in range(SCHEMA_VERSION, 0, -1):
        known = {column.name for column in every if column.since <= version}
        if known <= names and not any(column.name in names for column in every if column.since > version):
            return version
    return SCHEMA_VERSION


def _values(column: Column, cells: Sequence[str], where: str) -> Any:
    """One column's cells as an array; the quick way first, and by cell only to find the bad one."""
    try:
        if column.kind is str:
            allowed = column.words if column.words is None or not column.optional else column.words | {""}
            if allowed is not None and not set(cells) <= allowed:
                raise ValueError
            return pd.array(list(cells), dtype="str")
        if column.kind is bool:
            return np.array([_TRUTH[cell] for cell in cells], dtype=np.bool_)
        if column.kind is int and not column.optional:
            whole = np.array(list(map(int, cells)), dtype=np.int64)
            _check_sign(column, whole)
            return whole
        if not column.optional and "" in cells:
            raise ValueError
        numbers = np.array([cell or "nan" for cell in cells], dtype=np.float64)
        if int(np.isfinite(numbers).sum()) != sum(map(bool, cells)):  # "nan" and "inf" are no figures
            raise ValueError
        _check_sign(column, numbers[np.isfinite(numbers)])
        if column.kind is int:
            return pd.array([int(cell) if cell else pd.NA for cell in cells], dtype="Int64")
        return numbers
    except (ValueError, KeyError, OverflowError) as error:
        if len(cells) > 1:
            for number, cell in enumerate(cells, start=2):
                _values_of_one(column, cell, f"{where}: line {number}")
        line = "" if "line " in where.rpartition(":")[2] else ": line 2"
        got = repr(cells[0][:60]) if cells[0] else "nothing"
        raise RunFolderError(
            f"{where}{line}: column {column.name!r}: expected {column.expected}, got {got}"
        ) from error


def _values_of_one(column: Column, cell: str, where: str) -> None:
    _values(column, (cell,), where)


def _check_sign(column: Column, numbers: np.ndarray[Any, Any]) -> None:
    if column.name not in SIGNED_COLUMNS and numbers.size and numbers.min() < 0:
        raise ValueError
