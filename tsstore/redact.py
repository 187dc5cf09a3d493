"""Secrets kept out of logs, errors and status pages, by value.

Code that handles a key can forget to hide it, and so can a library it calls. So the values are
known in one place, and everything that leaves the process as text for people passes through it.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tsstore.yamlfile import Value

MASK = "***"
# Shorter values would mask ordinary words; no vendor's key is that short.
SECRET_LENGTH_MIN = 6

_SECRET_NAME = re.compile(r"(?:^|_)(?:key|token|secret|password|passphrase)s?$", re.IGNORECASE)


class Redactor:
    """Replaces known secrets in text by `***`."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Learn more secrets."""
        self._secrets.update(text for text in secrets if len(text) >= SECRET_LENGTH_MIN)
        longest_first = sorted(self._secrets, key=len, reverse=True)
        if longest_first:
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def mask(self, text: str) -> str:
        """The text without any secret."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def json(self, value: Any) -> Any:
        """A copy made of JSON values only, secrets masked; what is unknown becomes its text.

        The value may be changed by another thread meanwhile: containers are copied at once.
        """
        if isinstance(value, dict):
            return {self.mask(str(k)): self.json(v) for k, v in dict(value).items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.json(item) for item in list(value)]
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, float):
            return value if np.isfinite(value) else None
        if value is None or isinstance(value, bool | int):
            return value
        return self.mask(str(value))


class RedactingFormatter(logging.Formatter):
    """Formats log records, exceptions included, without secrets."""

    def __init__(self, redactor: Redactor, text_format: str, date_format: str) -> None:
        super().__init__(text_format, date_format)
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """The record as text, secrets masked."""
        return self._redactor.mask(super().format(record))


def secrets_in_environment(environment: Mapping[str, str] | None = None) -> list[str]:
    """Values of variables whose names say that they are secret, such as MASSIVE_API_KEY."""
    variables = os.environ if environment is None else environment
    return [value for name, value in variables.items() if is_secret_name(name)]


def secrets_in(value: Value) -> list[str]:
    """Values of keys whose names say that they are secret, anywhere in a configuration.

    `api_key_file: PATH` names a secret as well: what stands in that file, if it can be read.
    """
    found = []
    for below in value.walk():
        if isinstance(below.content, dict | list):
            continue
        text = str(below.plain([]))
        if is_secret_name(below.path):
            found.append(text)
        elif is_secret_name(below.path.removesuffix("_file")):
            found.extend(_contents(Path(text)))
    return found


def _contents(path: Path) -> list[str]:
    try:
        return [path.expanduser().read_text(encoding="utf-8").strip()]
    except (OSError, UnicodeDecodeError):
        return []  # whoever needs the file reports it


def is_secret_name(name: str) -> bool:
    """Whether a key or variable of that name holds a secret: api_key, TOKEN, client_secret."""
    last = re.sub(r"(?:\[\d+\])+$", "", name.rpartition(".")[2])
    return _SECRET_NAME.search(last) is not None
