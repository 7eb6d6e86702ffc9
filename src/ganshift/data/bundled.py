"""Real pictures that scikit-image and scikit-learn bring along, for the demo, for tests and for a first try offline."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageFilter, ImageOps

from ..tensors import Side
from .datasets import Domains, ImageSet, open_array
from .images import fit_picture, to_picture, to_pixels

_NUM_FACES = 100  # of the 200 pictures in scikit-image's LFW subset, the first half are faces
_SMALLEST_CROP = 0.5  # of the side of the largest square: still shows what the picture is of

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels."""


def digits(size: Side = 32, *, classes: Sequence[int] | None = None, part: slice = slice(None)) -> ImageSet:
    """Handwritten digits (scikit-learn, from the UCI repository): up to 1797 gray images of 8 x 8, scaled up.

    Classes are "0" to "9", or those asked for, in that order; `part` takes some of what they have.
    """
    from sklearn.datasets import load_digits

    found = load_digits()
    kinds = tuple(range(10)) if classes is None else tuple(classes)
    chosen = np.flatnonzero(np.isin(found.target, kinds))[part]
    images = _to_levels(found.images[chosen] / 16)
    labels = np.array([kinds.index(target) for target in found.target[chosen]])
    names = [f"digit-{index:04d}" for index in chosen]
    return open_array(images[:, None], labels, tuple(map(str, kinds)), names, size)


def faces(size: Side = 32) -> ImageSet:
    """A hundred gray faces of 25 x 25 (scikit-image, from Labeled Faces in the Wild), scaled to `size`."""
    from skimage.data import lfw_subset

    images = _to_levels(lfw_subset()[:_NUM_FACES])
    return open_array(images[:, None], names=[f"face-{index:03d}" for index in range(_NUM_FACES)], size=size)


def photographs() -> dict[str, Image.Image]:
    """The colour photographs of scikit-image and scikit-learn: people, an animal, things, buildings, a plant."""
    import skimage.data
    from sklearn.datasets import load_sample_images

    pixels = {name: getattr(skimage.data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")}
    pixels["motorcycle"] = skimage.data.stereo_motorcycle()[0]
    pixels["china"], pixels["flower"] = load_sample_images().images
    return {name: Image.fromarray(photograph) for name, photograph in pixels.items()}


def sketch(picture: Image.Image) -> Image.Image:
    """A gray pencil sketch: the picture divided by a blurred copy of itself, so that only edges stay dark.

    This is the colour dodge of photo editors. The blur grows with the picture, so that lines look alike at all sizes.
    """
    gray = ImageOps.autocontrast(picture.convert("L"), cutoff=1)
    radius = max(1.0, min(gray.size) / 48)
    blurred = np.asarray(gray.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32)
    ratio = (np.asarray(gray, dtype=np.float32) + 24) / (blurred + 24)  # the 24 keeps noise in the dark from drawing
    strokes = np.minimum(ratio, 1) ** 1.6  # a power darkens the lines and leaves the paper white
    return Image.fromarray((strokes * 255).round().astype(np.uint8))


def photo_sketch(size: Side = 64, num_per_domain: int = 210, seed: int = 0, num_val: int = 14) -> Domains:
    """Crops of photographs (A, colour) and pencil sketches of other crops (B, gray), with some true pairs as val.

    Every photograph is cut in two: A has crops of one half and B of the other, so no pixel is in both. The val pairs
    straddle the cut and have the same name in A and B; parts of them were seen in training, as photo or as sketch.
    """
    random = np.random.default_rng(seed)
    pictures = photographs()

    def crops(part: int, wanted: int) -> dict[str, Image.Image]:
        """So many crops, by name, of one half of each photograph (0 or 1), or of what lies across the cut (2)."""
        taken: set[tuple[str, Box]] = set()
        found = {}
        for index in range(wanted):
            name = list(pictures)[index % len(pictures)]
            swap = index % len(pictures) % 2 and part < 2  # neither domain has all the skies, or all the left sides
            region = _regions(pictures[name].size)[1 - part if swap else part]
            box = _random_crop(region, random)
            while (name, box) in taken:
                box = _random_crop(region, random)
            taken.add((name, box))
            found[f"{name}-{index:03d}"] = to_picture(fit_picture(pictures[name].crop(box), size, 3))
        return found

    def gather(images: dict[str, Image.Image]) -> ImageSet:
        return open_array(np.stack([to_pixels(image) for image in images.values()]), names=list(images))

    def sketches(images: dict[str, Image.Image]) -> dict[str, Image.Image]:
        return {name: sketch(image) for name, image in images.items()}

    a, b, val = crops(0, num_per_domain), crops(1, num_per_domain), crops(2, num_val)
    return Domains(gather(a), gather(sketches(b)), gather(val), gather(sketches(val)))


def _regions(picture_size: tuple[int, int]) -> tuple[Box, Box, Box]:
    """Two halves along the longer side, and a part of the same extent around the cut."""
    width, height = picture_size
    if width > height:
        half, quarter = width // 2, width // 4
        return (0, 0, half, height), (half, 0, width, height), (quarter, 0, quarter + half, height)
    half, quarter = height // 2, height // 4
    return (0, 0, width, half), (0, half, width, height), (0, quarter, width, quarter + half)


def _random_crop(region: Box, random: np.random.Generator) -> Box:
    """A square of random size and place inside the region."""
    left, top, right, bottom = region
    largest = min(right - left, bottom - top)
    side = int(random.integers(int(largest * _SMALLEST_CROP), largest, endpoint=True))
    x = int(random.integers(left, right - side, endpoint=True))
    y = int(random.integers(top, bottom - side, endpoint=True))
    return x, y, x + side, y + side


def _to_levels(values: Float[np.ndarray, "n h w"]) -> UInt8[np.ndarray, "n h w"]:
    """From 0..1 to 0..255."""
    levels: np.ndarray = (values * 255).round().clip(0, 255).astype(np.uint8)
    return levels
