"""Models as graphs to export: plain layers, named inputs, axes that vary, and inputs to check them with.

What is exported has the same weights in layers that every runtime knows (`nn.plain`). How a U-Net pads depends on
whether a side is odd, and a graph that asks so at each of eight levels takes more than minutes to export. So sides have
to be multiples of a translator's `step`: then no map on the way has an odd one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from ... import __version__
from ...data.domain_names import names_to_json
from ...data.value_range import STORED
from ...errors import UserError
from ...inference.generator import ImageGenerator
from ...inference.latents import draw_latents
from ...inference.translator import MAX_SIDE, Domain, ImageTranslator, other_domain
from ...nn.plain import plain_copy
from ...tensors import Images, Side, from_uint8, height_and_width, to_uint8
from ...training.config import require

BATCHES = (1, 3, 8)
"""Batch sizes that an exported model is checked with."""
CHECK_SEED = 0
"""Of the latents and the pictures that it is checked with."""
Pictures = UInt8[Tensor, "n h w c"]
"""Images in [0, 255] with the channels last, as files and image libraries have them."""
Axes = Mapping[int, int]
"""The axes of an input that may vary, each with the number that its length is a multiple of."""


@final
@dataclass(frozen=True)
class Graph:
    """One network as it is exported."""

    name: str
    """What its file is called, without the ending."""
    title: str
    """What people call it."""
    module: nn.Module
    """Takes the inputs in their order and gives the output."""
    inputs: Mapping[str, Axes]
    output: str
    reference: Callable[..., Tensor]
    """What the model gives for the same inputs when it is used in Python."""
    cases: Sequence[tuple[Tensor, ...]]
    """Inputs to compare both with."""
    facts: Mapping[str, Any]
    """What a user of the file has to know."""


def graphs_of(model: ImageGenerator | ImageTranslator, uint8: bool, size: Side | None = None) -> list[Graph]:
    """All networks of a model: one of a generator, of a translator one for each way that it has.

    A translator takes images of one size alone if it is given, for readers that know no others (OpenCV 4).
    """
    if isinstance(model, ImageGenerator):
        require(size is None, f"--size is for translators: this generator draws {model.size} x {model.size} pixels")
        return [graph_of_generator(model, uint8)]
    return [graph_of_translator(model, uint8, to, size) for to in model.ways]


def graph_of_generator(model: ImageGenerator, uint8: bool) -> Graph:
    """A generator: latents [n, z], and labels [n] if it has classes, to images; normalised by running statistics."""
    convert = to_stored if uint8 else nn.Identity()
    cases = []
    for count in BATCHES:
        labels = [torch.arange(count) % len(model.classes)] if model.classes else []
        cases.append((draw_latents(count, CHECK_SEED, dim=model.latent_dim), *labels))
    return Graph(
        name="generator",
        title="generator",
        module=_Pipeline(nn.Identity(), plain_copy(model.network), convert),
        inputs={"latents": {0: 1}, **({"labels": {0: 1}} if model.classes else {})},
        output="images",
        reference=lambda *inputs: convert(model.generate(*inputs)),
        cases=cases,
        facts=_facts(model, uint8, channels=model.channels, classes=list(model.classes)),
    )


def graph_of_translator(model: ImageTranslator, uint8: bool, to: Domain, size: Side | None = None) -> Graph:
    """One way of a translator: images whose sides are multiples of its step, or of one size, to images like them."""
    source, step = other_domain(to), model.step
    require(2 * step <= MAX_SIDE, f"images would have to be multiples of {step} pixels: this network is too deep")
    before, after = (from_stored, to_stored) if uint8 else (nn.Identity(), nn.Identity())
    channels = {"channels_in": model.channels[source], "channels_out": model.channels[to]}
    sides = () if size is None else height_and_width(size)
    if any(side < step or side % step or side > MAX_SIDE for side in sides):
        raise UserError(f"size must be multiples of {step} up to {MAX_SIDE}, got {' x '.join(map(str, sides))}")
    pictures = _pictures(model, source, step, sides)
    fixed = {"fixed_size": list(sides)} if sides else {}
    named = names_to_json(model.names)
    varying = (0,) if sides else (0, 1, 2) if uint8 else (0, 2, 3)
    return Graph(
        name=f"{source}2{to}",
        title=model.direction(to),
        module=_Pipeline(before, plain_copy(model.network(to)), after),
        inputs={"images": {axis: step if axis else 1 for axis in varying}},
        output="translated",
        reference=lambda images: after(model.translate(before(images), to)),
        cases=[(images if uint8 else from_stored(images),) for images in pictures],
        facts=_facts(model, uint8, direction=f"{source} to {to}", step=step, **named, **channels, **fixed),
    )


def to_stored(images: Images) -> Pictures:
    """Images in [-1, 1] to what is stored, rounded to the nearest level."""
    return to_uint8(images).permute(0, 2, 3, 1)


def from_stored(pictures: Pictures) -> Images:
    """What is stored to images in [-1, 1]."""
    return from_uint8(pictures.permute(0, 3, 1, 2))


def _facts(model: ImageGenerator | ImageTranslator, uint8: bool, **facts: Any) -> dict[str, Any]:
    layout = "uint8, n h w c, from 0 to 255" if uint8 else "float32, n c h w, from -1 to 1"
    facts = {"method": model.method, "images": layout, "size": model.size, **facts}
    ranges = {STORED: model.config[STORED]} if STORED in model.config else {}
    return {**facts, **ranges, "data": model.config.get("data"), "ganshift": __version__}


def _pictures(model: ImageTranslator, source: Domain, step: int, fixed: Sequence[int]) -> list[Pictures]:
    """Noise: all batches at the size trained at, then a taller and a wider one, unless the size is fixed."""
    height, width = fixed or (-(-side // step) * step for side in height_and_width(model.size))  # up to whole steps
    shapes = [(count, height, width) for count in BATCHES]
    shapes += [] if fixed else [(1, height + step, width), (3, height, width + step)]
    random, channels = torch.Generator().manual_seed(CHECK_SEED), model.channels[source]
    return [torch.randint(256, (*shape, channels), generator=random, dtype=torch.uint8) for shape in shapes]


class _Pipeline(nn.Module):
    """What comes before a network, the network, and what comes after it."""

    def __init__(
        self, before: Callable[[Tensor], Tensor], network: nn.Module, after: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.before, self.network, self.after = before, network, after
        self.eval()

    def forward(self, first: Tensor, labels: Tensor | None = None) -> Tensor:
        others = () if labels is None else (labels,)  # a U-Net takes none at all
        return self.after(self.network(self.before(first), *others))
