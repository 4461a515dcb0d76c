"""Zips that others made: how much their table of contents and their entries claim to hold, before any is unpacked."""

import struct
import zipfile
from pathlib import Path

LARGEST_CONTENTS = 2**25
"""Bytes of the table of contents of a zip: some hundred thousand entries."""

_END, _SIZE, _END_64, _LOCATOR_64 = b"PK\x05\x06", 22, b"PK\x06\x06", b"PK\x06\x07"
_COMMENT = 2**16


def check_contents(path: Path) -> None:
    """Refuse a zip with a table of contents larger than `LARGEST_CONTENTS`, which is read as one.

    Raises:
        ValueError: it is larger; the message is a few words.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        start = max(0, size - _SIZE - _COMMENT)
        file.seek(start)
        tail = file.read()
        at = tail.rfind(_END)
        if at < 0 or at + _SIZE > len(tail):
            return  # no zip, as whoever opens it will find
        contents = struct.unpack_from("<L", tail, at + 12)[0]
        if tail[max(0, at - 20) : at].startswith(_LOCATOR_64):
            file.seek(max(0, start + at - 20 - 56))
            record = file.read(56)
            contents = struct.unpack_from("<Q", record, 40)[0] if record.startswith(_END_64) else contents
    if contents > LARGEST_CONTENTS:
        raise ValueError(f"a table of contents of {contents:,} bytes, where {LARGEST_CONTENTS:,} are the most")


def check_stored(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse a zip of this size that holds packed entries, or entries that claim more than the file has.

    Raises:
        ValueError: it does; the message is a few words.
    """
    packed = [each.filename for each in archive.infolist() if each.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise ValueError(f"the packed entry {packed[0][:40]!r}, where all are stored as they are")
    claimed = sum(each.file_size for each in archive.infolist())
    if claimed > size:
        raise ValueError(f"entries of {claimed:,} bytes in a file of {size:,}")
