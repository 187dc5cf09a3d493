"""Keys of the S3 service, from the places where the tools of AWS look.

The vendor gives an S3 key pair that is not the API key. It is looked for in

1. the profile that is named, else the profile `massive` if there is one, in the files
   `~/.aws/credentials` and `~/.aws/config` (or where $AWS_SHARED_CREDENTIALS_FILE and
   $AWS_CONFIG_FILE say),
2. $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY.

The profile comes first because whoever uses Amazon has the variables set for Amazon.
"""

from __future__ import annotations

import configparser
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tsstore.errors import ConfigError
from tsstore_massive.optionvalues import check_url

if TYPE_CHECKING:
    from collections.abc import Mapping

ENDPOINT = "https://files.massive.com"
BUCKET = "flatfiles"
REGION = "us-east-1"
PROFILE = "massive"

_ACCESS, _SECRET = "aws_access_key_id", "aws_secret_access_key"
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


@dataclass(frozen=True)
class Access:
    """How to reach the files.

    Attributes:
        endpoint: URL of the service.
        bucket: the name of the S3 bucket.
        region: of the signature.
        access_key: the public half of the key pair.
        secret_key: the other half; it stands in no text that is made of this.
        token: of a session, None for lasting keys.
        source: where the keys were found, for messages.
    """

    endpoint: str
    bucket: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(repr=False)
    source: str


def find_access(
    environment: Mapping[str, str] = os.environ,
    *,
    profile: str | None = None,
    endpoint: str | None = None,
    bucket: str | None = None,
) -> Access:
    """Keys, endpoint and bucket.

    Args:
        environment: variables of the process.
        profile: the only profile to look at; None for `massive`, then the variables.
        endpoint: URL that goes before those of the profile and of the environment.
        bucket: name that goes before the vendor's.

    Raises:
        ConfigError: there are no keys, or something found cannot be right.
    """
    section = _profile(environment, profile or PROFILE)
    if section is None and profile is not None:
        raise ConfigError(
            f"there is no profile {profile!r} in {' or '.join(map(str, _files(environment)))}"
        )
    if section is not None and _ACCESS in section:
        keys, source = section, f"profile {profile or PROFILE}"
    elif profile is None:
        keys = {name: environment.get(name.upper(), "") for name in (_ACCESS, _SECRET)}
        keys["aws_session_token"] = environment.get("AWS_SESSION_TOKEN", "")
        source = "$AWS_ACCESS_KEY_ID"
    else:
        keys, source = {}, f"profile {profile}"
    if not (keys.get(_ACCESS) and keys.get(_SECRET)):
        raise ConfigError(
            f"no S3 keys for flat files: write {_ACCESS} and {_SECRET} of the vendor's dashboard "
            f"(not the API key) under [{profile or PROFILE}] in {_files(environment)[0]}, or set "
            f"${_ACCESS.upper()} and ${_SECRET.upper()}"
        )
    section = section or {}
    found = [environment[name] for name in _ENDPOINT_VARIABLES if environment.get(name)]
    return Access(
        _endpoint(endpoint or section.get("endpoint_url") or (found or [ENDPOINT])[0]),
        bucket or BUCKET,
        section.get("region") or REGION,
        keys[_ACCESS].strip(),
        keys[_SECRET].strip(),
        keys.get("aws_session_token") or None,
        source,
    )


def _files(environment: Mapping[str, str]) -> list[Path]:
    home = Path(environment.get("HOME") or "~").expanduser() / ".aws"
    return [
        Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials"),
        Path(environment.get("AWS_CONFIG_FILE") or home / "config"),
    ]


def _profile(environment: Mapping[str, str], name: str) -> dict[str, str] | None:
    """What both files say of a profile, the credentials last; None when neither knows it."""
    credentials, config = _files(environment)
    found: dict[str, str] = {}
    known = False
    for path, sections in ((config, (f"profile {name}", name)), (credentials, (name,))):
        parser = configparser.ConfigParser(interpolation=None, default_section="")
        try:
            parser.read_string(path.read_text("utf-8"), str(path))
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError, configparser.Error) as error:
            # Not the error's own text: it quotes the line, and that may hold the secret.
            raise ConfigError(f"{path} cannot be read ({type(error).__name__})") from None
        for section in filter(parser.has_section, sections):
            known = True
            found |= dict(parser[section])
    return found if known else None


def _endpoint(url: str) -> str:
    check_url("endpoint", url, plain="http", secure="https", key="a profile")
    return url.rstrip("/")
