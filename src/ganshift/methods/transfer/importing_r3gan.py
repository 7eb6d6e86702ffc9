"""Snapshots of R3GAN: the names of their tensors, and what their shapes say of the networks."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...training.torch_files import StoredNetwork
from .r3gan import R3GANCritic, R3GANGenerator
from .stored import FoundNetwork, check_filter, found, generator_format, is_snapshot, numbers_in, of_snapshot, renamed

RESAMPLER = re.compile(r"\.Resampler\.Kernel$")
"""A constant in every file: [1, 3, 3, 1] in both directions."""
RENAMED = (
    (r"^stages\.(\d+)\.(\d+)\.", r"Model.MainLayers.\1.Layers.\2."),
    (r"\.conv([123])\.weight$", r".LinearLayer\1.Layer.weight"),
    (r"\.conv([12])\.bias$", r".NonLinearity\1.Bias"),
    (r"\.conv\.weight$", ".LinearLayer.Layer.weight"),
    (r"\.linear\.weight$", ".LinearLayer.weight"),
    (r"\.basis", ".Basis"),
    (r"^embedding\.weight$", "Model.EmbeddingLayer.weight"),
    (r"^to_image\.weight$", "Model.AggregationLayer.Layer.weight"),
    (r"^from_image\.weight$", "Model.ExtractionLayer.Layer.weight"),
)
"""Our names, and what snapshots call them."""


def generator_of(stored: StoredNetwork) -> FoundNetwork:
    """A generator of ours with the weights of one of theirs."""
    arguments = _arguments(stored.weights, "Model.AggregationLayer.Layer.weight", 0)
    inputs = stored.weights["Model.MainLayers.0.Layers.0.LinearLayer.weight"].shape[1]
    arguments["latent_dim"] = inputs - arguments.get("embedding_dim", 0)
    return _found(R3GANGenerator, arguments, stored.weights)


def critic_of(stored: StoredNetwork) -> FoundNetwork:
    """A critic of ours with the weights of one of theirs."""
    arguments = _arguments(stored.weights, "Model.ExtractionLayer.Layer.weight", 1)
    return _found(R3GANCritic, arguments, stored.weights)


def _arguments(stored: Mapping[str, Tensor], colours: str, channels_axis: int) -> dict[str, Any]:
    """What both networks say by the shapes of their tensors."""
    stages = numbers_in(stored, r"Model\.MainLayers\.(\d{1,3})\.")
    widths: list[int] = []
    blocks: list[int] = []
    groups: list[int] = []
    for stage in range(stages):
        block = re.compile(rf"Model\.MainLayers\.{stage}\.Layers\.(\d{{1,3}})\.LinearLayer1\.Layer\.weight")
        places = [match[1] for name in stored if (match := block.fullmatch(name))]
        first = f"Model.MainLayers.{stage}.Layers.{places[0]}."
        widths.append(stored[f"{first}LinearLayer3.Layer.weight"].shape[0])
        between, in_group = stored[f"{first}LinearLayer2.Layer.weight"].shape[:2]
        blocks.append(len(places))
        groups.append(between // in_group)
    arguments: dict[str, Any] = {
        "size": 4 * 2 ** (stages - 1),
        "widths": widths,
        "blocks": blocks,
        "groups": groups,
        "expansion": between // widths[-1],
        "channels": stored[colours].shape[channels_axis],
    }
    if "Model.EmbeddingLayer.weight" in stored:
        arguments["embedding_dim"], arguments["num_classes"] = stored["Model.EmbeddingLayer.weight"].shape
    return arguments


def _found(
    make: type[R3GANGenerator] | type[R3GANCritic], arguments: dict[str, Any], stored: Mapping[str, Tensor]
) -> FoundNetwork:
    for name, kernel in stored.items():
        if RESAMPLER.search(name):
            check_filter(name, kernel)

    def changed(ours: str, theirs: str) -> Tensor:
        return stored[theirs].t() if ours == "embedding.weight" else stored[theirs]

    return found(make, arguments, stored, _their_name, known=RESAMPLER, changed=changed)


def _their_name(ours: str) -> str:
    return renamed(ours, RENAMED)


R3GAN = generator_format(
    title="R3GAN",
    architecture="r3gan",
    licence=(
        "R3GAN's repository states no licence: only your own file was read, and its authors are to be asked before "
        "you hand the weights on."
    ),
    recognises=lambda file: is_snapshot(file, re.compile(r"Model\.MainLayers\.")),
    networks=lambda content: of_snapshot(content, generator_of, critic_of),
)
