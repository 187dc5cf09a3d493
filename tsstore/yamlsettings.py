"""Typed settings from values of a YAML file, with all mistakes reported at once.

Each is a line of its own, such as `mkts.yml:12: bgworkers[0].config.symbls: unknown key; did you
mean symbols?`. So a file is gone through part by part; msgspec alone would stop at the first.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tsstore.errors import ConfigError
from tsstore.yamlfile import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

T = TypeVar("T")

# Where msgspec says a value stands: "... - at `$.symbols[1]`".
_MSGSPEC_PATH = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")
_PATH_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")


def convert(
    value: Value,
    kind: type[T],
    environment: Mapping[str, str] | None = None,
    *,
    found: Iterable[str] = (),
) -> T:
    """A typed object from a value of a YAML file.

    Quoted numbers and booleans are taken as such (`listen_port: "5993"`), because they are what
    variables turn into. A key without a value counts as absent.

    Args:
        value: a mapping for a `msgspec.Struct`.
        kind: a `msgspec.Struct`, or any type msgspec can convert to.
        environment: where variables are looked up; the environment of the process if absent.
        found: what is known to be wrong already, to be reported with the rest.

    Raises:
        ConfigError: one line for each thing that is wrong.
    """
    problems = list(found)
    plain = _check(value, kind, problems, environment)
    if not problems:
        try:
            return msgspec.convert(plain, kind, strict=False)
        except msgspec.ValidationError as error:  # what looks at several keys together
            problems.append(_located(value, error))
    raise ConfigError("\n".join(problems))


def _check(
    value: Value, kind: Any, problems: list[str], environment: Mapping[str, str] | None
) -> Any:
    """The plain value; whatever is wrong with any part of it is appended to `problems`."""
    kind = _without_none(kind)
    if kind is Value:
        return value
    if isinstance(value.content, dict) and _is_struct(kind):
        return _check_struct(value, kind, problems, environment)
    parts = _parts_of(kind)
    if isinstance(value.content, list) and _is_list(kind):
        return [_check(item, parts[0], problems, environment) for item in value.content]
    if isinstance(value.content, dict) and _origin(kind) is dict:
        return {
            key: None if each.content is None else _check(each, parts[1], problems, environment)
            for key, each in value.content.items()
        }
    before = len(problems)
    plain = value.plain(problems, environment)
    if len(problems) > before:
        return plain
    try:
        msgspec.convert(plain, kind, strict=False)
    except msgspec.ValidationError as error:
        problems.append(_one_of(value, kind) or _located(value, error) + _as_list(value, kind))
    return plain


def _check_struct(
    value: Value, kind: Any, problems: list[str], environment: Mapping[str, str] | None
) -> dict[str, Any]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    plain = {}
    for key, below in value.content.items():
        field = fields.get(key)
        if field is None:
            problems.append(below.problem(f"unknown key; {_suggest(key, fields)}"))
        elif below.content is not None:
            plain[key] = _check(below, field.type, problems, environment)
    problems.extend(
        value.problem(f"{name} is missing")
        for name, field in fields.items()
        if field.required and name not in plain and value.get(name) is None
    )
    return plain


def _suggest(key: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def _without_none(kind: Any) -> Any:
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return kind
    some = [part for part in typing.get_args(kind) if part is not types.NoneType]
    return some[0] if len(some) == 1 else kind


def _bare(kind: Any) -> Any:
    """The type without its limits, which `convert` looks at in the end."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind


def _origin(kind: Any) -> Any:
    return typing.get_origin(_bare(kind))


def _parts_of(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(_bare(kind))


def _is_list(kind: Any) -> bool:
    return _origin(kind) in (list, tuple)


def _as_list(value: Value, kind: Any) -> str:
    """How a list is written, for whoever wrote a single text where there may be several."""
    if not (_is_list(kind) and isinstance(value.content, str)):
        return ""
    item = _parts_of(kind)[0]
    if typing.get_origin(item) is typing.Literal:
        return f"; write a list, such as [{', '.join(map(str, typing.get_args(item)[:2]))}]"
    return "; write a list, such as [AAPL, MSFT]" if item is str else ""


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _one_of(value: Value, kind: Any) -> str | None:
    """The message for a choice, which msgspec makes without naming what there is."""
    if typing.get_origin(kind) is not typing.Literal:
        return None
    return value.problem(f"expected one of {', '.join(map(str, typing.get_args(kind)))}")


def _located(value: Value, error: msgspec.ValidationError) -> str:
    """Msgspec's message at the line of the value it is about."""
    text = str(error)
    match = _MSGSPEC_PATH.search(text)
    if match is not None:
        text = text[: match.start()]
        for name, index in _PATH_STEP.findall(match["path"]):
            content = value.content
            if name and isinstance(content, dict) and name in content:
                value = content[name]
            elif index and isinstance(content, list) and int(index) < len(content):
                value = content[int(index)]
            else:
                break
    return value.problem(text.replace("`", "").replace("Expected", "expected", 1))
