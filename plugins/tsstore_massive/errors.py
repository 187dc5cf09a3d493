"""What can go wrong with the vendor's REST service, by what to do about it.

    MassiveError (TsStoreError)
    ├── ApiKeyError (FatalPluginError)   401: the key is wrong; trying again cannot help
    ├── NotEntitledError                 403: the plan does not include this range
    ├── NotInPlanError                   a run is over, and 403 is all that it lacks
    ├── RequestRefusedError              400, 404: the request cannot be right
    │   ├── NoSuchTickerError            404 of the vendor: the ticker is not known (on that day)
    │   └── NoSuchPathError              404 of its front: nothing is served under the path
    ├── UnavailableError                 429, 5xx, time-outs, resets: still failing after retries
    │   └── UnreachableError             nobody at the address has answered anything so far
    ├── BadResponseError                 an answer that is not what was asked for
    └── StoppedError                     the caller asked to stop while a request was under way
    NoStreamError (FatalPluginError)     the plan has REST, and no socket

No text of these ever holds the API key, and none holds a URL of another host.
"""

from __future__ import annotations

from tsstore.errors import TsStoreError
from tsstore.plugin import FatalPluginError


class MassiveError(TsStoreError):
    """The vendor's service did not give what was asked for.

    Attributes:
        resume_ns: everything of the range before this instant is stored; None if nothing is.
    """

    exit_code = 5
    resume_ns: int | None = None


class ApiKeyError(MassiveError, FatalPluginError):
    """The service does not know the API key."""


class NoStreamError(FatalPluginError):
    """The plan of the key has no streaming of this market; REST may still serve it."""


class NotEntitledError(MassiveError):
    """The plan does not include this data; permanent for the range that was asked for."""


class NotInPlanError(MassiveError):
    """Everything is stored but for what the plan of the key does not include."""

    exit_code = 8


class RequestRefusedError(MassiveError):
    """The service says that the request is wrong; permanent for this request."""


class NoSuchTickerError(RequestRefusedError):
    """The service does not know the ticker, or not on the day that was asked for."""


class NoSuchPathError(RequestRefusedError):
    """The service serves nothing under the path: it was retired, or the address is wrong."""


class UnavailableError(MassiveError):
    """The service could not be reached, or kept failing; the same request may work later."""


class UnreachableError(UnavailableError):
    """Nobody answers at the address, nor has before: the network or the address may be wrong."""


class BadResponseError(MassiveError):
    """The service answered something that cannot be used: too large, not JSON, or in circles."""


class StoppedError(MassiveError):
    """The work was stopped on request."""
