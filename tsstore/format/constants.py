"""Every number that stands on disk. FORMAT.md lists them; a test compares the two.

Never reuse a number: a file written yesterday must mean the same tomorrow.
"""

from __future__ import annotations

#: Version of the whole format. A reader refuses a larger one.
FORMAT_VERSION = 3
#: Version of records that name no schema of synthetic rows: they are as that version has them, so
#: whoever has no such rows can go back to it.
FORMAT_VERSION_PLAIN = 2

#: First bytes of every record ("TSR1").
RECORD_MAGIC = 0x31525354
#: Last bytes of a segment file ("TSSEGEND").
SEGMENT_END_MAGIC = 0x444E454745535354

#: Kinds of records.
KIND_WAL_HEADER = 1
KIND_COMMIT = 2
KIND_SEAL = 3
KIND_CHECKPOINT = 4
KIND_SEGMENT_HEADER = 16
KIND_SEGMENT_FOOTER = 17
KIND_PACKED_FOOTER = 18
KIND_MANIFEST = 32

#: Encodings of a column block.
ENCODING_RAW = 0
ENCODING_CONSTANT = 1
#: Packed encodings.
ENCODING_FLOATS = 16
ENCODING_INTEGERS = 17
ENCODING_OFFSETS = 18
ENCODING_CHARACTERS = 19
ENCODING_NUMERALS = 20
ENCODING_WORDS = 21

#: Rows of a column block of a flat segment; the last one of a segment may hold fewer.
BLOCK_ROWS = 4096
#: Most rows of a column block of a packed segment.
PACKED_BLOCK_ROWS = 8192
#: How deep references between columns may be nested: the High refers to the Open, the Open to the
#: Close, and the Close, if prices are integers, to the time.
REFERENCE_DEPTH = 3
#: Largest body of a record in bytes; a larger length field is damage.
RECORD_BODY_MAX = 1 << 30
