"""How many channels an ordinary PNG or JPEG has, by its first bytes alone: decoders take far longer for small files.

What is unusual in the least is left to a decoder, which says what it is, or what is wrong with it.
"""

import struct
import zlib

_MOST = 8192  # pixels a side
_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">I4s2I5B")  # length, name, width, height, bits, kind, packing, filter, interlacing
_CHANNELS = {(1, 0): 1, (2, 0): 1, (4, 0): 1, (8, 0): 1, (8, 2): 3, (1, 3): 3, (2, 3): 3, (4, 3): 3, (8, 3): 3}
"""By bits and kind, of pictures that have no opacity."""
_CHUNK, _CHECKSUM = struct.Struct(">I4s"), struct.Struct(">I")
_FEWEST_BYTES = {b"PLTE": 0, b"gAMA": 4, b"pHYs": 9, b"sRGB": 1}
"""What else may come before the pixels, with the least that Pillow reads of it."""
_JPEG = b"\xff\xd8"
_SEGMENT, _FRAME = struct.Struct(">BBH"), struct.Struct(">B2HB")  # 255, marker, length; bits, height, width, layers
_FRAMES, _TABLES, _SCAN, _JFIF = (0xC0, 0xC1, 0xC2), 0xDB, 0xDA, 0xE0
_PASSED_OVER = (0xC4, 0xDD, 0xFE)  # Huffman codes, restart intervals, comments


def ordinary_channels(head: bytes) -> int | None:
    """1 of gray or 3 of colour, of up to 8192 pixels a side; None for what must be opened to be known."""
    width, height, channels = 0, 0, None
    try:
        if head.startswith(_PNG):
            width, height, channels = _of_png(head)
        elif head.startswith(_JPEG):
            width, height, channels = _of_jpeg(head)
    except struct.error:  # it ends too early
        return None
    return channels if 0 < width <= _MOST and 0 < height <= _MOST else None


def _of_png(head: bytes) -> tuple[int, int, int | None]:
    length, name, width, height, bits, kind, _, filtering, _ = _HEADER.unpack_from(head, len(_PNG))
    at = _after_chunk(head, len(_PNG))
    if (length, name, filtering) != (13, b"IHDR", 0) or not at:
        return 0, 0, None
    while at:
        length, name = _CHUNK.unpack_from(head, at)
        if name == b"IDAT":
            return width, height, _CHANNELS.get((bits, kind))
        at = _after_chunk(head, at) if length >= _FEWEST_BYTES.get(name, len(head)) else 0
    return 0, 0, None


def _after_chunk(head: bytes, at: int) -> int:
    """Where the next chunk begins; 0 if this one is damaged."""
    end = at + _CHUNK.size + _CHUNK.unpack_from(head, at)[0]
    (checksum,) = _CHECKSUM.unpack_from(head, end)
    return end + _CHECKSUM.size if zlib.crc32(head[at + 4 : end]) == checksum else 0


def _of_jpeg(head: bytes) -> tuple[int, int, int | None]:
    width, height, channels, at = 0, 0, None, len(_JPEG)
    while True:
        begin, marker, length = _SEGMENT.unpack_from(head, at)
        content = head[at + _SEGMENT.size : at + 2 + length]
        is_known = marker in _PASSED_OVER or marker == _SCAN
        if marker in _FRAMES:
            bits, height, width, layers = _FRAME.unpack_from(content)
            channels = {1: 1, 3: 3, 4: 3}.get(layers)
            is_known = bits == 8 and channels is not None and len(content) % 3 == 0
        elif marker == _TABLES:  # of 64 values of 8 bits, each behind its number
            is_known = len(content) % 65 == 0 and all(number < 16 for number in content[::65])
        elif marker == _JFIF:
            is_known = content.startswith(b"JFIF\0") and len(content) >= 7
        if not is_known or begin != 0xFF or len(content) + 2 != length:
            return 0, 0, None
        if marker == _SCAN:
            return width, height, channels
        at += 2 + length
