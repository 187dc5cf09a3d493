"""What can go wrong between the vendor's files and the store, by what to do about it.

MassiveError
├── S3RefusedError     the service does not take the keys, or has no such bucket: nothing can work
├── FileDeniedError    403 on a file that is listed: not in the plan, or not yet available
├── FileReplacedError  the file became another one, or went away, while it was fetched
├── S3FailedError      the service does not answer, or fails after retries
└── BadFileError       the file is damaged, or is not what its name says
"""

from __future__ import annotations

from tsstore_massive.errors import MassiveError


class S3RefusedError(MassiveError):
    """The service does not take the keys, or does not have the bucket."""


class FileDeniedError(MassiveError):
    """A file may be listed but not read."""


class FileReplacedError(MassiveError):
    """The file is not the listed one any more."""


class S3FailedError(MassiveError):
    """The service could not be reached, or kept failing."""


class BadFileError(MassiveError):
    """A file that cannot be read as what its name says."""
