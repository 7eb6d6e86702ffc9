"""What a pair of networks has to offer to be an architecture of `transfer`: `networks.ARCHITECTURES` names them.

Training, freezing, surgery, export and sources rely on this and on no name of a class or layer.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from ...tensors import Images, Labels, Latents, Scores
from ...training.config import require

MOST_STAGES = 10
"""Sizes of maps from 4x4 on: the last has 2,048 pixels a side."""
MOST_LAYERS = 64
"""Of one kind in a row."""


class GeneratorBackbone(nn.Module):
    """Latents, and labels if there are classes, to images in [-1, 1]."""

    size: int
    """Side of its square images."""
    channels: int
    num_classes: int
    """0 without classes."""
    latent_dim: int
    """Numbers of a latent."""
    options: tuple[str, ...] = ()
    """What else `forward` takes, by name."""

    @abstractmethod
    def forward(self, latents: Latents, labels: Labels | None = None) -> Images:
        """Generate one image per latent."""


class CriticBackbone(nn.Module):
    """Images to one score each, and to class logits where it has a class head."""

    per_image: bool
    """Whether it judges each image alone, so that no layer looks across a batch: the gradient penalty relies on it."""
    class_head: str
    """Name of the layer that sorts into classes: it may be missing, and other classes do not fit it. Empty if it never
    has one."""

    @abstractmethod
    def forward(self, images: Images, labels: Labels | None = None) -> tuple[Scores, Float[Tensor, "n classes"] | None]:
        """Score images; the logits are None without a class head."""

    @abstractmethod
    def blocks_from_image(self) -> list[nn.Module]:
        """Its blocks in the order that an image passes them; freezing takes the first ones."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The networks of a name."""

    generator: type[GeneratorBackbone]
    critic: type[CriticBackbone] | None
    """None where generators come alone."""
    tags: tuple[str, ...]
    """Words that a hub finds its models by."""
    papers: str
    """Where it was published, as a model card says it."""
    has_settings: bool = False
    """Whether widths, norms and conditioning are settings of a run; else its networks are those of its source."""
    not_trained: str = ""
    """Why no run trains them, as the end of a sentence; empty if one can."""


Networks = tuple[GeneratorBackbone, CriticBackbone]
"""A generator and its critic."""


def check_stages(size: int, widths: Sequence[int], layers: Sequence[int] = ()) -> None:
    """Raise unless there is a width for each size from 4x4 to this one; `layers` are how many there are in a row."""
    fit = 0 < len(widths) <= MOST_STAGES and size == 4 * 2 ** (len(widths) - 1)
    require(fit, f"a network of {len(widths)} widths has images of 4 pixels, doubled between them; size is {size}")
    require(all(0 <= count <= MOST_LAYERS for count in layers), f"there may be {MOST_LAYERS} layers in a row")
