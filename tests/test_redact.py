"""Secrets kept out of text, by value."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from tsstore.redact import (
    RedactingFormatter,
    Redactor,
    is_secret_name,
    secrets_in,
    secrets_in_environment,
)
from tsstore.yamlfile import load_yaml


def test_a_known_secret_is_masked_wherever_it_stands() -> None:
    assert Redactor(["SECRET123"]).mask("x=SECRET123&y SECRET123") == "x=***&y ***"


def test_the_longer_of_two_secrets_is_masked_whole() -> None:
    assert Redactor(["SECRET", "SECRET123"]).mask("SECRET123") == "***"


def test_short_values_would_mask_words_and_are_left() -> None:
    assert Redactor(["demo", ""]).mask("a demo") == "a demo"


def test_json_masks_and_keeps_only_what_json_can_hold() -> None:
    redactor = Redactor(["SECRET123"])
    value = {
        "a": ("SECRET123", np.int64(3), np.float32(0.5)),
        1: {"n": float("nan"), "t": True, "o": object, "z": None},
    }
    result = redactor.json(value)
    assert json.loads(json.dumps(result, allow_nan=False)) == {
        "a": ["***", 3, 0.5],
        "1": {"n": None, "t": True, "o": "<class 'object'>", "z": None},
    }


def test_log_records_are_masked_with_their_tracebacks() -> None:
    formatter = RedactingFormatter(Redactor(["SECRET123"]), "%(message)s", "")
    error = ValueError("SECRET123")
    record = logging.LogRecord(
        "test", logging.ERROR, "", 1, "key %s", ("SECRET123",), (ValueError, error, None)
    )
    assert formatter.format(record) == "key ***\nValueError: ***"


@pytest.mark.parametrize(
    "name", ["api_key", "API_KEY", "token", "client_secret", "x.password", "x.keys[1]"]
)
def test_names_that_hold_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["symbols", "token_file", "tls_key_path", "monkey", "keyboard"])
def test_names_that_do_not(name: str) -> None:
    assert not is_secret_name(name)


def test_secrets_of_a_configuration_are_found_by_their_keys() -> None:
    value = load_yaml("a: {api_key: SECRET123, symbols: [AAPL]}\ntoken: T0KEN-99", "f.yml")
    assert secrets_in(value) == ["SECRET123", "T0KEN-99"]


def test_secrets_in_files_are_found_too(tmp_path) -> None:
    (tmp_path / "key").write_text("SECRET123\n")
    value = load_yaml(f"api_key_file: {tmp_path / 'key'}\ntoken_file: /nowhere", "f.yml")
    assert secrets_in(value) == ["SECRET123"]


def test_secrets_of_the_environment_are_found_by_their_names() -> None:
    assert secrets_in_environment({"MASSIVE_API_KEY": "SECRET123", "HOME": "/root"}) == [
        "SECRET123"
    ]
