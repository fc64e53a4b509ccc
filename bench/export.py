"""A run's tables as files for other tools: CSV, Parquet or JSON, the run's name in the first column of each.

Types are kept: whole numbers stay whole where some are missing, and what is missing is empty in CSV and
null in the others. JSON is an array of objects, a row each. Since every row names its run,
`pd.concat(map(pd.read_parquet, paths))` joins the same table of several runs.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from bench.errors import UserError
from bench.results import RunFolder

Form = Literal["csv", "parquet", "json"]
FORMS: Sequence[Form] = get_args(Form)


def tables_of(folder: RunFolder, only: Sequence[str] = ()) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each table the folder holds, by its file's name without `.csv`; those of `only`, where it names any.

    Raises UserError for a name that the folder has no table of, RunFolderError for a file that is not sound.
    """
    there = folder.tables()
    missing = [name for name in only if name not in there]
    if missing or not there:
        raise UserError(
            f"{folder.path}: no table {missing[0] if missing else 'at all'}: "
            f"it has {', '.join(there) or 'measured nothing'}"
        )
    for name in only or there:
        table = folder.table(name)
        table.insert(0, "run", folder.path.name)
        yield name, table


def encoded(table: pd.DataFrame, form: Form) -> bytes:
    """The table as a file of that form."""
    if form == "parquet":
        return bytes(table.to_parquet(index=False, engine="pyarrow"))
    if form == "json":
        text = str(table.to_json(orient="records", indent=1, double_precision=15)) + "\n"
        return text.encode()
    words = {str(name): table[name].map({True: "true", False: "false"}) for name in table.select_dtypes(bool)}
    return table.assign(**words).to_csv(index=False, lineterminator="\n").encode()


def write_tables(folder: RunFolder, form: Form, to: Path, only: Sequence[str] = ()) -> list[Path]:
    """Write the tables into the new folder `to`; raises UserError where there is one already."""
    chosen = list(tables_of(folder, only))
    try:
        to.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{to}: {error.strerror}: expected the name of a folder to make (--to)") from error
    written = []
    for name, table in chosen:
        path = to / f"{name}.{form}"
        path.write_bytes(encoded(table, form))
        written.append(path)
    return written
