"""docs/csv.md describes every column, its pandas lines run, and files of every schema version are read."""

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bench.errors import RunFolderError
from bench.records import SCHEMA_VERSION
from bench.results import TABLES
from bench.tables import columns, from_csv, read_rows, to_csv
from tests.unit.saved import analysed, small

PAGE = Path("docs/csv.md").read_text()


def section(name: str) -> str:
    found = re.search(rf"^### {re.escape(name)}\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"{name} has no section"
    return found[1]


@pytest.mark.parametrize("name", TABLES)
def test_every_column_is_described(name: str) -> None:
    described = {word for row in section(name).splitlines() if row.startswith("| `")
                 for word in re.findall(r"`(\w+)`", row.split("|")[1])}  # fmt: skip
    assert [column.name for column in columns(TABLES[name]) if column.name not in described] == []


def test_every_version_has_its_line() -> None:
    for version in range(1, SCHEMA_VERSION + 1):
        assert re.search(rf"^\| {version} \|", PAGE, re.MULTILINE)


def test_the_pandas_lines_run_on_a_folder(tmp_path: Path) -> None:
    folder = analysed(tmp_path, small(2, injected_s=(1.5,)))
    (shown,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    for statement in ast.parse(shown.replace("results/RUN", str(folder.path))).body:
        if isinstance(statement, ast.Expr):
            found = eval(compile(ast.Expression(statement.value), "csv.md", "eval"), names)
            assert len(found) > 0, ast.unparse(statement)
        else:
            exec(compile(ast.Module([statement], []), "csv.md", "exec"), names)


@dataclass(frozen=True, slots=True)
class Grown:
    """A table that grew twice."""

    trial: int
    people: int | None = field(metadata={"since": 3})
    seconds_s: float
    word: str = field(metadata={"since": 2})
    share_ratio: float | None = field(metadata={"since": 3})


def test_a_file_of_an_earlier_version_reads_as_if_the_later_columns_were_empty() -> None:
    now = to_csv(Grown, [Grown(1, 3, 2.5, "x", 0.5)]).encode()
    assert from_csv(Grown, now, "x.csv")["people"].tolist() == [3]
    first = from_csv(Grown, b"trial,seconds_s\n1,2.5\n", "x.csv")
    assert list(first.columns) == [column.name for column in columns(Grown)]
    assert first["word"].tolist() == [""]
    assert first["people"].isna().all()
    assert read_rows(Grown, b"trial,seconds_s\n1,2.5\n", "x.csv") == [Grown(1, None, 2.5, "", None)]
    second = from_csv(Grown, b"trial,seconds_s,word\n1,2.5,y\n", "x.csv")
    assert second["word"].tolist() == ["y"]
    assert second["share_ratio"].isna().all()


@pytest.mark.parametrize(
    "header", ["trial,seconds_s,word,people", "trial,seconds_s,people,share_ratio", "seconds_s"]
)
def test_a_file_of_no_version_is_refused(header: str) -> None:
    with pytest.raises(RunFolderError, match="line 1: column '.*' is missing"):
        from_csv(Grown, f"{header}\n".encode(), "x.csv")
