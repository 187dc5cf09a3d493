"""What a check found, and how bad it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Verdict(Enum):
    """How bad it is."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"
    #: Not looked at; the reason is told.
    SKIP = "SKIP"


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        check: what was looked at.
        verdict: how bad it is.
        found: what was found there.
        advice: what to do; empty when there is nothing to do.
    """

    check: str
    verdict: Verdict
    found: str
    advice: str = ""


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, Verdict.OK, found)


def warn(check: str, found: str, advice: str) -> Finding:
    """It works, not for everything or not for long."""
    return Finding(check, Verdict.WARN, found, advice)


def fail(check: str, found: str, advice: str) -> Finding:
    """It cannot work like this."""
    return Finding(check, Verdict.FAIL, found, advice)


def skip(check: str, why: str) -> Finding:
    """It was not looked at."""
    return Finding(check, Verdict.SKIP, why)


def is_healthy(findings: Iterable[Finding]) -> bool:
    """Whether nothing fails."""
    return all(finding.verdict is not Verdict.FAIL for finding in findings)
