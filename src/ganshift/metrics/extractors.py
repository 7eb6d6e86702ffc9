"""Feature extractors of IS, FID, KID and precision/recall: a small network that ships, and Inception.

Both are torch-fidelity extractors, so that its metrics run on either. Numbers of different extractors are not
comparable: a score carries the extractor's name and the hash of its weights.
"""

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor

from ..errors import UserError, first_line
from ..tensors import Bytes, from_uint8, to_colour
from ..training.weights import copy_weights, load_weights
from .cifar_network import SIDE, CifarNetwork

SHIPPED_WEIGHTS = Path(__file__).with_name("cifar.safetensors")
"""The weights in the package."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a score needs to know of an extractor."""

    features: str
    """The layer that FID, KID, precision and recall compare."""
    logits: str
    """The layer whose softmax the Inception Score takes."""
    resize_rule: str
    """How images of other sizes are brought to the network's; the same for generated and real ones."""


EXTRACTORS = {
    "cifar": Known(features="features", logits="logits", resize_rule=f"bicubic, antialiased, to {SIDE} x {SIDE}"),
    "inception": Known(
        features="2048",
        logits="logits_unbiased",
        resize_rule="bilinear as in TensorFlow 1, not antialiased, to 299 x 299",
    ),
}
"""The extractors by name."""


@final
class Extractor(FeatureExtractorBase):
    """The shipped network as a torch-fidelity extractor, always in evaluation mode and float32.

    It takes bytes of any size with 1 (gray), 3 (colour) or 4 channels (colour and opacity, shown over white). A picture
    that is not square is squeezed, as Inception's are. `feature_extractor_weights_path` is torch-fidelity's name for a
    file of other weights of the same network.
    """

    def __init__(
        self,
        name: str,
        features_list: Sequence[str],
        feature_extractor_weights_path: str | Path | None = None,
        **_: Any,  # torch-fidelity hands every setting it has to every extractor
    ):
        super().__init__(name, list(features_list))
        self.network = CifarNetwork()
        path = Path(feature_extractor_weights_path or SHIPPED_WEIGHTS)
        copy_weights(self.network, load_weights(path), str(path), "give weights of benchmarks/train_extractor.py")
        self.requires_grad_(False)
        self.eval()

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        """The layers, in torch-fidelity's words features."""
        return (EXTRACTORS["cifar"].features, EXTRACTORS["cifar"].logits)

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        """The layer of a metric, by torch-fidelity's name for it: isc, fid, kid or prc."""
        return EXTRACTORS["cifar"].logits if metric == "isc" else EXTRACTORS["cifar"].features

    @staticmethod
    def can_be_compiled() -> bool:
        """Not worth compiling."""
        return False

    @staticmethod
    def get_dummy_input_for_compile() -> Bytes:
        """One black image."""
        return torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8)

    def forward(self, input: Bytes) -> tuple[Float[Tensor, "n _"], ...]:
        """The requested layers, in the order of the request."""
        images = to_colour(from_uint8(input))
        if images.shape[2:] != (SIDE, SIDE):
            images = F.interpolate(images, size=(SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False)
            images = images.clamp(-1, 1)  # bicubic overshoots at edges
        features = self.network.features(images)
        layers = dict(zip(self.get_provided_features_list(), (features, self.network.logits(features)), strict=True))
        return tuple(layers[name] for name in self.features_list)


def open_extractor(name: Literal["cifar", "inception"], weights: Path | None = None) -> FeatureExtractorBase:
    """The extractor with both its layers, from a file of weights if one is given.

    Without one, `cifar` has the shipped weights and `inception` those that torch-fidelity downloads once and keeps.
    """
    if weights is not None and not weights.is_file():
        raise UserError(f"--extractor-weights: there is no file {weights}; give a file of weights of {name}")
    layers = [EXTRACTORS[name].features, EXTRACTORS[name].logits]
    if name == "inception":
        return _open_inception(layers, weights)
    if name not in FEATURE_EXTRACTORS_REGISTRY:
        register_feature_extractor(name, Extractor)
    return Extractor(name, layers, weights)


def weights_hash(extractor: FeatureExtractorBase) -> str:
    """SHA-256 of all weights and their names, as they are in memory: the same for the same file on every machine."""
    digest = hashlib.sha256()
    for name, value in sorted(extractor.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _open_inception(layers: list[str], weights: Path | None) -> FeatureExtractorBase:
    if weights is None:
        try:
            return FeatureExtractorInceptionV3("inception", layers)
        except OSError as error:
            raise UserError(
                f"the weights of inception could not be downloaded ({first_line(error)}): give a copy of "
                "torch-fidelity's weights-inception-2015-12-05-6726825d.pth as --extractor-weights FILE, or use the "
                "extractor cifar, which ships"
            ) from None
    try:
        # torch-fidelity unpickles the file freely; one that passes this holds nothing but tensors.
        torch.load(weights, map_location="cpu", weights_only=True)
        return FeatureExtractorInceptionV3("inception", layers, feature_extractor_weights_path=str(weights))
    except (OSError, RuntimeError, EOFError, AttributeError, TypeError, pickle.UnpicklingError) as error:
        raise UserError(
            f"{weights} does not hold the weights of inception ({first_line(error)}): give torch-fidelity's "
            "weights-inception-2015-12-05-6726825d.pth"
        ) from None
