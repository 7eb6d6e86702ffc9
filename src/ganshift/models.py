"""Generator and Translator: the only door to trained models."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from .data.images import UnreadableImage, load_picture, to_picture, to_pixels, with_channels
from .dual.networks import UNet
from .errors import UserError
from .layers import batch_statistics as using_batch_statistics
from .runtime import run_folder
from .runtime.config import check_seed
from .runtime.device import choose_device
from .runtime.weights import copy_weights, load_weights
from .tensors import Images, Labels, Latents, from_uint8, to_uint8
from .transfer.networks import LATENT_DIM, ResNetGenerator

Model = TypeVar("Model", bound=nn.Module)
Domain = Literal["a", "b"]
SAMPLING_BATCH = 64
"""Images generated at once; without batch statistics it changes speed and memory only."""


class Generator(nn.Module):
    """A generator trained by `ganshift transfer`: latents, and labels if it has classes, to images."""

    def __init__(self, generator: Mapping[str, Any], classes: Sequence[str] = ()):
        super().__init__()
        self.generator = ResNetGenerator(**generator)
        self.classes = tuple(classes)
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
    ) -> list[Image.Image]:
        """Generate pictures: as many as said, or one per latent.

        `label` is a class name or number; without one, a conditional generator takes its classes in turn. The same
        seed gives the same pictures, and the first ones of a larger number.
        """
        device = next(self.parameters()).device
        latents = what if isinstance(what, Tensor) else draw_latents(what, seed)
        labels = self._labels(len(latents), label)
        pictures = []
        for start in range(0, len(latents), SAMPLING_BATCH):
            part = slice(start, start + SAMPLING_BATCH)
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
        self.gen_ab, self.gen_ba = UNet(**gen_ab), UNet(**gen_ba)
        self.eval()

    @classmethod
    def from_pretrained(cls, run: str | Path, device: str = "auto") -> "Translator":
        """Load the averaged weights of a run folder."""
        return _load(lambda config: cls(config["gen_ab"], config["gen_ba"]), Path(run), "dual", device)

    @torch.no_grad()
    def translate(self, images: Images, to: Domain = "b") -> Float[Tensor, "n c2 h w"]:
        """Map images in [-1, 1] to the other domain, at the same height and width."""
        return self._towards(to)(images)

    def __call__(self, picture: str | Path | Image.Image, to: Domain = "b") -> Image.Image:
        """Translate one picture, at its own size."""
        network = self._towards(to)
        if not isinstance(picture, Image.Image):
            picture = _open_picture(Path(picture))
        stored = torch.from_numpy(to_pixels(with_channels(picture, network.in_channels)))[None]
        images = self.translate(from_uint8(stored.to(next(self.parameters()).device)), to)
        return to_picture(to_uint8(images)[0].cpu().numpy())

    def _towards(self, to: Domain) -> UNet:
        if to not in get_args(Domain):
            raise UserError(f"to must be a or b, got {to!r}")
        return self.gen_ab if to == "b" else self.gen_ba


def _open_picture(path: Path) -> Image.Image:
    try:
        return load_picture(path)
    except UnreadableImage as error:
        raise UserError(f"{path}: {error}") from None


def draw_latents(count: int, seed: int) -> Latents:
    """Standard normal latents [count, 128]; a larger count starts with the same ones."""
    if count < 1:
        raise UserError(f"the number of images must be at least 1, got {count}")
    check_seed(seed)
    return torch.randn(count, LATENT_DIM, generator=torch.Generator().manual_seed(seed))


def _load(make: Callable[[dict[str, Any]], Model], run: Path, method: str, device: str) -> Model:
    """Build the model that the run's config.json describes, without memory, and put the file's weights in its place."""
    if not run.is_dir():
        raise UserError(f"there is no run folder {run}")
    config = run_folder.read_config(run)
    if config.get("method") != method:
        raise UserError(f"{run} holds a {config.get('method')} run, not a {method} run")
    try:
        with torch.device("meta"):
            model = make(config)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{run / run_folder.CONFIG} does not describe a {method} model: {error}") from None
    weights = load_weights(run / run_folder.MODEL)
    copy_weights(model, weights, str(run), "config.json and model are of different runs", assign=True)
    return model.to(choose_device(device)).eval().requires_grad_(False)
