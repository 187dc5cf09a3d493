"""What a statement cannot do: reach files, the network or the program, change anything, or last."""

from __future__ import annotations

import pandas as pd
import pytest

from tsstore.errors import InvalidArgumentError, TsStoreError

SECRET = "the-secret-of-the-caller"


@pytest.fixture
def planted(tmp_path):
    """A file that must not be read, and a place where nothing may appear."""
    (tmp_path / "secret.csv").write_text(f"a\n{SECRET}\n")
    return tmp_path


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('{dir}/secret.csv')",
        "SELECT * FROM read_csv_auto('{dir}/secret.csv')",
        "SELECT * FROM read_text('{dir}/secret.csv')",
        "SELECT * FROM read_blob('{dir}/secret.csv')",
        "SELECT * FROM read_json('{dir}/secret.csv')",
        "SELECT * FROM read_parquet('{dir}/secret.csv')",
        "SELECT * FROM parquet_metadata('{dir}/secret.csv')",
        "SELECT * FROM sniff_csv('{dir}/secret.csv')",
        "SELECT * FROM glob('{dir}/*')",
        "SELECT * FROM '{dir}/secret.csv'",
        'SELECT * FROM "{dir}/secret.csv"',
        "SELECT * FROM read_csv('http://127.0.0.1:1/x')",
        "SELECT * FROM query('SELECT * FROM read_text(''{dir}/secret.csv'')')",
        "SELECT * FROM query_table('{dir}/secret.csv')",
        "WITH x AS (SELECT * FROM read_text('{dir}/secret.csv')) SELECT * FROM x",
        "EXPLAIN ANALYZE SELECT * FROM read_text('{dir}/secret.csv')",
        "DESCRIBE SELECT * FROM read_text('{dir}/secret.csv')",
        "SUMMARIZE SELECT * FROM read_text('{dir}/secret.csv')",
        "SELECT getenv('HOME')",
        "SELECT * FROM secret",
        "SELECT * FROM planted",
        "SELECT * FROM SECRET",
        "COPY (SELECT 1) TO '{dir}/out.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{dir}/out.csv'",
        "EXPORT DATABASE '{dir}/out'",
        "IMPORT DATABASE '{dir}'",
        "ATTACH '{dir}/out.db'",
        "ATTACH ':memory:' AS other",
        "DETACH memory",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA database_list",
        "SET threads = 1",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "SET VARIABLE x = 1",
        "CREATE TABLE x AS SELECT 1",
        "CREATE TEMP VIEW x AS SELECT 1",
        "CREATE MACRO x() AS 1",
        "CREATE SECRET x (TYPE S3)",
        "DROP VIEW x",
        "DELETE FROM x",
        "UPDATE x SET a = 1",
        "INSERT INTO `A/1Min/B` SELECT * FROM `C/1Min/B`",
        "INSERT INTO x VALUES (1) RETURNING *",
        "MERGE INTO x USING y ON true WHEN MATCHED THEN DELETE",
        "WITH x AS (SELECT 1) INSERT INTO y SELECT * FROM x",
        "CALL pragma_version()",
        "CHECKPOINT",
        "VACUUM",
        "ANALYZE",
        "BEGIN",
        "COMMIT",
        "USE memory",
        "PREPARE x AS SELECT 1",
        "EXECUTE x",
        "COMMENT ON TABLE x IS 'y'",
        "ALTER TABLE x ADD COLUMN y INTEGER",
        "SELECT 1; COPY (SELECT 1) TO '{dir}/out.csv'",
        "EXPLAIN SELECT 1; COPY (SELECT 1) TO '{dir}/out.csv'",
    ],
)
def test_it_is_refused(filled, planted, statement) -> None:
    secret = [SECRET]  # a variable that DuckDB would find by its name
    before = sorted(planted.iterdir())
    with pytest.raises(TsStoreError) as raised:
        filled.sql(statement.format(dir=planted))
    assert SECRET not in str(raised.value)
    assert sorted(planted.iterdir()) == before
    assert secret
    assert filled.sql("SELECT 1 AS one")["one"].tolist() == [1]


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("COPY (SELECT 1) TO 'x'", "COPY is not served: SQL only reads here; write SELECT"),
        ("INSERT INTO x SELECT 1", r"store\.write\(\)"),
        ("EXPLAIN INSERT INTO x SELECT 1", r"store\.write\(\)"),
        ("PIVOT (SELECT 1 AS a) ON a", r"ON column IN \(\.\.\.\)"),
    ],
)
def test_it_is_said_why(filled, statement, text) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        filled.sql(statement)


def test_variables_of_the_program_are_no_tables(filled) -> None:
    frame = pd.DataFrame({"a": [SECRET]})
    with pytest.raises(InvalidArgumentError, match="frame does not exist"):
        filled.sql("SELECT * FROM query_table('frame')")
    assert len(frame) == 1


def test_nothing_of_one_statement_is_seen_by_another(filled) -> None:
    filled.sql('SELECT * FROM "AAPL/1Min/OHLCV" LIMIT 1')
    names = filled.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal")
    tables = filled.sql("SELECT table_name FROM duckdb_tables()")
    assert (len(names), len(tables)) == (0, 0)


def test_settings_are_what_they_should_be(filled) -> None:
    # As the connection of a statement has them, not only the one that they were made on.
    settings = dict(filled.sql("SELECT name, value FROM duckdb_settings()").rows())
    assert settings["python_enable_replacements"] == "false"
    assert settings["enable_external_access"] == "false"
    assert settings["lock_configuration"] == "true"
    assert settings["autoinstall_known_extensions"] == "false"
    assert settings["autoload_known_extensions"] == "false"
    assert settings["temp_directory"] == ""
    assert settings["TimeZone"] == "UTC"
