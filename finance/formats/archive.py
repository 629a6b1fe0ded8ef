"""Zip wrappers around invoices, opened with every number bounded (X17, X44).

Rules
    * At most 1,000 entries, a ratio of 100 and 64 MiB unpacked, counted while reading: the sizes that the
      archive states are not believed.
    * Names are labels for people, never paths. Encrypted entries, equal names and nested archives are refused.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from finance.formats.values import excerpt
from finance.formats.xml import XML_SIZE_MAX_BYTES, Refused

ZIP_SIZE_MAX_BYTES: Final = 20 * 1024 * 1024
ENTRIES_MAX: Final = 1000
RATIO_MAX: Final = 100
UNPACKED_MAX_BYTES: Final = 64 * 1024 * 1024
MAGIC: Final = b"PK\x03\x04"

_DIRECTORY_MAX_BYTES: Final = ENTRIES_MAX * 1024
"""Bytes of the central directory: 46 fixed bytes, a name and some extras for each entry."""

_RATIO_FREE_BYTES: Final = 1024 * 1024
"""Unpacked bytes of an entry below which its ratio does not matter."""

_CHUNK_BYTES: Final = 64 * 1024
_END: Final = b"PK\x05\x06"
_END_BYTES: Final = 22
_COMMENT_MAX_BYTES: Final = 65_535
_ENCRYPTED: Final = 0x1
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file of the archive. `name` is fit to be shown and nothing else."""

    name: str
    data: bytes


def entries(data: bytes) -> Iterator[Entry]:
    """Yield the XML files of a zip in name order; raise `Refused` for what X44 forbids.

    Entries that are neither XML nor archives (pictures, PDF) are passed over without being unpacked.
    """
    if len(data) > ZIP_SIZE_MAX_BYTES:
        raise Refused("X44", "too_large", size=str(len(data)), limit=str(ZIP_SIZE_MAX_BYTES))
    _check_directory(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            if len(infos) > ENTRIES_MAX:
                raise Refused("X44", "too_many_entries", count=str(len(infos)), limit=str(ENTRIES_MAX))
            seen: set[str] = set()
            wanted = []
            for info in infos:
                if info.filename in seen:
                    raise Refused("X44", "same_name_twice", name=excerpt(info.filename))
                seen.add(info.filename)
                suffix = info.filename.rpartition(".")[2].lower()
                if info.flag_bits & _ENCRYPTED:
                    raise Refused("X44", "encrypted", name=excerpt(info.filename))
                if suffix == "zip":
                    raise Refused("X44", "nested_archive", name=excerpt(info.filename))
                if suffix == "xml":
                    wanted.append(info)
            if not wanted:
                names = ", ".join(excerpt(info.filename, 40) for info in infos[:10]) or "-"
                raise Refused("X17", "no_invoice_in_zip", names=names)
            left = UNPACKED_MAX_BYTES
            for info in sorted(wanted, key=lambda one: one.filename):
                content = _unpack(archive, info, left)
                left -= len(content)
                yield Entry(name=excerpt(info.filename.replace("\\", "/").rpartition("/")[2], 120), data=content)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError, ValueError) as error:
        raise Refused("X44", "broken_zip", reason=excerpt(str(error), 120)) from None


def _check_directory(data: bytes) -> None:
    """Look at the end record before the library builds a list of what it announces."""
    at = data.rfind(_END, max(0, len(data) - _END_BYTES - _COMMENT_MAX_BYTES))
    if at < 0 or len(data) < at + _END_BYTES:
        raise Refused("X44", "broken_zip", reason="no end record")
    count = int.from_bytes(data[at + 10 : at + 12], "little")
    size = int.from_bytes(data[at + 12 : at + 16], "little")
    if count > ENTRIES_MAX or size > _DIRECTORY_MAX_BYTES:
        raise Refused("X44", "too_many_entries", count=str(count), limit=str(ENTRIES_MAX))


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, left: int) -> bytes:
    """Return the content of one entry, at most `left` bytes and one XML document."""
    if info.compress_type not in _METHODS:
        raise Refused("X44", "broken_zip", reason=f"compression method {info.compress_type}")
    name = excerpt(info.filename)
    parts: list[bytes] = []
    size = 0
    with archive.open(info) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > XML_SIZE_MAX_BYTES:
                raise Refused("X42", "too_large", size=f">{XML_SIZE_MAX_BYTES}", limit=str(XML_SIZE_MAX_BYTES))
            if size > left:
                raise Refused("X44", "unpacks_too_large", name=name, limit=str(UNPACKED_MAX_BYTES))
            if size > _RATIO_FREE_BYTES and size > RATIO_MAX * max(info.compress_size, 1):
                raise Refused("X44", "ratio", name=name, limit=str(RATIO_MAX))
            parts.append(chunk)
    return b"".join(parts)
