"""Generator and Translator: the only door to trained models."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from .data.images import UnreadableImage, to_picture
from .data.originals import Original, from_pillow, load_original
from .dual.bands import translate_in_bands
from .dual.config import PUBLISHED_LEVELS, with_tuples
from .dual.networks import UNet
from .errors import UserError
from .latents import draw, slerp, truncate
from .layers import batch_statistics as using_batch_statistics
from .runtime import run_folder
from .runtime.config import check_seed, require
from .runtime.device import choose_device
from .runtime.weights import build_on_paper, copy_weights, load_weights
from .tensors import Images, Labels, Latents, Side, height_and_width, to_uint8
from .transfer.networks import LATENT_DIM, ResNetGenerator
from .transfer.source import check_classes

Model = TypeVar("Model", bound=nn.Module)
Domain = Literal["a", "b"]
Rows = list[list[Image.Image]]
"""Pictures as they lie on a sheet."""
SAMPLING_BATCH = 64
"""Images generated at once. Without batch statistics it changes speed and memory only; with them it says whose
statistics are used: those of images 0 to 63, then of 64 to 127, and of what is left in the end."""
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
PUBLISHED_SHEET = (10, 10)
"""Rows and columns of the fixed sheet that both published codes draw, from one batch."""


class Generator(nn.Module):
    """A generator trained by `ganshift transfer`: latents, and labels if it has classes, to images."""

    def __init__(self, generator: Mapping[str, Any], classes: Sequence[str] = ()):
        super().__init__()
        self.generator = ResNetGenerator(**generator)
        self.classes = check_classes(classes, self.generator.num_classes)
        self.eval()

    @classmethod
    def from_pretrained(cls, run: str | Path, device: str = "auto") -> "Generator":
        """Load the averaged weights of a run folder."""
        return _load(lambda config: cls(config["generator"], config["classes"]), Path(run), "transfer", device)

    @torch.no_grad()
    def generate(self, latents: Latents, labels: Labels | None = None, batch_statistics: bool = False) -> Images:
        """Map standard normal latents [n, 128] to images in [-1, 1].

        A conditional generator needs labels. `batch_statistics` normalises by the batch, as both published codes do:
        then every image depends on its neighbours.
        """
        if (labels is None) != (not self.classes):
            needs = f"needs labels from 0 to {len(self.classes) - 1}" if self.classes else "takes no labels"
            raise UserError(f"this generator {needs}")
        if not batch_statistics:
            return self.generator(latents, labels)
        with using_batch_statistics(self.generator):
            return self.generator(latents, labels)

    def sample(
        self,
        what: int | Latents,
        label: str | int | None = None,
        seed: int = 0,
        batch_statistics: bool = False,
        truncation: float | None = None,
    ) -> list[Image.Image]:
        """Generate pictures: as many as said, or one per latent.

        `label` is a class name or number; without one, a conditional generator takes its classes in turn. `truncation`
        redraws numbers of the latents that are more standard deviations from 0 than it says: 2.0 changes little, 0.5
        gives more typical pictures that differ less. The same seed gives the same pictures, and the first ones of a
        larger number; under `batch_statistics` only whole batches of `SAMPLING_BATCH` stay the same.
        """
        latents = _within(what, truncation, seed) if isinstance(what, Tensor) else draw_latents(what, seed, truncation)
        return self._pictures(latents, self._labels(len(latents), label), batch_statistics)

    def interpolate(
        self,
        steps: int = 8,
        count: int = 8,
        label: str | int | None = None,
        seed: int = 0,
        batch_statistics: bool = False,
        truncation: float | None = None,
    ) -> Rows:
        """Generate strips of pictures that change step by step, `count` strips of `steps` pictures.

        Strip i goes along the arc (`latents.slerp`) from latent i of the seed to latent i + 1, and stays in one class:
        that of `label`, or class i in turn. So strips start with the pictures of `sample`, and where all are of one
        class, each ends with what the next starts with. Truncation is done to the ends.
        """
        require(count >= 1, f"the number of strips must be at least 1, got {count}")
        labels = self._labels(count, label)
        ends = draw_latents(count + 1, seed, truncation)
        latents = slerp(ends[:-1], ends[1:], steps).flatten(0, 1)  # count steps z -> count*steps z
        labels = labels.repeat_interleave(steps) if labels is not None else None
        return _in_rows(self._pictures(latents, labels, batch_statistics), steps)

    def class_grid(
        self, count: int = 8, seed: int = 0, batch_statistics: bool = False, truncation: float | None = None
    ) -> Rows:
        """Generate one row a class from the same `count` latents: a column shows what the class alone changes."""
        if not self.classes:
            raise UserError(
                "a class grid needs a generator with classes, and this one was trained without: draw with sample "
                "(leave out --class-grid), or train one with --conditioning acgan on one folder a class"
            )
        num_classes = len(self.classes)
        latents = draw_latents(count, seed, truncation).repeat(num_classes, 1)
        labels = torch.arange(num_classes).repeat_interleave(count)
        return _in_rows(self._pictures(latents, labels, batch_statistics), count)

    def published_sheet(self, seed: int = 0) -> Rows:
        """Generate the fixed sheet of both published codes: 10 rows of 10, normalised by the batch of all hundred.

        Picture i is of class i modulo the number of classes, so with ten classes each has a column. The latents are
        those of `sample(100, seed=seed)`.
        """
        rows, columns = PUBLISHED_SHEET
        latents, labels = draw_latents(rows * columns, seed), self._labels(rows * columns, None)
        return _in_rows(self._pictures(latents, labels, batch_statistics=True, at_once=rows * columns), columns)

    def _pictures(
        self, latents: Latents, labels: Labels | None, batch_statistics: bool, at_once: int = SAMPLING_BATCH
    ) -> list[Image.Image]:
        device = next(self.parameters()).device
        pictures = []
        for start in range(0, len(latents), at_once):
            part = slice(start, start + at_once)
            part_labels = labels[part].to(device) if labels is not None else None
            images = self.generate(latents[part].to(device), part_labels, batch_statistics)
            pictures += [to_picture(pixels.numpy()) for pixels in to_uint8(images).cpu()]
        return pictures

    def _labels(self, count: int, label: str | int | None) -> Labels | None:
        if not self.classes:
            if label is not None:
                raise UserError(f"label {label!r} was given, but this generator was trained without classes")
            return None
        if label is None:
            return torch.arange(count) % len(self.classes)
        names = [*self.classes, *map(str, range(len(self.classes)))]
        if str(label) not in names:
            numbers = f"or their numbers from 0 to {len(self.classes) - 1}"
            raise UserError(f"there is no class {label!r}; this generator has {', '.join(self.classes)}, {numbers}")
        return torch.full((count,), names.index(str(label)) % len(self.classes))


class Translator(nn.Module):
    """A pair of generators trained by `ganshift dual`: images of domain a to domain b and back."""

    def __init__(self, gen_ab: Mapping[str, Any], gen_ba: Mapping[str, Any]):
        super().__init__()
        gen_ab, gen_ba = with_tuples(gen_ab), with_tuples(gen_ba)
        self.channels = {"a": gen_ab["in_channels"], "b": gen_ba["in_channels"]}
        self.size: Side = gen_ab.get("size", PUBLISHED_SIZE)
        """Side, or height and width, of the images trained on."""
        _check_pair(gen_ab, gen_ba, self.size)
        self.gen_ab, self.gen_ba = UNet(**gen_ab), UNet(**gen_ba)
        self.eval()

    @classmethod
    def from_pretrained(cls, run: str | Path, device: str = "auto") -> "Translator":
        """Load the averaged weights of a run folder."""
        return _load(lambda config: cls(config["gen_ab"], config["gen_ba"]), Path(run), "dual", device)

    @torch.no_grad()
    def translate(self, images: Images, to: Domain = "b") -> Float[Tensor, "n c2 h w"]:
        """Map images in [-1, 1] to the other domain, at the same height and width, and back to their device.

        Images of more than `AT_ONCE_PIXELS` are computed in bands (`dual.bands`): the same result in less memory.
        """
        network = self.gen_ab if other_domain(to) == "a" else self.gen_ba
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

    def __call__(self, picture: str | Path | Image.Image, to: Domain = "b") -> Image.Image:
        """Translate one picture, at its own size and in its own mode.

        Deep colour comes back in 8 bits, since Pillow has no other; `translate_original` keeps it.
        """
        original = from_pillow(picture) if isinstance(picture, Image.Image) else _open_original(Path(picture))
        return self.translate_original(original, to).to_pillow()


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


def _open_original(path: Path) -> Original:
    try:
        return load_original(path)
    except UnreadableImage as error:
        raise UserError(f"{path}: {error}") from None


def draw_latents(count: int, seed: int, truncation: float | None = None) -> Latents:
    """Standard normal latents [count, 128], truncated if said; a larger count starts with the same ones."""
    if count < 1:
        raise UserError(f"the number of images must be at least 1, got {count}")
    check_seed(seed)
    return _within(draw(count, LATENT_DIM, seed), truncation, seed)


def _within(latents: Latents, truncation: float | None, seed: int) -> Latents:
    if truncation is None:
        return latents
    check_seed(seed)
    return truncate(latents, truncation, seed)


def _in_rows(pictures: list[Image.Image], columns: int) -> Rows:
    return [pictures[start : start + columns] for start in range(0, len(pictures), columns)]


def _load(make: Callable[[dict[str, Any]], Model], run: Path, method: str, device: str) -> Model:
    """Build the model that the run's config.json describes, without memory, and put the file's weights in its place."""
    if not run.is_dir():
        raise UserError(f"there is no run folder {run}")
    config = run_folder.read_config(run)
    if config.get("method") != method:
        raise UserError(f"{run} holds a {config.get('method')} run, not a {method} run")
    model = build_on_paper(lambda: make(config), str(run / run_folder.CONFIG), f"a {method} model")
    weights = load_weights(run / run_folder.MODEL)
    copy_weights(model, weights, str(run), "config.json and model are of different runs", assign=True)
    return model.to(choose_device(device)).eval().requires_grad_(False)
