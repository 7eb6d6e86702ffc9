"""What every translator can do, whichever method trained it: pictures, arrays and tensors to the other domain."""

import unicodedata
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, overload

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from ..data.bundled import photographs, sketch
from ..data.domain_names import DomainNames, folders_of, in_files, stored_names
from ..data.images import UnreadableImage, fit_picture, load_picture, to_picture
from ..data.pixel_formats import FormattedPicture, from_array, from_pillow, load_formatted, to_array
from ..data.value_range import ValueRange, stored_range
from ..errors import UserError, choose
from ..tensors import Images, Side, image_grid, to_colour
from ..training.config import require
from .pretrained import CardGrids, Pretrained, enlarged

Domain = Literal["a", "b"]
MAX_SIDE = 8192
"""Side, in pixels, that models may say they were trained at, and largest one that exported models take."""
AT_ONCE_PIXELS = 2**20
"""Larger images may be translated in parts, and a browser's memory holds no larger ones."""


class ImageTranslator(Pretrained):
    """Images of domain a to domain b and back, or one of these ways alone.

    A method's model defines `translate`, `network` and `step`; the rest follows.
    """

    noun = "translator"
    pipeline_tag = "image-to-image"
    channels: dict[str, int]
    """Of each domain: 1 for gray, 3 for colour, 4 for colour with opacity."""
    size: Side
    """Side, or height and width, of the images trained on."""
    ways: tuple[Domain, ...] = ("b", "a")
    """The domains that it translates to."""

    @property
    def names(self) -> DomainNames:
        """What the domains are called, by "a" and "b": A and B if the model has no names."""
        return stored_names(self.config)

    def domain(self, name: str) -> Domain:
        """The domain that `name` means, whether upper or lower case: a, b, or what the model calls it.

        The form of a name in files serves too, such as label-map of "label map". Raises a `UserError` with the names
        that there are for any other.
        """
        known: dict[str, Domain] = {}
        for domain in get_args(Domain):
            called = self.names[domain]
            known |= {each.casefold(): domain for each in (domain, called, in_files(called))}
        return known[choose(unicodedata.normalize("NFC", str(name)).casefold(), known, "domain")]

    def direction(self, to: str) -> str:
        """What is translated to what: "photo to sketch"."""
        to = self.domain(to)
        return f"{self.names[other_domain(to)]} to {self.names[to]}"

    def folders(self, to: str) -> tuple[str, str, str]:
        """The names of folders and files for what is translated to a domain: see `folders_of`."""
        to = self.domain(to)
        return folders_of(self.names, other_domain(to), to)

    def check_way(self, to: str) -> None:
        """Raise a `UserError` unless it translates to this domain."""
        to = self.domain(to)
        if to not in self.ways:
            there = self.direction(other_domain(to))
            raise UserError(f"this model only translates {there}: there is no network for {self.direction(to)}")

    @abstractmethod
    def translate(self, images: Images, to: str = "b") -> Float[Tensor, "n c2 h w"]:
        """Map images in [-1, 1] to a domain (`domain`), at the same height and width, and back to their device."""

    @abstractmethod
    def network(self, to: str) -> nn.Module:
        """The network that translates to a domain: images [n, c, h, w] in [-1, 1] to [n, c2, h, w]."""

    @property
    @abstractmethod
    def step(self) -> int:
        """What both sides of images have to be multiples of for an exported network."""

    def translate_formatted(self, original: FormattedPicture, to: str = "b") -> FormattedPicture:
        """Translate one picture and keep what it is: its size, its bits and its opacity.

        Where the other domain has a range of values, the result has values of it, of its type. Gray stays gray and
        colour stays colour where both domains have the same channels; elsewhere the picture becomes what the other
        domain has.
        """
        to = self.domain(to)
        translated = self.translate(original.for_network(self.channels[other_domain(to)]), to)
        return original.given_back(translated, self.keeps_mode, self.value_range(to))

    def round_trip(self, original: FormattedPicture, to: str = "b") -> tuple[list[FormattedPicture], float]:
        """The picture, its translation and the way back; and the mean distance of both ends.

        The distance is of values in [-1, 1], before what came back is rounded to the picture's bits.
        """
        to = self.domain(to)
        images = original.for_network(self.channels[other_domain(to)])
        there = self.translate(images, to)
        back = self.translate(there, other_domain(to))  # not rounded in between
        own, other = self.value_range(other_domain(to)), self.value_range(to)
        made = [original, original.given_back(there, self.keeps_mode, other), original.given_back(back, True, own)]
        return made, (back - images).abs().mean().item()

    def load(self, source: Path | bytes, to: str = "b", page: int = 0) -> FormattedPicture:
        """The picture of a file of the domain that this way starts from; raises `UnreadableImage`."""
        return load_formatted(source, self.value_range(other_domain(self.domain(to))), page)

    def as_trained(self, source: Path | bytes, to: str = "b") -> FormattedPicture:
        """The picture of a file, cropped and scaled to the size of training, in the channels of its domain."""
        to = self.domain(to)
        return self._fitted(load_picture(source, self.size, self.value_range(other_domain(to))), to)

    def _fitted(self, picture: Image.Image, to: Domain) -> FormattedPicture:
        return from_pillow(to_picture(fit_picture(picture, self.size, self.channels[other_domain(to)])))

    def value_range(self, domain: str) -> ValueRange | None:
        """What is black and white in files of a domain with more than 8 bits a value, as its run found or was told."""
        return stored_range(self.config, self.domain(domain))

    @property
    def keeps_mode(self) -> bool:
        """Whether both domains have the same number of channels."""
        return self.channels["a"] == self.channels["b"]

    @overload
    def __call__(self, picture: str | Path | Image.Image, to: str = "b") -> Image.Image: ...

    @overload
    def __call__(self, picture: np.ndarray, to: str = "b") -> np.ndarray: ...

    @overload
    def __call__(self, picture: Tensor, to: str = "b") -> Tensor: ...

    def __call__(
        self, picture: str | Path | Image.Image | np.ndarray | Tensor, to: str = "b"
    ) -> Image.Image | np.ndarray | Tensor:
        """Translate one picture, at its own size and in its own mode, and give back the kind of thing that was given.

        `to` is a or b, or what the model calls the domain (`names`). What can be given:

        - The name of a file, or a Pillow picture: a Pillow picture. Deep colour comes back in 8 bits, since Pillow has
          no other; `translate_formatted` keeps it. Deep gray has the values of its domain, in mode I;16, I or F.
        - An array [h, w] or [h, w, c] of uint8, of uint16, or of floats in [0, 1], where c is 1 gray, 2 gray and
          opacity, 3 colour, or 4 colour and opacity: an array of the same type, of [h, w] if one was given and the
          result is gray. Floats are rounded to 16 bits. Of a domain with a range of values (`value_range`), arrays of
          any type but uint8 hold values of it, and what is translated to it has its type.
        - A tensor [c, h, w] or [n, c, h, w] of floats in [-1, 1], with the channels of its domain: a tensor of as many
          dimensions, and of its type.

        Whatever else is given raises a `UserError` that says what it is taken for.

        >>> translator = Translator.from_pretrained("runs/drawings")
        >>> translator(np.zeros((40, 56, 3), np.uint8), to="b").shape
        (40, 56, 1)
        >>> translator(torch.zeros(3, 40, 56), to="b").shape
        torch.Size([1, 40, 56])
        """
        to = self.domain(to)
        if isinstance(picture, Tensor):
            return self._translate_tensor(picture, to)
        translated = self.translate_formatted(self._original(picture, to), to)
        return to_array(translated, picture) if isinstance(picture, np.ndarray) else translated.to_pillow()

    def _original(self, picture: str | Path | Image.Image | np.ndarray, to: Domain) -> FormattedPicture:
        """What a file, a Pillow picture or an array holds; a `UserError` if that is no picture."""
        value_range = self.value_range(other_domain(to))
        if isinstance(picture, np.ndarray):
            return from_array(picture, value_range)
        if isinstance(picture, Image.Image):
            return from_pillow(picture, value_range)
        try:
            return self.load(Path(picture), to)
        except UnreadableImage as error:
            raise UserError(f"{picture}: {error}") from None

    def _translate_tensor(self, images: Tensor, to: Domain) -> Tensor:
        """Translate a batch or one image, after a look at what it is."""
        shape = list(images.shape)
        require(
            len(shape) in (3, 4) and 0 not in shape and images.is_floating_point(),
            f"a tensor must be [c, h, w] or [n, c, h, w] of floats in [-1, 1], got {images.dtype} {shape}; "
            "tensors.from_uint8 makes them out of bytes",
        )
        if not (images.abs() <= 1.001).all():  # so written, nan fails too; what made them may have rounded
            raise UserError(f"a tensor must lie in [-1, 1], got {images.min():.3g} to {images.max():.3g}: scale it")
        batch = images if len(shape) == 4 else images[None]
        translated = self.translate(batch.float(), to).to(images.dtype)
        return translated if len(shape) == 4 else translated[0]

    def grids(self, pictures: Mapping[Any, Sequence[Any]] | None = None) -> CardGrids:
        """Round trips of pictures of each domain: those given, as `__call__` takes them, or else bundled ones.

        A model of one way shows pictures of one domain and their translations.
        """
        found = {}
        bundled = {
            domain: shown for domain, shown in _bundled_pictures(self.size).items() if other_domain(domain) in self.ways
        }
        given: Mapping[Any, Sequence[Any]] = pictures or bundled
        for name, shown in given.items():
            back = self.domain(name)
            to = other_domain(back)
            self.check_way(to)
            require(len(shown) > 0, f"name at least one picture of {name} to show the model on, or leave {name} out")
            originals = [self._original(picture, to) for picture in shown]
            fitted = [self._fitted(to_picture(each.in_eight_bits().channels()), to) for each in originals]
            start = torch.cat([picture.for_network(self.channels[back]) for picture in fitted])
            return_trip = partial(self.translate, to=back) if back in self.ways else None
            trips = round_trip_grid(start, partial(self.translate, to=to), return_trip)
            found[f"samples-{back}.png"] = enlarged(trips)
        return found


def other_domain(domain: Domain) -> Domain:
    """The one that translations to this domain start from."""
    return "a" if domain == "b" else "b"


def _bundled_pictures(size: Side) -> dict[Domain, list[Image.Image]]:
    """Four photographs, and sketches of them, of this size."""
    photos = [to_picture(fit_picture(photo, size, 3)) for photo in list(photographs().values())[:4]]
    return {"a": photos, "b": [sketch(photo) for photo in photos]}


@torch.no_grad()
def round_trip_grid(
    start: Tensor, there: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor] | None
) -> np.ndarray:
    """A sheet with rows of an image, its translation and, where there is one, the way back."""
    translated = there(start)
    shown = [start, translated, *([back(translated)] if back else [])]
    columns = [to_colour(images) for images in shown]
    return image_grid(torch.stack(columns, dim=1).flatten(0, 1), columns=len(columns))
