"""YAML files in which every value knows its line."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsstore.errors import ConfigError
from tsstore.yamlfile import FILE_BYTES_MAX, Value, load_yaml
from tsstore.yamlsettings import convert


class Inner(msgspec.Struct, frozen=True):
    symbols: list[str] = []
    size: Annotated[int, msgspec.Meta(ge=1)] = 1


class Several(msgspec.Struct, frozen=True):
    levels: Annotated[tuple[Literal["low", "high"], ...], msgspec.Meta(min_length=1)] = ("low",)
    names: tuple[str, ...] = ()
    by_name: dict[str, Inner] = {}


class Outer(msgspec.Struct, frozen=True):
    port: int
    on: bool = True
    level: Literal["low", "high"] = "low"
    inner: Inner = Inner()
    many: list[Inner] = []
    later: Value | None = None
    maybe: str | None = None

    def __post_init__(self) -> None:
        if self.port == 13:
            raise ValueError("port 13 is unlucky")


def plain(text: str, **environment: str) -> Any:
    problems: list[str] = []
    value = load_yaml(text, "f.yml").plain(problems, environment)
    assert not problems
    return value


def problems_of(text: str, kind: Any = Outer, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        convert(load_yaml(text, "f.yml"), kind, environment)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    "word",
    ["ON", "NO", "YES", "OFF", "Y", "N", "TRUE", "NULL", "1E5", "0x10", "1_000", "9:30", "0123",
     "2024-01-01", ".INF", "True", "=", "<<"],
)  # fmt: skip
def test_words_that_yaml_1_1_changes_stay_text(word: str) -> None:
    assert plain(f"symbols: [{word}]") == {"symbols": [word]}


@pytest.mark.parametrize(
    ("text", "value"),
    [("12", 12), ("-3", -3), ("1.5", 1.5), ("1.5e3", 1500.0), ("true", True), ("false", False),
     ("null", None), ("~", None), ("", None), ("'12'", "12"), ('"true"', "true")],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    result = plain(f"a: {text}")["a"]
    assert (result, type(result)) == (value, type(value))


def test_every_value_knows_its_line_and_path() -> None:
    top = load_yaml("a: 1\nb:\n  - x\n  - c:\n      d: 2\n", "f.yml")
    assert [(value.line, value.path) for value in top.walk()] == [
        (1, ""), (1, "a"), (2, "b"), (3, "b[0]"), (4, "b[1]"), (4, "b[1].c"), (5, "b[1].c.d"),
    ]  # fmt: skip


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert plain("# nothing\n") == {}


def test_repr_hides_the_content() -> None:
    assert "SECRET" not in repr(load_yaml("key: SECRET", "f.yml").get("key"))


def test_get_passes_over_absent_and_empty_keys() -> None:
    top = load_yaml("a:\nb: 1", "f.yml")
    assert top.get("a") is None
    assert top.get("c") is None
    assert load_yaml("[1]", "f.yml").get("a") is None
    found = top.get("b")
    assert found is not None
    assert found.content == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "f.yml:2: not YAML"),
        ("a: 1\nb: 2\na: 3", "f.yml:3: a: stands here for the second time, first in line 1"),
        ("a: !!python/object/apply:os.system [x]", "is not allowed"),
        ("a: !!str [x]", "f.yml:1"),
        ("a: !!map x", "f.yml:1"),
        ("a: !!timestamp 2020-01-01", "f.yml:1: tag tag:yaml.org,2002:timestamp is not allowed"),
        ("? [a]\n: b", "f.yml:1: a key must be text"),
        ("a: \x01", "f.yml: not YAML"),
        ("a: !!int x", "f.yml:1: 'x' is not a number"),
        ("a: " + "9" * 5000, "is not a number"),
        ("a: &a [*a]", "nested deeper"),
        ("--- 1\n--- 2", "f.yml:2: not YAML"),
        ("#" * (FILE_BYTES_MAX + 1), "f.yml is larger than"),
    ],
)
def test_hostile_files_are_refused_with_their_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_yaml(text, "f.yml").plain([])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_billion_laughs_are_refused() -> None:
    text = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 30)
    )
    with pytest.raises(ConfigError, match="aliases expanded"):
        load_yaml(text, "f.yml")


def test_deep_nesting_is_refused_and_kills_nothing() -> None:
    with pytest.raises(ConfigError):
        load_yaml("a: " + "[" * 100_000, "f.yml")


def test_variables_come_from_the_environment() -> None:
    assert plain("a: x${NAME}y", NAME="1") == {"a": "x1y"}


def test_a_default_stands_for_an_unset_or_empty_variable() -> None:
    assert plain("a: ${NAME:-d}\nb: ${NAME:-}", NAME="") == {"a": "d", "b": ""}


def test_a_double_dollar_writes_the_braces_themselves() -> None:
    assert plain("a: $${NAME} $5") == {"a": "${NAME} $5"}


def test_an_unset_variable_names_line_key_and_variable() -> None:
    [line] = problems_of("port: ${PORT}")
    assert line.startswith("f.yml:1: port: environment variable PORT is not set")


def test_a_value_from_the_environment_is_not_substituted_again() -> None:
    assert plain("a: ${A}", A="${B}", B="no") == {"a": "${B}"}


def test_quoted_numbers_and_booleans_are_taken() -> None:
    value = convert(load_yaml('port: "5"\non: "False"', "f.yml"), Outer)
    assert (value.port, value.on) == (5, False)


def test_an_empty_key_counts_as_absent() -> None:
    assert convert(load_yaml("port: 1\nmaybe:\ninner:", "f.yml"), Outer) == Outer(port=1)


def test_a_field_of_type_value_is_kept_as_it_stands() -> None:
    kept = convert(load_yaml("port: 1\nlater: {x: '${UNSET}'}", "f.yml"), Outer, {}).later
    assert kept is not None
    assert kept.content["x"].content == "${UNSET}"


def test_all_mistakes_are_reported_at_once_each_with_its_line() -> None:
    lines = problems_of(
        "prt: 1\n"
        "level: loud\n"
        "inner:\n"
        "  symbls: [A]\n"
        "  size: 0\n"
        "many:\n"
        "  - symbols: [A, 7]\n"
        "  - sise: 1\n"
    )
    assert lines == [
        "f.yml:1: prt: unknown key; did you mean port?",
        "f.yml:2: level: expected one of low, high",
        "f.yml:4: inner.symbls: unknown key; did you mean symbols?",
        "f.yml:5: inner.size: expected int >= 1",
        "f.yml:7: many[0].symbols[1]: expected str, got int",
        "f.yml:8: many[1].sise: unknown key; did you mean size?",
        "f.yml:1: port is missing",
    ]


def test_a_key_like_no_other_lists_what_there_is() -> None:
    [line] = problems_of("zzz: 1", Inner)
    assert line == "f.yml:1: zzz: unknown key; there are symbols, size"


def test_a_wrong_kind_of_value_is_reported() -> None:
    assert problems_of("port: 1\ninner: 3\nmany: x") == [
        "f.yml:2: inner: expected object, got int",
        "f.yml:3: many: expected array, got str",
    ]


def test_items_of_lists_and_mappings_are_named_with_what_there_is() -> None:
    text = (
        "levels: [low, lo]\n"
        "names: AAPL,MSFT\n"
        "by_name:\n"
        "  one: {symbls: [A]}\n"
        "  two: {symbols: [A], size: 2}\n"
    )
    assert problems_of(text, Several) == [
        "f.yml:1: levels[1]: expected one of low, high",
        "f.yml:2: names: expected array, got str; write a list, such as [AAPL, MSFT]",
        "f.yml:4: by_name.one.symbls: unknown key; did you mean symbols?",
    ]
    assert problems_of("levels: low", Several) == [
        "f.yml:1: levels: expected array, got str; write a list, such as [low, high]"
    ]
    assert problems_of("levels: []", Several) == ["f.yml:1: levels: expected array of length >= 1"]


def test_what_a_struct_itself_refuses_is_reported_with_the_file() -> None:
    assert problems_of("port: 13") == ["f.yml:1: port 13 is unlucky"]


def test_no_message_shows_a_value() -> None:
    [line] = problems_of("port: SECRET123")
    assert "SECRET123" not in line


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_with_one_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        load_yaml(text, "f.yml").plain([], {})
