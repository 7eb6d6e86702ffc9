"""Snapshots of R3GAN: the names of their tensors, and what their shapes say of the networks."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...training.torch_files import StoredNetwork
from ..importing import CheckpointFile
from .r3gan import R3GANCritic, R3GANGenerator
from .stored import FoundNetwork, check_filter, found, generator_format, numbers_in

LAYERS = "Model.MainLayers."
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


def generator_of(stored: Mapping[str, Tensor]) -> FoundNetwork:
    """A generator of ours with the weights of one of theirs."""
    arguments = _arguments(stored, "Model.AggregationLayer.Layer.weight", 0)
    inputs = stored[f"{LAYERS}0.Layers.0.LinearLayer.weight"].shape[1]
    arguments["latent_dim"] = inputs - arguments.get("embedding_dim", 0)
    return _found(R3GANGenerator, arguments, stored)


def critic_of(stored: Mapping[str, Tensor]) -> FoundNetwork:
    """A critic of ours with the weights of one of theirs."""
    return _found(R3GANCritic, _arguments(stored, "Model.ExtractionLayer.Layer.weight", 1), stored)


def networks_of(content: Mapping[str, StoredNetwork]) -> dict[str, FoundNetwork]:
    """The networks of a snapshot."""
    return {
        ours: (critic_of if theirs == "D" else generator_of)(content[theirs].weights)
        for ours, theirs in (("generator", "G_ema"), ("critic", "D"), ("raw_generator", "G"))
        if isinstance(content.get(theirs), StoredNetwork)
    }


def _arguments(stored: Mapping[str, Tensor], colours: str, channels_axis: int) -> dict[str, Any]:
    """What both networks say by the shapes of their tensors."""
    stages = numbers_in(stored, r"Model\.MainLayers\.(\d{1,3})\.")
    widths: list[int] = []
    blocks: list[int] = []
    groups: list[int] = []
    for stage in range(stages):
        block = re.compile(rf"Model\.MainLayers\.{stage}\.Layers\.(\d{{1,3}})\.LinearLayer1\.Layer\.weight")
        places = [match[1] for name in stored if (match := block.fullmatch(name))]
        first = f"{LAYERS}{stage}.Layers.{places[0]}."
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
    for pattern, theirs in RENAMED:
        ours = re.sub(pattern, theirs, ours)
    return ours


def _recognises(file: CheckpointFile) -> bool:
    content = file.content
    stored = [content.get(name) for name in ("G_ema", "G", "D")] if file.container == "pickle" else []
    return any(isinstance(each, StoredNetwork) and any(n.startswith(LAYERS) for n in each.weights) for each in stored)


R3GAN = generator_format(
    title="R3GAN",
    architecture="r3gan",
    licence=(
        "R3GAN's repository states no licence: only your own file was read, and its authors are to be asked before "
        "you hand the weights on."
    ),
    recognises=_recognises,
    networks=networks_of,
)
