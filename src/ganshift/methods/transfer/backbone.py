"""What a pair of networks has to offer to be an architecture of `transfer`: `networks.ARCHITECTURES` names them.

Training, freezing, surgery, export and sources rely on this and on no name of a class or layer.
"""

from abc import abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from ...tensors import Images, Labels, Latents, Scores


class GeneratorBackbone(nn.Module):
    """Latents, and labels if there are classes, to images in [-1, 1]."""

    size: int
    """Side of its square images."""
    channels: int
    num_classes: int
    """0 without classes."""

    @abstractmethod
    def forward(self, latents: Latents, labels: Labels | None = None) -> Images:
        """Generate one image per latent."""


class CriticBackbone(nn.Module):
    """Images to one score each, and to class logits where it has a class head."""

    per_image: bool
    """Whether it judges each image alone, so that no layer looks across a batch: the gradient penalty relies on it."""
    class_head: str
    """Name of the layer that sorts into classes: it may be missing, and other classes do not fit it."""

    @abstractmethod
    def forward(self, images: Images, labels: Labels | None = None) -> tuple[Scores, Float[Tensor, "n classes"] | None]:
        """Score images; the logits are None without a class head."""

    @abstractmethod
    def blocks_from_image(self) -> list[nn.Module]:
        """Its blocks in the order that an image passes them; freezing takes the first ones."""


Networks = tuple[GeneratorBackbone, CriticBackbone]
"""A generator and its critic."""
