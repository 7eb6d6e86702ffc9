"""What networks have to offer to be an architecture of `dual`: `architectures.py` names them.

Training, tiled inference and export rely on this and on no name of a class or layer.
"""

from abc import abstractmethod

from jaxtyping import Float
from torch import Tensor, nn


class TranslationBackbone(nn.Module):
    """Images of one domain to images of the other, of the same height and width, in [-1, 1]."""

    num_halvings: int
    """How often maps are halved: sides that are multiples of 2 to this number stay even on the way."""

    smallest: int = 1
    """Side of the smallest images that it takes."""

    @abstractmethod
    def forward(self, images: Float[Tensor, "n a h w"]) -> Float[Tensor, "n b h w"]:
        """Translate images of any size."""

    @abstractmethod
    def translate_large(self, image: Float[Tensor, "1 a h w"]) -> Float[Tensor, "1 b h w"]:
        """The same for an image that is too large for memory at once, where there is a way; it may lie elsewhere."""


class DomainCritic(nn.Module):
    """Images of one domain to scores: one an image, or a map of them. Larger is more real."""

    per_image: bool
    """Whether it judges each image alone, so that no layer looks across a batch: the gradient penalty relies on it."""
    receptive_field: int | None = None
    """Side, in pixels, of the patch that each score sees; None where a score sees the whole image."""

    @abstractmethod
    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n ..."]:
        """Score images of the size trained at."""
