"""The small CIFAR-10 classifier whose features score images; trained by `benchmarks/train_extractor.py`."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..tensors import Images

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""What the logits of the shipped network stand for."""
SIDE = 32
"""The side of the images it was trained on."""
WHITENED = 24
WIDTHS = (64, 64, 256, 256, 256, 256)
LOGIT_SCALE = 1 / 9
"""Keeps logits small at the learning rates of training."""


class CifarNetwork(nn.Module):
    """Seven convolutions and a linear layer, after airbench94 (Jordan 2024, arXiv 2404.00498).

    A 2 x 2 convolution that whitens, then three pairs of 3 x 3 convolutions of which the first halves the image;
    the features are the maxima over what is left (3 x 3). Without `normalised` it is the network as it ships, whose
    batch norms are folded into the convolutions.
    """

    def __init__(self, *, normalised: bool = False):
        super().__init__()
        self.whiten = nn.Conv2d(3, WHITENED, 2)
        inputs = (WHITENED, *WIDTHS)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, width, 3, padding=1, bias=not normalised)
            for before, width in zip(inputs, WIDTHS, strict=False)
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(width, eps=1e-12, momentum=0.4) if normalised else nn.Identity() for width in WIDTHS
        )
        self.head = nn.Linear(WIDTHS[-1], len(CLASSES), bias=False)

    def features(self, images: Images) -> Float[Tensor, "n features"]:
        """The maxima of the last layer, all but non-negative, for images of 32 x 32 in [-1, 1]."""
        x = F.gelu(self.whiten(images))  # n 24 31 31
        for index, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = convolution(x)
            if index % 2 == 0:
                x = F.max_pool2d(x, 2)  # sides 15, 7, 3
            x = F.gelu(norm(x))
        return x.amax((2, 3))

    def logits(self, features: Float[Tensor, "n features"]) -> Float[Tensor, "n classes"]:
        """Unnormalised log-probabilities of `CLASSES`."""
        return self.head(features) * LOGIT_SCALE
