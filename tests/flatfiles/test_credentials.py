"""S3 keys are found where the tools of AWS look, the vendor's profile first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tsstore.errors import ConfigError
from tsstore_massive.flatfiles.credentials import ENDPOINT, find_access

if TYPE_CHECKING:
    from pathlib import Path

KEYS = "aws_access_key_id = {0}key\naws_secret_access_key = {0}secret%\n"
VARIABLES = {"AWS_ACCESS_KEY_ID": "variable", "AWS_SECRET_ACCESS_KEY": "hidden"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        f"[default]\n{KEYS.format('default')}[massive]\n{KEYS.format('massive')}"
        f"[other]\n{KEYS.format('other')}endpoint_url = https://s3.example.com/\n"
    )
    return tmp_path


def test_the_profile_of_the_vendor_goes_before_the_variables(home):
    access = find_access({"HOME": str(home), **VARIABLES})
    assert (access.access_key, access.secret_key) == ("massivekey", "massivesecret%")
    assert (access.endpoint, access.bucket) == (ENDPOINT, "flatfiles")


def test_a_named_profile_with_its_endpoint(home):
    access = find_access({"HOME": str(home), "AWS_ENDPOINT_URL": "https://x"}, profile="other")
    assert (access.access_key, access.endpoint) == ("otherkey", "https://s3.example.com")


def test_variables_are_taken_without_the_profile(tmp_path):
    access = find_access({"HOME": str(tmp_path), **VARIABLES, "AWS_ENDPOINT_URL_S3": "https://e"})
    assert (access.access_key, access.secret_key, access.endpoint) == (
        "variable", "hidden", "https://e",
    )  # fmt: skip


def test_files_may_lie_elsewhere_and_the_config_adds_to_the_credentials(home):
    moved = home / "elsewhere"
    (home / ".aws" / "credentials").rename(moved)
    (home / "config").write_text("[profile massive]\nregion = eu-north-1\n")
    environment = {
        "HOME": "/nowhere",
        "AWS_SHARED_CREDENTIALS_FILE": str(moved),
        "AWS_CONFIG_FILE": str(home / "config"),
    }
    access = find_access(environment, bucket="mine", endpoint="http://127.0.0.1:9")
    assert (access.access_key, access.region) == ("massivekey", "eu-north-1")
    assert (access.bucket, access.endpoint) == ("mine", "http://127.0.0.1:9")


def test_without_keys_it_says_where_to_put_them(tmp_path):
    with pytest.raises(ConfigError, match=r"under \[massive\] in .*\.aws/credentials"):
        find_access({"HOME": str(tmp_path), "AWS_ACCESS_KEY_ID": "alone"})


def test_a_profile_that_is_not_there_is_named(home):
    with pytest.raises(ConfigError, match="no profile 'absent'"):
        find_access({"HOME": str(home), **VARIABLES}, profile="absent")


@pytest.mark.parametrize(
    "url",
    [
        "http://files.example.com", "files.example.com", "https://AKIA:hidden@c",
        "https://:hidden@c", "https://c?key=hidden",
    ],
)  # fmt: skip
def test_an_endpoint_that_cannot_be_right_is_refused(home, url):
    with pytest.raises(ConfigError, match="endpoint") as caught:
        find_access({"HOME": str(home)}, endpoint=url)
    assert "hidden" not in str(caught.value)


def test_the_secret_stands_in_no_text(home):
    assert "secret%" not in repr(find_access({"HOME": str(home)}))
    (home / ".aws" / "credentials").write_text("[massive]\nthe-secret without a name\n")
    with pytest.raises(ConfigError) as caught:
        find_access({"HOME": str(home)})
    assert "the-secret" not in str(caught.value)
