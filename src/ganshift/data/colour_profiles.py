"""Colours as a file's ICC profile means them, brought to sRGB, which pictures without a profile are taken for."""

import io
from functools import lru_cache
from itertools import product

import numpy as np
from jaxtyping import UInt
from PIL import Image, ImageCms

_SAME = 1.5
"""A profile that moves no colour by more levels of 255 than rounding does is sRGB by another name."""
_SPACES = {"L": "GRAY", "RGB": "RGB", "RGBA": "RGB", "CMYK": "CMYK"}
"""What a profile must be of to hold for a picture of this mode."""
_STEPS = (0, 32, 64, 128, 192, 255)


def to_srgb(picture: Image.Image) -> Image.Image:
    """The picture in sRGB, without its profile; as it is where it has none, a broken one, or one of sRGB itself."""
    profile = picture.info.get("icc_profile")
    if not isinstance(profile, bytes):
        return picture
    if picture.mode == "LA":
        gray = to_srgb(_with_profile(picture.getchannel("L"), profile))
        return Image.merge("LA", (gray, picture.getchannel("A")))
    if picture.mode in ("P", "PA"):
        plain = picture.convert("RGBA" if picture.mode == "PA" or "transparency" in picture.info else "RGB")
        converted = to_srgb(_with_profile(plain, profile))
        return picture if converted is plain else converted
    transform = _transform(profile, picture.mode)
    if transform is None:
        return picture
    turned = ImageCms.applyTransform(picture, transform)
    assert turned is not None, "it is not done in place"
    turned.info.pop("icc_profile", None)
    return turned.convert("L") if picture.mode == "L" else turned


def deep_to_srgb(colours: UInt[np.ndarray, "h w c"], profile: bytes | None) -> UInt[np.ndarray, "h w c"]:
    """The same of 16-bit values of gray or colour."""
    mode, space = ("L", "gray") if colours.shape[2] == 1 else ("RGB", "rgb")
    if profile is None or _transform(profile, mode) is None:
        return colours
    from imagecodecs import cms_profile, cms_transform

    values = colours.squeeze(2) if mode == "L" else colours
    turned = cms_transform(values, profile, cms_profile("srgb"), colorspace=space, outcolorspace="rgb")
    return turned[..., : colours.shape[2]]


def _with_profile(picture: Image.Image, profile: bytes) -> Image.Image:
    picture.info["icc_profile"] = profile
    return picture


@lru_cache(16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB for pictures of a mode; None where there is nothing to convert, or no way to."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if opened.profile.xcolor_space.strip() != _SPACES.get(mode):
            return None
        colour = "RGBA" if mode == "RGBA" else "RGB"
        transform = ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, colour)
        probe = _probe(mode)
        turned = ImageCms.applyTransform(probe, transform)
    except Exception:  # a broken profile says nothing of the colours
        return None
    if mode == "CMYK":
        return transform
    before = np.asarray(probe.convert(colour), dtype=np.int16)
    moved = np.abs(np.asarray(turned, dtype=np.int16) - before).max()
    return transform if moved > _SAME else None


def _probe(mode: str) -> Image.Image:
    """A picture with colours from the whole of a mode's cube."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    values = np.array(list(product(_STEPS, repeat=bands)), dtype=np.uint8)
    return Image.frombytes(mode, (len(values), 1), values.tobytes())
