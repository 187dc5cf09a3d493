"""Manifest files: which one is valid, publishing the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsstore.errors import CorruptionError, FormatVersionError
from tsstore.format.constants import FORMAT_VERSION
from tsstore.format.manifest import Manifest, decode_manifest, encode_manifest
from tsstore.format.record import RecordError, VersionError, decode_record
from tsstore.storage.filenames import manifest_name, manifest_number

if TYPE_CHECKING:
    from tsstore.vfs import FileSystem


def manifest_numbers(fs: FileSystem) -> list[int]:
    """Numbers of the manifests that are there, ascending."""
    return sorted(n for n in map(manifest_number, fs.names("")) if n is not None)


def load_manifest(fs: FileSystem) -> Manifest | None:
    """The valid manifest: the one with the largest number. None when there is none.

    Raises:
        CorruptionError: it is damaged. An older one is never taken in its place, because the log
            it needs may be gone.
        FormatVersionError: it is of a newer format.
    """
    numbers = manifest_numbers(fs)
    if not numbers:
        return None
    name = manifest_name(numbers[-1])
    data = fs.read(name)
    try:
        record = decode_record(data)
        if record.sequence != numbers[-1]:
            raise RecordError(f"it is manifest {record.sequence} under another name")
        return decode_manifest(record)
    except VersionError as error:
        raise FormatVersionError(fs.describe(name), error.found, FORMAT_VERSION) from None
    except RecordError as error:
        raise CorruptionError(fs.describe(name), 0, str(error)) from None


def publish_manifest(fs: FileSystem, manifest: Manifest) -> None:
    """Make this manifest the valid one, on the medium."""
    fs.publish(manifest_name(manifest.number), encode_manifest(manifest))
