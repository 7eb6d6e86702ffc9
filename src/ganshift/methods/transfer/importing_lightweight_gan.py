"""Checkpoints of lightweight-gan: the names of their tensors, and what their shapes say of the generator."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...errors import UserError
from ..importing import MISFIT, CheckpointFile
from .lightweight_gan import LightweightGANGenerator
from .stored import FoundNetwork, found, generator_format, numbers_in, renamed

RENAMED = (
    (r"^start\.conv\.", "initial_conv.0."),
    (r"^start\.norm\.", "initial_conv.1."),
    (r"^layers\.(\d+)\.widen\.", r"layers.\1.0.0.net.0."),
    (r"^layers\.(\d+)\.conv\.", r"layers.\1.0.2.1."),
    (r"^layers\.(\d+)\.noise_strength$", r"layers.\1.0.3.weight"),
    (r"^layers\.(\d+)\.norm\.", r"layers.\1.0.4."),
    (r"^excitations\.(\d+)\.to_weights\.", r"layers.\1.1.to_k."),
    (r"^excitations\.(\d+)\.conv0\.", r"layers.\1.1.net.0."),
    (r"^excitations\.(\d+)\.conv1\.", r"layers.\1.1.net.2."),
    (r"^to_image\.", "out_conv."),
    (r"\.gain$", ".weight"),
)
"""Our names, and what checkpoints call them, behind the name of the generator."""
KNOWN = re.compile(r"\.num_batches_tracked$|\.0\.1\.f$")
"""Counts that nothing reads, and the smoothing filter: 1, 2, 1."""


def generator_of(stored: Mapping[str, Tensor]) -> FoundNetwork:
    """A generator of ours with the weights of one of theirs."""
    layers = numbers_in(stored, r"layers\.(\d{1,2})\.")
    filters = [value for name, value in stored.items() if name.endswith(".0.1.f")]
    if filters and len(filters) != layers:
        raise UserError(f"{MISFIT}: {len(filters)} of {layers} layers smooth")
    inputs = [stored[f"layers.{number}.0.0.net.0.weight"].shape[1] for number in range(layers)]
    arguments = {
        "size": 4 * 2**layers,
        "widths": [*inputs, stored["out_conv.weight"].shape[1]],
        "channels": stored["out_conv.weight"].shape[0],
        "antialias": bool(filters),
    }

    def changed(ours: str, theirs: str) -> Tensor:
        """The last layer gives images in [-1, 1] here, and in [0, 1] there."""
        weight = stored[theirs].float()
        return 2 * weight - float(ours == "to_image.bias") if ours.startswith("to_image.") else weight

    return found(LightweightGANGenerator, arguments, stored, _their_name, known=KNOWN, changed=changed)


def networks_of(content: Mapping[str, Any]) -> dict[str, FoundNetwork]:
    """The generators of a checkpoint; its critic is not read."""
    networks = {}
    for ours, theirs in (("generator", "GE."), ("raw_generator", "G.")):
        stored = {name.removeprefix(theirs): each for name, each in content["GAN"].items() if name.startswith(theirs)}
        if stored:
            networks[ours] = generator_of(stored)
    return networks


def _their_name(ours: str) -> str:
    return renamed(ours, RENAMED)


def _recognises(file: CheckpointFile) -> bool:
    stored = file.content.get("GAN") if file.container == "torch" and isinstance(file.content, dict) else None
    return isinstance(stored, dict) and any(f"{name}.initial_conv.0.weight" in stored for name in ("GE", "G"))


LIGHTWEIGHT_GAN = generator_format(
    title="lightweight-gan",
    architecture="lightweight-gan",
    licence="lightweight-gan is under the MIT licence: its weights may be used and handed on with that notice.",
    recognises=_recognises,
    networks=networks_of,
    has_opacity=True,
)
