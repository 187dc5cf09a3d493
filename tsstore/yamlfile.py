"""YAML files in which every value knows its line; `yamlsettings.py` makes typed objects of them.

Two things differ from a plain YAML library, both because of what people write in mkts.yml:

* Scalars follow YAML 1.2: `ON` and `NO` are tickers, `9:30` is text, `2024-01-01` is text.
* `${NAME}` and `${NAME:-default}` in a value come from the environment, at the moment the value is
  used, so that a command which needs only `root_directory` does not ask for an API key.

A file is untrusted: its size, nesting and number of values (aliases expanded) are limited.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import yaml

from tsstore.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

try:
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # PyYAML built without libyaml: slower, the same result
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]

FILE_BYTES_MAX = 1_000_000
VALUES_MAX = 100_000
DEPTH_MAX = 32

_VARIABLE = re.compile(r"\$(?P<escaped>\$\{)|\$\{(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\}")


class _Loader(_SafeLoader):
    """Resolves plain scalars by the core schema of YAML 1.2, and less of it."""

    # Without a dot `1E5` stays text, and with a leading zero `0123` does: both are names or keys.
    yaml_implicit_resolvers: Any = {}  # noqa: RUF012  (PyYAML declares it so)


for _tag, _form, _first in (
    ("bool", r"true|false", "tf"),
    ("null", r"~|null|", ["~", "n", ""]),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_form})$"), list(_first)
    )

_SCALARS: dict[str, Any] = {
    "tag:yaml.org,2002:str": str,
    "tag:yaml.org,2002:bool": lambda text: text == "true",
    "tag:yaml.org,2002:null": lambda _: None,
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:float": float,
}
_TAGS = {
    yaml.MappingNode: {"tag:yaml.org,2002:map"},
    yaml.SequenceNode: {"tag:yaml.org,2002:seq"},
    yaml.ScalarNode: set(_SCALARS),
}


class Value:
    """A value of a YAML file and where it stands.

    As the type of a field it keeps that part of the file as it is, not substituted, not checked.

    Attributes:
        file: name of the file, for messages.
        line: line of the value, or of its key when it has one; the first is 1.
        path: how one gets there from the top, such as `bgworkers[0].config.symbols`.
        content: a scalar, a dict of `Value`, or a list of `Value`.
    """

    __slots__ = ("content", "file", "line", "path")

    def __init__(self, file: str, line: int, path: str, content: Any) -> None:
        self.file = file
        self.line = line
        self.path = path
        self.content = content

    def __repr__(self) -> str:
        # The content may be a secret.
        return f"<Value {self.file}:{self.line} {self.path}>"

    def get(self, key: str) -> Value | None:
        """The value of a key of a mapping; None when it is absent, empty or not in a mapping."""
        found = self.content.get(key) if isinstance(self.content, dict) else None
        return found if found is not None and found.content is not None else None

    def problem(self, text: str) -> str:
        """A message about this value: `mkts.yml:12: listen_port: ...`."""
        return f"{self.file}:{self.line}: {self.path + ': ' if self.path else ''}{text}"

    def plain(self, problems: list[str], environment: Mapping[str, str] | None = None) -> Any:
        """The value as dicts, lists and scalars, variables substituted.

        Args:
            problems: what is wrong is appended here.
            environment: where variables are looked up; the environment of the process if absent.
        """
        if isinstance(self.content, dict):
            return {k: v.plain(problems, environment) for k, v in self.content.items()}
        if isinstance(self.content, list):
            return [item.plain(problems, environment) for item in self.content]
        if isinstance(self.content, str):
            return self._substituted(self.content, problems, environment)
        return self.content

    def _substituted(
        self, text: str, problems: list[str], environment: Mapping[str, str] | None
    ) -> str:
        variables = os.environ if environment is None else environment

        def replace(match: re.Match[str]) -> str:
            if match["escaped"]:
                return "${"
            # As in a shell, an empty variable takes the default too.
            value = variables.get(match["name"]) or match["default"]
            if value is None:
                name = match["name"]
                section, dot, _ = self.path.partition(".")
                without = f"; or take this line, or all of {section}, out" if dot else ""
                problems.append(
                    self.problem(
                        f"environment variable {name} is not set; "
                        f"`export {name}=...` or write the value here{without}"
                    )
                )
            return value or ""

        return _VARIABLE.sub(replace, text)

    def walk(self) -> Iterator[Value]:
        """This value and all below it."""
        yield self
        below: Any = ()
        if isinstance(self.content, dict):
            below = self.content.values()
        elif isinstance(self.content, list):
            below = self.content
        for value in below:
            yield from value.walk()


def load_yaml(text: str, file: str) -> Value:
    """Read one YAML document.

    Args:
        text: the contents of the file.
        file: its name, for messages.

    Raises:
        ConfigError: not YAML, larger than a limit, a key that appears twice, or a tag.
    """
    if len(text) > FILE_BYTES_MAX:
        raise ConfigError(f"{file} is larger than {FILE_BYTES_MAX} bytes; is it a configuration?")
    loader = _Loader(text)
    try:
        _check_depth(text, file)
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise ConfigError(f"{file}:{line}: not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: not YAML: {str(error).splitlines()[0]}") from None
    finally:
        loader.dispose()
    if root is None:
        return Value(file, 1, "", {})
    return _Reader(file).value(root, "", root.start_mark.line + 1, 0)


def _check_depth(text: str, file: str) -> None:
    # libyaml's composer recurses, and the process dies of deep nesting; its parser does not.
    depth = 0
    event: Any
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH_MAX:
            raise _too_much(file, event.start_mark.line + 1)


def _too_much(file: str, line: int) -> ConfigError:
    return ConfigError(
        f"{file}:{line}: more than {VALUES_MAX} values (aliases expanded) or nested deeper than "
        f"{DEPTH_MAX}; write it out plainly"
    )


class _Reader:
    """Turns YAML nodes into values, counting them."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._count = 0

    def value(self, node: Any, path: str, line: int, depth: int) -> Value:
        self._count += 1
        if self._count > VALUES_MAX or depth > DEPTH_MAX:
            raise _too_much(self._file, line)
        if node.tag not in _TAGS[type(node)]:
            raise ConfigError(f"{self._file}:{line}: tag {node.tag} is not allowed; leave it out")
        if isinstance(node, yaml.MappingNode):
            return Value(self._file, line, path, self._mapping(node, path, depth))
        if isinstance(node, yaml.SequenceNode):
            items = [
                self.value(item, f"{path}[{i}]", item.start_mark.line + 1, depth + 1)
                for i, item in enumerate(node.value)
            ]
            return Value(self._file, line, path, items)
        return Value(self._file, line, path, self._scalar(node, line))

    def _mapping(self, node: Any, path: str, depth: int) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{self._file}:{line}: a key must be text")
            key = key_node.value
            below = f"{path}.{key}" if path else key
            if key in values:
                raise ConfigError(
                    f"{self._file}:{line}: {below}: stands here for the second time, "
                    f"first in line {values[key].line}; remove one"
                )
            values[key] = self.value(value_node, below, line, depth + 1)
        return values

    def _scalar(self, node: Any, line: int) -> Any:
        try:
            return _SCALARS[node.tag](node.value)
        except ValueError:
            raise ConfigError(
                f"{self._file}:{line}: {node.value[:40]!r} is not a number; put it in quotes"
            ) from None
