"""The translator that `ganshift dual` trains, for pictures, arrays and tensors."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, overload

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ..data.bundled import photographs, sketch
from ..data.images import UnreadableImage, fit_picture, load_picture, to_picture
from ..data.originals import Original, from_array, from_pillow, load_original, to_array
from ..dual.bands import translate_in_bands
from ..dual.config import PUBLISHED_LEVELS, with_tuples
from ..dual.networks import UNet
from ..errors import UserError
from ..runtime.config import require
from ..tensors import Images, Side, from_uint8, height_and_width
from .pretrained import COLOURS, Pretrained, Sheets, enlarged

Domain = Literal["a", "b"]
PUBLISHED_SIZE = 256
"""Side of the images that DualGAN was published for."""
CHANNELS = (1, 3, 4)
"""Of images: gray, colour, colour with opacity."""
MAX_LEVELS = 32
"""Halvings that bring any image to one pixel."""
MAX_SIDE = 8192
"""Side, in pixels, that networks may say they were trained at."""
AT_ONCE_PIXELS = 2**20
"""Larger images are translated in bands."""
ROUNDING = 1e-3
"""Tensors may leave [-1, 1] by so much: what made them may have rounded."""
CARD_ROWS = 4
"""Pictures of each domain on the model card."""


class Translator(Pretrained):
    """A pair of generators trained by `ganshift dual`: images of domain a to domain b and back.

    `from_pretrained` opens one by the name of a run folder, or of a model of the Hugging Face hub:

    >>> translator = Translator.from_pretrained("runs/drawings")
    >>> translator.size, translator.channels
    (32, {'a': 3, 'b': 1})
    >>> translator("photo.jpg", to="b")
    <PIL.Image.Image image mode=L size=48x40 at 0x...>
    """

    method = "dual"

    def __init__(self, gen_ab: Mapping[str, Any], gen_ba: Mapping[str, Any]):
        super().__init__({"gen_ab": dict(gen_ab), "gen_ba": dict(gen_ba)})
        gen_ab, gen_ba = with_tuples(gen_ab), with_tuples(gen_ba)
        self.channels = {"a": gen_ab["in_channels"], "b": gen_ba["in_channels"]}
        """Of each domain: 1 for gray, 3 for colour, 4 for colour with opacity."""
        self.size: Side = gen_ab.get("size", PUBLISHED_SIZE)
        """Side, or height and width, of the images trained on."""
        _check_pair(gen_ab, gen_ba, self.size)
        self.gen_ab, self.gen_ba = UNet(**gen_ab), UNet(**gen_ba)
        self.eval()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Translator":
        """A translator with fresh weights, as a config.json describes it."""
        return cls(config["gen_ab"], config["gen_ba"])

    @torch.no_grad()
    def translate(self, images: Images, to: Domain = "b") -> Float[Tensor, "n c2 h w"]:
        """Map images in [-1, 1] to the other domain, at the same height and width, and back to their device.

        Images of more than `AT_ONCE_PIXELS` are computed in bands (`dual.bands`): the same result in less memory.
        Raises a `UserError` for images of other channels than their domain has.

        >>> translator = Translator.from_pretrained("runs/drawings")
        >>> images = 2 * torch.rand(4, 3, 40, 56) - 1
        >>> translator.translate(images, to="b").shape
        torch.Size([4, 1, 40, 56])
        """
        start, channels = other_domain(to), self.channels[other_domain(to)]
        require(images.shape[1] == channels, f"images of {start} have {channels} channels, got {images.shape[1]}")
        network = self.gen_ab if start == "a" else self.gen_ba
        if images.shape[2] * images.shape[3] > AT_ONCE_PIXELS:
            return torch.cat([translate_in_bands(network, image) for image in images.split(1)])
        return network(images.to(next(self.parameters()).device)).to(images.device)

    def translate_original(self, original: Original, to: Domain = "b") -> Original:
        """Translate one picture and keep what it is: its size, its bits and its opacity.

        Gray stays gray and colour stays colour where both domains have the same channels; elsewhere the picture
        becomes what the other domain has.
        """
        translated = self.translate(original.for_network(self.channels[other_domain(to)]), to)
        return original.given_back(translated, keep_mode=self.keeps_mode)

    @property
    def keeps_mode(self) -> bool:
        """Whether both domains have the same number of channels."""
        return self.channels["a"] == self.channels["b"]

    @overload
    def __call__(self, picture: str | Path | Image.Image, to: Domain = "b") -> Image.Image: ...

    @overload
    def __call__(self, picture: np.ndarray, to: Domain = "b") -> np.ndarray: ...

    @overload
    def __call__(self, picture: Tensor, to: Domain = "b") -> Tensor: ...

    def __call__(
        self, picture: str | Path | Image.Image | np.ndarray | Tensor, to: Domain = "b"
    ) -> Image.Image | np.ndarray | Tensor:
        """Translate one picture, at its own size and in its own mode, and give back the kind of thing that was given.

        - The name of a file, or a Pillow picture: a Pillow picture. Deep colour comes back in 8 bits, since Pillow has
          no other; `translate_original` keeps it.
        - An array [h, w] or [h, w, c] of uint8, of uint16, or of floats in [0, 1], where c is 1 gray, 2 gray and
          opacity, 3 colour, or 4 colour and opacity: an array of the same type, of [h, w] if one was given and the
          result is gray. Floats are rounded to 16 bits.
        - A tensor [c, h, w] or [n, c, h, w] of floats in [-1, 1], with the channels of its domain: a tensor of as many
          dimensions, and of its type.

        Whatever else is given raises a `UserError` that says what it is taken for.

        >>> translator = Translator.from_pretrained("runs/drawings")
        >>> translator(np.zeros((40, 56, 3), np.uint8), to="b").shape
        (40, 56, 1)
        >>> translator(torch.zeros(3, 40, 56), to="b").shape
        torch.Size([1, 40, 56])
        """
        if isinstance(picture, Tensor):
            return self._translate_tensor(picture, to)
        translated = self.translate_original(_original(picture), to)
        return to_array(translated, picture) if isinstance(picture, np.ndarray) else translated.to_pillow()

    def _translate_tensor(self, images: Tensor, to: Domain) -> Tensor:
        """Translate a batch or one image, after a look at what it is."""
        shape = list(images.shape)
        require(
            len(shape) in (3, 4) and 0 not in shape and images.is_floating_point(),
            f"a tensor must be [c, h, w] or [n, c, h, w] of floats in [-1, 1], got {images.dtype} {shape}; "
            "tensors.from_uint8 makes them out of bytes",
        )
        if not (images.abs() <= 1 + ROUNDING).all():  # so written, nan fails too
            raise UserError(f"a tensor must lie in [-1, 1], got {images.min():.3g} to {images.max():.3g}: scale it")
        batch = images if len(shape) == 4 else images[None]
        translated = self.translate(batch.float(), to).to(images.dtype)
        return translated if len(shape) == 4 else translated[0]

    def in_words(self) -> str:
        """What the model card says of it."""
        height, width = height_and_width(self.size)
        return (
            f"Two generators that translate pictures between domain a ({COLOURS[self.channels['a']]}) and domain b "
            f"({COLOURS[self.channels['b']]}), trained at {width} x {height} pixels on two sets of pictures of which "
            "no two belong together."
        )

    def sheets(self, pictures: Mapping[Any, Sequence[Any]] | None = None) -> Sheets:
        """Round trips of pictures of each domain: those given, as `__call__` takes them, or else bundled ones."""
        from ..dual.train import round_trips

        height, width = height_and_width(self.size)
        found = {}
        given: Mapping[Any, Sequence[Any]] = pictures or _bundled_pictures((height, width))
        require(set(given) <= {"a", "b"}, f"pictures are of the domains a and b, got {', '.join(map(str, given))}")
        for domain, shown in given.items():
            to, back = other_domain(domain), other_domain(other_domain(domain))
            require(
                len(shown) > 0, f"name at least one picture of {domain} to show the model on, or leave {domain} out"
            )
            fitted = [_fitted(picture, (height, width), self.channels[back]) for picture in shown]
            trips = round_trips(torch.stack(fitted), partial(self.translate, to=to), partial(self.translate, to=back))
            found[f"samples-{domain}.png"] = enlarged(trips)
        return found


def _check_pair(gen_ab: Mapping[str, Any], gen_ba: Mapping[str, Any], size: Side) -> None:
    """Raise unless these are arguments of two U-Nets of which each takes what the other gives."""
    for one, other in ((gen_ab, gen_ba), (gen_ba, gen_ab)):
        require(
            type(one["in_channels"]) is int
            and one["in_channels"] in CHANNELS
            and one["in_channels"] == other["out_channels"],
            f"channels must be 1, 3 or 4, and the same in both directions, got {one['in_channels']}",
        )
        levels = one.get("levels", PUBLISHED_LEVELS)
        require(levels in range(1, MAX_LEVELS + 1), f"levels must be from 1 to {MAX_LEVELS}, got {levels}")
    sides = height_and_width(size)
    require(
        len(sides) == 2 and all(type(side) is int and 1 <= side <= MAX_SIDE for side in sides),
        f"size must be one or two sides of 1 to {MAX_SIDE} pixels, got {size}",
    )


def other_domain(domain: Domain) -> Domain:
    """The one that translations to this domain start from."""
    if domain not in get_args(Domain):
        raise UserError(f"to must be a or b, got {domain!r}")
    return "a" if domain == "b" else "b"


def _original(picture: str | Path | Image.Image | np.ndarray) -> Original:
    """What a file, a Pillow picture or an array holds; a `UserError` if that is no picture."""
    if isinstance(picture, np.ndarray):
        return from_array(picture)
    if isinstance(picture, Image.Image):
        return from_pillow(picture)
    try:
        return load_original(Path(picture))
    except UnreadableImage as error:
        raise UserError(f"{picture}: {error}") from None


def _fitted(
    picture: str | Path | Image.Image | np.ndarray, size: tuple[int, int], channels: int
) -> Float[Tensor, "channels h w"]:
    """A picture cropped and scaled as in training."""
    pixels = fit_picture(load_picture(_original(picture).to_png()), size, channels)
    return from_uint8(torch.from_numpy(pixels)[None])[0]


def _bundled_pictures(size: tuple[int, int]) -> dict[str, list[Image.Image]]:
    """Photographs, and sketches of them, at this height and width."""
    photos = [to_picture(fit_picture(photo, size, 3)) for photo in list(photographs().values())[:CARD_ROWS]]
    return {"a": photos, "b": [sketch(photo) for photo in photos]}
