"""Feature extractors of IS, FID, KID and precision/recall: two networks that ship, `cifar` and `lite0`, and Inception.

All turn bytes into features, which FID, KID, precision and recall compare, and logits, whose softmax the Inception
Score takes. Numbers of different extractors are not comparable: a score carries the extractor's name and the hash of
its weights.
"""

import hashlib
import pickle
from pathlib import Path
from typing import Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import UserError, first_line
from ..nn import efficientnet_lite
from ..tensors import Bytes, Images, from_uint8, to_colour
from ..training.weights import copy_weights, load_weights

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""What the logits of `cifar` stand for."""
SIDE = 32
"""The side of the images `cifar` was trained on."""
WHITENED = 24
WIDTHS = (64, 64, 256, 256, 256, 256)
LOGIT_SCALE = 1 / 9
"""Keeps logits small at the learning rates of training."""

ShippedExtractor = Literal["cifar", "lite0"]
ExtractorName = Literal["cifar", "lite0", "inception"]
SHIPPED_WEIGHTS = Path(__file__).with_name("cifar.safetensors")
"""The weights of `cifar` in the package."""
SIDES: dict[ExtractorName, int] = {"cifar": SIDE, "lite0": efficientnet_lite.SIDE, "inception": 299}
"""The side of the images that each extractor looks at."""
RESIZE_RULES: dict[ExtractorName, str] = {
    "cifar": f"bicubic, antialiased, to {SIDE} x {SIDE}",
    "lite0": f"bicubic, antialiased, to {efficientnet_lite.SIDE} x {efficientnet_lite.SIDE}",
    "inception": "bilinear as in TensorFlow 1, not antialiased, to 299 x 299",
}
"""How each extractor brings images of other sizes to its own; the same for generated and real ones."""
INCEPTION_LAYERS = ["2048", "logits_unbiased"]
"""torch-fidelity's names of the features and the logits."""


class CifarNetwork(nn.Module):
    """Seven convolutions and a linear layer, after airbench94 (Jordan 2024, arXiv 2404.00498).

    A 2 x 2 convolution that whitens, then three pairs of 3 x 3 convolutions (64, 64, 256, 256, 256, 256 channels) of
    which the first halves the image; 1.97 million weights. The 256 features are the maxima over what is left (3 x 3),
    the logits stand for the 10 classes of CIFAR-10. Without `normalised` it is the network as it ships, whose batch
    norms are folded into the convolutions: 3.9 MB in float16, run in float32.

    An extractor takes images of any size, gray, colour or transparent (over white), resizes them to 32 x 32 (bicubic,
    antialiased) or looks at crops. An image's features do not depend on its batch (to 1e-5).
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

    def forward(self, images: Images) -> tuple[Float[Tensor, "n features"], Float[Tensor, "n classes"]]:
        """Features and logits."""
        features = self.features(images)
        return features, self.logits(features)


@final
class Extractor(nn.Module):
    """A network that ships, always in evaluation mode and float32.

    It takes bytes of any size with 1 (gray), 3 (colour) or 4 channels (colour and opacity, shown over white). A picture
    that is not square is squeezed, as Inception's are. `network` gives features and logits of colour images of this
    `side` in [-1, 1].
    """

    def __init__(self, network: nn.Module, side: int):
        super().__init__()
        self.network, self.side = network, side
        self.requires_grad_(False)
        self.eval()

    def forward(self, stored: Bytes) -> tuple[Float[Tensor, "n features"], Float[Tensor, "n classes"]]:
        """Features and logits."""
        images, square = to_colour(from_uint8(stored)), (self.side, self.side)
        if images.shape[2:] != square:
            images = F.interpolate(images, size=square, mode="bicubic", antialias=True, align_corners=False)
            images = images.clamp(-1, 1)  # bicubic overshoots at edges
        return self.network(images)


def open_extractor(name: ExtractorName, weights: Path | None = None) -> nn.Module:
    """The extractor of this name, from a file of weights if one is given.

    Without one, `cifar` and `lite0` have those that ship, and `inception` those that torch-fidelity downloads once.
    """
    if weights is not None and not weights.is_file():
        raise UserError(f"--extractor-weights: there is no file {weights}; give a file of weights of {name}")
    if name == "inception":
        return _open_inception(weights)
    if name == "lite0":
        network: nn.Module = efficientnet_lite.open_efficientnet_lite0()
    else:
        network, weights = CifarNetwork(), weights or SHIPPED_WEIGHTS
    if weights is not None:
        copy_weights(network, load_weights(weights), str(weights), f"give weights of {name}, or leave them out")
    return Extractor(network, SIDES[name])


def weights_hash(extractor: nn.Module) -> str:
    """SHA-256 of all weights and their names, as they are in memory: the same for the same file on every machine."""
    digest = hashlib.sha256()
    for name, value in sorted(extractor.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _open_inception(weights: Path | None) -> nn.Module:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # takes seconds

    if weights is None:
        try:
            return FeatureExtractorInceptionV3("inception", INCEPTION_LAYERS)
        except OSError as error:
            raise UserError(
                f"the weights of inception could not be downloaded ({first_line(error)}): give a copy of "
                "torch-fidelity's weights-inception-2015-12-05-6726825d.pth as --extractor-weights FILE, or use the "
                "extractor cifar or lite0, which ship"
            ) from None
    try:
        # torch-fidelity unpickles the file freely; one that passes this holds nothing but tensors.
        torch.load(weights, map_location="cpu", weights_only=True)
        return FeatureExtractorInceptionV3("inception", INCEPTION_LAYERS, feature_extractor_weights_path=str(weights))
    except (OSError, RuntimeError, EOFError, AttributeError, TypeError, pickle.UnpicklingError) as error:
        raise UserError(
            f"{weights} does not hold the weights of inception ({first_line(error)}): give torch-fidelity's "
            "weights-inception-2015-12-05-6726825d.pth"
        ) from None
