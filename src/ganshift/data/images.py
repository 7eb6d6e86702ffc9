"""Decode single pictures: whatever is in the file becomes an upright L, RGB or RGBA picture, or one clear refusal."""

import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, Shaped, UInt8, UInt16
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError, features
from PIL.JpegImagePlugin import JpegImageFile

from ..files import read_file
from ..tensors import Side, height_and_width
from .colour_profiles import to_srgb
from .deep_files import DeepFile, open_deep, quieten_decoders, tiff_in_words
from .heads import ordinary_channels
from .value_range import LEVELS, ValueRange, eight_bits, opaque_at_top, range_of_values

SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
        *(".avif", ".heic", ".heif", ".hif", ".pbm", ".pgm", ".ppm", ".pnm"),
    }
)
"""Files with these endings, in either case, are taken for images; all others are passed over."""
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
"""Decoders that may be tried. Pillow knows more, but some of them start other programs."""
MAX_PIXELS = 80_000_000
"""Larger pictures are refused: this is below the size at which Pillow itself begins to suspect an attack."""
MAX_SIDE = 1_000_000
"""The longest side of a picture, since what is longer cannot be written: it is the limit of libpng, too."""
MAX_FILE_BYTES = 256 * 1024 * 1024
"""Larger files are refused unread; a zip member can claim to unpack to any size."""
MAX_SCANS = 100
"""Of a JPEG; usual are 1 to 20. Each takes the time of a picture, whatever few bytes it has."""
MAX_SCANNED = 20 * MAX_PIXELS
"""Pixels of all scans together."""
LARGE_PIXELS = 8_000_000
"""Pictures of more pixels than this are decoded one at a time, so that threads do not multiply what they take."""

NO_PICTURE = "not a JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF, HEIC or PNM picture"
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_DEEP = ("I", "F")  # how the names of modes with more than 8 bits begin: I, I;16, I;16B, F
_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
GRAY_MODES = ("1", "L", "LA", "La")
"""Modes of gray with up to 8 bits."""

_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
"""The beginning of a part of a JPEG that says its length; others stand within what is coded."""
_END, _SCAN = b"\xff\xd9", b"\xff\xda"

_large = threading.RLock()


class UnreadableImage(Exception):  # noqa: N818 - it names a thing that is set aside, not a failure of the run
    """A file that is no usable picture; the message is a short reason."""


@contextmanager
def bombs_are_errors() -> Iterator[None]:
    """Let Pillow's warning about a suspiciously large picture be an error inside the block, and silence its others.

    What else it warns of are broken notes in files whose pixels it can read. Enter it in the thread that starts the
    others: the list of warning filters belongs to the whole process.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def load_picture(
    source: Path | bytes, for_size: Side | None = None, value_range: ValueRange | Literal["own"] | None = "own"
) -> Image.Image:
    """Decode the first frame, turn it upright and give it in sRGB, in mode L, RGB or RGBA.

    RGBA comes back only when some pixel is really transparent. Of files with more than 8 bits a value, `value_range`
    says which values become 0 and 255: by default that which `range_of_values` finds in this one file. Without a range
    they are read as by 0.1.0: 0 to 65535, or floats of 0 to 1 if none is above 1. With `for_size`, a JPEG may come
    back smaller, but at least twice as high and as wide as that: decoding large photographs so is several times faster.
    """
    data = read_bytes(source)
    if value_range is not None and (deep := open_deep(data)):
        return _eight_bits(deep, value_range)
    picture = open_picture(data)
    with decoding(picture):
        if for_size is not None:
            _draft(picture, for_size)
        picture.load()
        return _plain(as_seen(picture))


@contextmanager
def decoding(picture: Image.Image | DeepFile) -> Iterator[None]:
    """Decode a picture inside the block: one large one at a time, and whatever a decoder raises as `refusal` of it."""
    with _large if picture.width * picture.height > LARGE_PIXELS else nullcontext():
        try:
            yield
        except Exception as error:
            raise refusal(error) from error


def read_deep(deep: DeepFile) -> tuple[Shaped[np.ndarray, "h w c"], UInt16[np.ndarray, "h w"] | None]:
    """The values of colours, and opacity in 16 bits if there is any."""
    check_pixels(deep.width, deep.height)
    with decoding(deep):
        colours, alpha = deep.read()
        return colours, None if alpha is None else opaque_at_top(alpha.dtype).levels(alpha)


def _eight_bits(deep: DeepFile, value_range: ValueRange | Literal["own"]) -> Image.Image:
    with decoding(deep):
        colours, alpha = read_deep(deep)
        levels = (range_of_values([colours]) if value_range == "own" else value_range).levels(colours)
        if alpha is not None and alpha.min() < LEVELS:
            levels = np.dstack([levels.repeat(3 // levels.shape[2], axis=2), alpha])
        return to_picture(eight_bits(levels).transpose(2, 0, 1))


def probe_channels(source: Path | bytes, value_range: ValueRange | Literal["own"] | None = "own") -> int:
    """How many bands `load_picture` gives, from the head alone; what may be transparent is decoded in full."""
    data = read_bytes(source)
    if known := ordinary_channels(data):
        return known
    if value_range is not None and (deep := open_deep(data)):
        check_pixels(deep.width, deep.height)
        return deep.channels if deep.alpha is None else len(load_picture(data, None, value_range).getbands())
    picture = open_picture(data)
    if may_be_transparent(picture):
        with decoding(picture):
            picture.load()
            return len(_plain(picture).getbands())
    return 1 if picture.mode in GRAY_MODES or is_deep(picture) else 3


def with_channels(picture: Image.Image, channels: int) -> Image.Image:
    """The picture in gray, colour or colour with transparency; what transparency is given up goes over white."""
    if picture.mode == "RGBA" and channels != 4:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture if picture.mode == _MODES[channels] else picture.convert(_MODES[channels])


def fit_picture(picture: Image.Image, size: Side, channels: int) -> UInt8[np.ndarray, "c h w"]:
    """Cut out the largest centred box of the shape of `size` and resize it, antialiased; transparency goes over white.

    It equals resizing the picture until it just covers `size` and cropping the centre, without the work on what is
    cropped away. A box of exactly `size` is cut out and not resampled.
    """
    height, width = height_and_width(size)
    assert height >= 1
    assert width >= 1
    picture = with_channels(picture, channels)
    # One side of the box is the picture's; the other follows from the shape, and may end between two pixels.
    box_width = min(float(picture.width), picture.height * width / height)
    box_height = min(float(picture.height), picture.width * height / width)
    # Whole-pixel offsets: a picture that already has the right height must not be blurred by half a pixel.
    left, top = int(picture.width - box_width) // 2, int(picture.height - box_height) // 2
    if (box_height, box_width) == (height, width):
        return to_pixels(picture.crop((left, top, left + width, top + height)))
    box = (left, top, left + box_width, top + box_height)
    return to_pixels(picture.resize((width, height), Image.Resampling.BICUBIC, box))


def to_pixels(picture: Image.Image) -> UInt8[np.ndarray, "c h w"]:
    """The values of an L, RGB or RGBA picture."""
    pixels = np.asarray(picture)
    return pixels[None].copy() if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def to_picture(pixels: UInt8[np.ndarray, "c h w"]) -> Image.Image:
    """The picture of 1, 3 or 4 channels of values; inverts `to_pixels`."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def png_of(picture: Image.Image) -> bytes:
    """The file of a picture of any mode that PNG has, without loss."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def open_picture(source: Path | bytes) -> Image.Image:
    """Look at the head of the file; pixels are decoded later."""
    data = read_bytes(source)
    quieten_decoders()
    try:
        picture = Image.open(io.BytesIO(data), formats=_decoders(data))
        check_pixels(*picture.size)  # in here, because some decoders find out only now that they know none
        if isinstance(picture, JpegImageFile):
            _check_scans(data, picture.width * picture.height)
    except UnidentifiedImageError as error:
        raise UnreadableImage(tiff_in_words(data) or NO_PICTURE) from error
    except Exception as error:
        raise refusal(error) from error
    return picture


def _decoders(data: bytes) -> tuple[str, ...]:
    """Which decoders to try: that of AVIF is missing in some builds of Pillow, and that of HEIC is in an extra."""
    if data[4:8] != b"ftyp":
        return FORMATS
    if b"avif" in data[8:64] or b"avis" in data[8:64]:
        if not features.check("avif"):
            raise UnreadableImage('AVIF, which this Pillow does not read; pip install -U "pillow>=11.3"')
        return ("AVIF",)
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise UnreadableImage('HEIC; to read it, pip install "ganshift[heic]"') from error
    register_heif_opener()
    return ("HEIF",)


def read_bytes(source: Path | bytes) -> bytes:
    """The content of a file of the user's, or the bytes themselves; `UnreadableImage` if there are none."""
    try:
        data = source if isinstance(source, bytes) else read_file(source, MAX_FILE_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise UnreadableImage(f"cannot be read ({getattr(error, 'strerror', error)})") from error
    if not data:
        raise UnreadableImage("empty file")
    return data


def check_pixels(width: int, height: int, most: int = MAX_PIXELS) -> None:
    """Raise `UnreadableImage` for pictures without a pixel, with more than `most`, or with too long a side."""
    if width < 1 or height < 1:
        raise UnreadableImage(f"no pixels: {width} x {height}")
    if width * height > most:
        raise UnreadableImage(f"too large: {width} x {height} is more than {most:,} pixels")
    if max(width, height) > MAX_SIDE:
        raise UnreadableImage(f"too large: {width} x {height} has a side of more than {MAX_SIDE:,} pixels")


def _check_scans(data: bytes, pixels: int) -> None:
    """Raise `UnreadableImage` for a JPEG of so many scans that nobody can mean them as a picture."""
    most = min(MAX_SCANS, MAX_SCANNED // pixels)
    if data.count(_SCAN) <= most:
        return
    at, scans = 0, 0  # what cameras put after the end, or into notes, may look like scans
    while scans <= most and (found := _MARKER.search(data, at)) and found[0] != _END:
        scans += found[0] == _SCAN
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    if scans > most:
        raise UnreadableImage(f"too many scans: this JPEG has more than the {most} that are decoded at its size")


def refusal(error: Exception) -> UnreadableImage | MemoryError:
    """What to raise in place of what a decoder raised: damaged bytes make decoders raise almost anything."""
    if isinstance(error, UnreadableImage | MemoryError):  # MemoryError: the machine is at fault, not the file
        return error
    if isinstance(error, UnidentifiedImageError):
        return UnreadableImage(NO_PICTURE)
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return UnreadableImage(f"too large: more than {MAX_PIXELS:,} pixels")
    if "truncated" in str(error).lower():
        return UnreadableImage("truncated file")
    reason = " ".join(str(error).split()) or type(error).__name__
    return UnreadableImage(f"damaged file ({reason[:80]})")


def is_deep(picture: Image.Image) -> bool:
    """Whether it has one channel of more than 8 bits; Pillow knows no deep colour."""
    return picture.mode.startswith(_DEEP)


def deep_levels(values: Shaped[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """Values of a type of more than 8 bits in 0..65535; floats count as 0..1 if none is above 1."""
    with np.errstate(invalid="ignore", over="ignore"):  # floats of damaged files
        levels = np.nan_to_num(values.astype(np.float32), copy=False)
        if values.dtype.kind == "f" and levels.max() <= 1:
            levels *= LEVELS
    return levels.clip(0, LEVELS, out=levels)


def _draft(picture: Image.Image, size: Side) -> None:
    """Let a JPEG be decoded at the smallest scale that leaves at least twice this height and width, once upright."""
    if not isinstance(picture, JpegImageFile):
        return
    height, width = height_and_width(size)
    if _is_turned(picture):
        height, width = width, height
    picture.draft(None, (2 * width, 2 * height))  # None keeps the mode


def orientation(picture: Image.Image) -> int:
    """How the camera was held, from 1 (upright) to 8; broken notes say nothing."""
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def _is_turned(picture: Image.Image) -> bool:
    """Whether `upright` will turn the picture by a quarter, so that its stored width is its height."""
    return orientation(picture) in range(5, 9)


def upright_size(picture: Image.Image) -> tuple[int, int]:
    """Width and height that the picture will have once upright, from its head alone."""
    width, height = picture.size
    return (height, width) if _is_turned(picture) else (width, height)


def upright(picture: Image.Image) -> Image.Image:
    """Apply the orientation that a camera noted."""
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # broken notes of the camera say nothing about the pixels: keep the picture as it is
        return picture


def as_seen(picture: Image.Image) -> Image.Image:
    """The picture upright, and in sRGB: what its values alone do not say."""
    return to_srgb(upright(picture))


def may_be_transparent(picture: Image.Image) -> bool:
    """Whether its mode or its palette has transparency; no pixel need be transparent."""
    return picture.mode in _ALPHA or "transparency" in picture.info


def to_rgba(picture: Image.Image) -> Image.Image:
    """The picture in colour with transparency; premultiplied gray converts to nothing but LA."""
    return (picture.convert("LA") if picture.mode == "La" else picture).convert("RGBA")


def _plain(picture: Image.Image) -> Image.Image:
    """Bring any of Pillow's modes to L, RGB or RGBA."""
    if is_deep(picture):
        return Image.fromarray((deep_levels(np.asarray(picture)) * (255 / LEVELS)).round().astype(np.uint8))
    if not may_be_transparent(picture):
        if picture.mode in ("L", "RGB"):
            return picture
        return picture.convert("L" if picture.mode == "1" else "RGB")
    is_gray = picture.mode in GRAY_MODES
    picture = to_rgba(picture)
    if picture.getchannel("A").getextrema() == (255, 255):  # an alpha channel that hides nothing
        return picture.convert("L" if is_gray else "RGB")
    return picture
