"""Exports are read back by other tools with the types and the rows they had."""

import io
from pathlib import Path

import pandas as pd
import pytest

from bench.errors import UserError
from bench.export import FORMS, Form, encoded, tables_of, write_tables
from bench.results import RunFolder
from tests.unit.saved import analysed, small


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return analysed(tmp_path_factory.mktemp("results"), small(injected_s=(1.5,)))


def read(data: bytes, form: Form) -> pd.DataFrame:
    if form == "csv":
        return pd.read_csv(io.BytesIO(data), keep_default_na=True)
    return pd.read_json(io.BytesIO(data)) if form == "json" else pd.read_parquet(io.BytesIO(data))


@pytest.mark.parametrize("form", FORMS)
def test_every_table_comes_back_with_the_runs_name(folder: RunFolder, form: Form) -> None:
    names = []
    for name, table in tables_of(folder):
        back = read(encoded(table, form), form)
        assert list(back.columns) == (list(table.columns) if len(table) or form != "json" else []), name
        assert len(back) == len(table)
        assert back.empty or set(back["run"]) == {folder.path.name}
        names.append(name)
    assert {"timeline", "summary", "recovery", "trials", "audit"} <= set(names)


def test_parquet_keeps_types_where_a_value_is_missing(folder: RunFolder) -> None:
    ((_, recovery),) = tables_of(folder, ["recovery"])
    back = read(encoded(recovery, "parquet"), "parquet")
    assert (str(back["relapses"].dtype), str(back["injected_s"].dtype)) == ("Int64", "float64")
    ((_, audit),) = tables_of(folder, ["audit"])
    assert b",true,complete," in encoded(audit, "csv")


def test_missing_is_null_in_json_and_figures_are_whole(folder: RunFolder) -> None:
    ((_, summary),) = tables_of(folder, ["summary"])
    text = encoded(summary, "json").decode()
    assert '"value":null' in text
    assert "NaN" not in text
    assert read(text.encode(), "json")["value"].dropna().tolist() == summary["value"].dropna().tolist()


def test_files_go_to_a_new_folder_and_never_over_another(folder: RunFolder, tmp_path: Path) -> None:
    written = write_tables(folder, "csv", tmp_path / "out", ["summary", "audit"])
    assert [path.name for path in written] == ["summary.csv", "audit.csv"]
    with pytest.raises(UserError, match="File exists: expected the name of a folder to make"):
        write_tables(folder, "csv", tmp_path / "out")


def test_a_table_that_is_not_there_is_named_with_those_that_are(folder: RunFolder) -> None:
    with pytest.raises(UserError, match="no table latency: it has timeline, faults"):
        list(tables_of(folder, ["latency"]))
