"""Lines of a session as actions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsstore.cli.session import lines
from tsstore.cli.session.completion import candidates
from tsstore.cli.session.lines import STATEMENT_MAX, Statements, parse_line
from tsstore.errors import InvalidArgumentError, LimitExceededError
from tsstore.schema import Schema

KEY = "AAPL/1Min/OHLCV"


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


@pytest.mark.parametrize(
    ("words", "start", "end", "as_csv"),
    [
        (f"{KEY} 2024-01-02", "2024-01-02", None, False),
        (f"{KEY} 2024-01-02 2024-01-03T04:05", "2024-01-02", "2024-01-03T04:05", False),
        (f"{KEY} between 2024-01-02 AND 2024-01-03", "2024-01-02", "2024-01-03", False),
        (f"csv {KEY} 2024-01-02 2024-01-03", "2024-01-02", "2024-01-03", True),
        (f"between {KEY} 2024-01-02 CSV", "2024-01-02", None, True),
        (f"{KEY} 1704153600", "2024-01-02", None, False),
        (
            f"{KEY} '2024-01-02 03:04:05.5' \"2024-01-03Z\"",
            "2024-01-02T03:04:05.5",
            "2024-01-03",
            False,
        ),
        (f"{KEY}:Symbol/Timeframe/AttributeGroup 2024-01-02", "2024-01-02", None, False),
    ],
)
def test_show(words, start, end, as_csv) -> None:
    expected = lines.Show(KEY, ns(start), None if end is None else ns(end), as_csv)
    assert parse_line(f"\\show {words}") == expected


@pytest.mark.parametrize(
    ("line", "action"),
    [
        (f"\\load {KEY} a.csv", lines.Load(KEY, "a.csv", None)),
        (f"\\load {KEY} 'my file.csv' c.yaml", lines.Load(KEY, "my file.csv", "c.yaml")),
        (f"\\LOAD {KEY} back\\slash.csv", lines.Load(KEY, "back\\slash.csv", None)),
        (f"\\destroy {KEY}", lines.Destroy(KEY)),
        (f"\\getinfo\t{KEY}", lines.GetInfo(KEY)),
        (f"\\trim {KEY} 2024-01-02", lines.Trim(KEY, ns("2024-01-02"))),
        (f"\\gaps {KEY}", lines.Gaps(KEY, None, None)),
        ("\\o", lines.Output(None)),
        ("\\o x.csv", lines.Output("x.csv")),
        ("\\timing", lines.Timing()),
        ("SELECT 1", lines.Sql("SELECT 1")),
        ("help me", lines.Help()),
        *((word, lines.Help()) for word in ("\\help", "help", "\\?", "HELP;")),
        *((word, lines.Stop()) for word in ("\\stop", "\\quit", "\\q", "exit", "quit", "exit;")),
    ],
)
def test_commands(line, action) -> None:
    assert parse_line(line) == action


def test_create_with_the_types_of_the_reference() -> None:
    types = {
        "float32": "f4", "float64": "f8", "int16": "i2", "int32": "i4", "int64": "i8",
        "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8", "byte": "i1",
        "bool": "b1", "string16": "U16",
    }  # fmt: skip
    shapes = ":".join(f"{name}A,{name}B/{name}" for name in types)
    names = [(f"{name}{side}", short) for name, short in types.items() for side in "AB"]
    expected = lines.Create(KEY, Schema.of(names))
    assert parse_line(f"\\create {KEY} Epoch/int64:{shapes} fixed") == expected
    ticks = parse_line("\\create T/1Sec/TICK Epoch/epoch:Price/float64:Nanoseconds/int32 variable")
    assert ticks == lines.Create("T/1Sec/TICK", Schema.of({"Price": "f8"}, variable=True))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("\\show", r"write \\show KEY START"),
        (f"\\show {KEY}", r"write \\show KEY START"),
        (f"\\show {KEY} csv", "first instant"),
        (f"\\show {KEY} 2024-01-02 2024-01-03 2024-01-04", r"write \\show"),
        (f"\\show {KEY} 2024-01-03 2024-01-02", "exchange"),
        (f"\\show {KEY} yesterday", "is not a time"),
        (f"\\show {KEY} 9999-01-01", "not a time"),
        ("\\show AAPL 2024-01-02", "symbol/timeframe"),
        ("\\show ../x/1Min/../y 2024-01-02", "symbol/timeframe"),
        (f"\\show {KEY} '2024-01-02", "quotation mark"),
        ("\\destroy", r"write \\destroy KEY"),
        ("\\destroy */1Min/OHLCV", r"which no name may hold"),
        (f"\\destroy {KEY}\0", "control character"),
        (f"\\create {KEY} Open/float32", "write"),
        (f"\\create {KEY} Open/float99 fixed", "float99"),
        (f"\\create {KEY} Open fixed", "name/type"),
        (f"\\create {KEY} Open/float32 frozen", "neither fixed nor variable"),
        (f"\\create {KEY} Open,Open/float32 fixed", "twice"),
        ("\\feed", "no command"),
        ("\\shwo x", r"did you mean \\show"),
        ("\\", "no command"),
        ("exit now", "write"),
    ],
)
def test_what_is_wrong_is_said(line, message) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        parse_line(line)


@given(st.text(min_size=1).map(lambda text: "\\" + text) | st.text(min_size=1))
def test_any_line_is_an_action_or_an_error(line) -> None:
    try:
        action = parse_line(line)
    except InvalidArgumentError as error:
        assert str(error)
    else:
        assert isinstance(action, lines.Action)


NAMES = st.sampled_from([name for command in lines.COMMANDS for name in command.names])


@given(
    NAMES,
    st.lists(st.sampled_from([KEY, "2024-01-02", "csv", "'", '"', "a/b:c", "fixed", "\0", "and"])),
)
def test_any_arguments_are_an_action_or_an_error(name, words) -> None:
    try:
        action = parse_line(" ".join([name, *words]))
    except InvalidArgumentError as error:
        assert str(error)
    else:
        assert not isinstance(action, lines.Sql)


def fed_to(statements: Statements, texts: list[str]) -> list[str]:
    return [done for text in texts for done in statements.feed(text)] + statements.end()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["SELECT 1;"], ["SELECT 1;"]),
        (["SELECT 1"], ["SELECT 1"]),
        (["SELECT 1", "FROM x;", "SELECT 2;"], ["SELECT 1\nFROM x;", "SELECT 2;"]),
        (["SELECT 1", "", "SELECT 2"], ["SELECT 1", "SELECT 2"]),
        (["SELECT 1", "\\q", "SELECT 2"], ["SELECT 1", "\\q", "SELECT 2"]),
        (["SELECT ';", "';"], ["SELECT ';\n';"]),
        (["SELECT 'it''s;'", ";"], ["SELECT 'it''s;'\n;"]),
        (['SELECT ";"', ";"], ['SELECT ";"\n;']),
        (["SELECT 1; -- and; more"], ["SELECT 1; -- and; more"]),
        (["SELECT 1 -- not yet;", ";"], ["SELECT 1 -- not yet;\n;"]),
        (["SELECT 1; /* and;", "*/ -- more"], ["SELECT 1; /* and;\n*/ -- more"]),
        (["SELECT 1; /* and */ 'x'", ";"], ["SELECT 1; /* and */ 'x'\n;"]),
        (["SELECT `;` '--';"], ["SELECT `;` '--';"]),
        (["SELECT /* ;", "*/ 1;"], ["SELECT /* ;\n*/ 1;"]),
        (["help me", "SELECT", "exit", ";"], ["help me", "SELECT\nexit\n;"]),
        (["", "  ", "\t"], []),
    ],
)
def test_statements_end_where_they_end(typed, expected) -> None:
    assert fed_to(Statements(), typed) == expected


def test_a_statement_without_end_is_dropped_and_the_next_is_taken() -> None:
    statements = Statements()
    with pytest.raises(LimitExceededError, match="semicolon"):
        fed_to(statements, ["x" * (STATEMENT_MAX // 10)] * 20)
    assert not statements.is_open
    assert statements.feed("SELECT 1;") == ["SELECT 1;"]


class TestCompletion:
    KEYS = ("AAPL/1D/OHLCV", "AAPL/1Min/OHLCV", "AMD/1Min/OHLCV", "MSFT/1Min/OHLCV")

    def found(self, before: str, word: str) -> list[str]:
        from tsstore.key import KeyPattern

        return candidates(
            before,
            word,
            lambda pattern: [key for key in self.KEYS if KeyPattern(pattern).matches(key)],
        )

    def test_commands(self) -> None:
        assert self.found("", "\\t") == ["\\trim", "\\timing"]
        assert "SELECT" in self.found("", "se")

    def test_keys_part_by_part(self) -> None:
        assert self.found("\\show ", "A") == ["AAPL/", "AMD/"]
        assert self.found("\\show ", "AAPL/") == ["AAPL/1D/", "AAPL/1Min/"]
        assert self.found("\\show ", "AAPL/1M") == ["AAPL/1Min/"]
        assert self.found("\\show ", "AAPL/1Min/") == ["AAPL/1Min/OHLCV"]
        assert self.found('SELECT * FROM "', "M") == ["MSFT/"]
        assert self.found("\\show AAPL/1D/OHLCV ", "2") == []

    def test_words_of_sql(self) -> None:
        assert self.found("SELECT * ", "fr") == ["FROM"]

    def test_files(self, tmp_path) -> None:
        (tmp_path / "bars[1].csv").touch()
        word = f"{tmp_path}/bars["
        assert self.found(f"\\load {KEY} ", word) == [f"{tmp_path}/bars[1].csv"]

    @pytest.mark.parametrize("word", ["*", "[", "{a", "A/1Min/B/", "A//", "\\", "../"])
    def test_what_is_no_key_offers_nothing(self, word) -> None:
        assert self.found("\\show ", word) == []


def test_a_command_that_there_is_not_leads_to_those_there_are() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_line("\\nope")
    assert str(caught.value) == "there is no command \\nope; \\help lists those there are"
    with pytest.raises(
        InvalidArgumentError, match=r"did you mean \\getinfo\? \\help lists"
    ) as caught:
        parse_line("\\info A/1Min/B")
