"""Published TensorFlow variable names of the transfer networks, mapped to ours.

Both variants are told apart by their names; width, classes and norms are read off the shapes. Kernels turn from
H, W, in, out to out, in, H, W and linear matrices from in, out to out, in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import UserError

IGNORED_SUFFIXES = (".moving_mean", ".moving_variance")
"""Variables of the published unconditional norms that the published graph never reads."""


@dataclass(frozen=True)
class Imported:
    """Constructor arguments and weights of both networks."""

    generator_arguments: dict[str, Any]
    generator: dict[str, Tensor]
    critic_arguments: dict[str, Any]
    critic: dict[str, Tensor]


def from_tensorflow(variables: Mapping[str, np.ndarray]) -> Imported:
    """Turn published variables, by full name, into two state dicts; nothing is guessed and nothing left over."""
    values = {name.rsplit("/", 1)[-1]: value for name, value in variables.items()}
    values = {name: value for name, value in values.items() if not name.endswith(IGNORED_SUFFIXES)}
    size = 64 if "Discriminator.Input.Filters" in values else 32
    prefix, norm = ("Res", "BN") if size == 64 else ("", "N")
    taken: set[str] = set()
    missing: list[str] = []

    def tensor(name: str) -> Tensor:
        taken.add(name)
        if name not in values:
            missing.append(name)
            return torch.zeros(0)
        value = torch.from_numpy(np.array(values[name], dtype=np.float32))
        if name.endswith(".Filters"):
            return value.permute(3, 2, 0, 1).contiguous()
        return value.t().contiguous() if name.endswith(".W") else value

    def layer(ours: str, theirs: str, kind: str = "Filters", bias: bool = True) -> dict[str, Tensor]:
        found = {f"{ours}.weight": tensor(f"{theirs}.{kind}")}
        if bias:
            found[f"{ours}.bias"] = tensor(f"{theirs}.{'Biases' if kind == 'Filters' else 'b'}")
        return found

    def norm_layer(ours: str, theirs: str) -> dict[str, Tensor]:
        if f"{theirs}.scale" not in values and f"{theirs}.offset" not in values:
            return {}
        return {f"{ours}.gain": tensor(f"{theirs}.scale"), f"{ours}.bias": tensor(f"{theirs}.offset")}

    def block(ours: str, theirs: str) -> dict[str, Tensor]:
        found = layer(f"{ours}.conv1", f"{theirs}.Conv1", bias=size == 32) | layer(f"{ours}.conv2", f"{theirs}.Conv2")
        for number in (1, 2):
            found |= norm_layer(f"{ours}.norm{number}", f"{theirs}.{norm}{number}")
        return found | (layer(f"{ours}.shortcut", f"{theirs}.Shortcut") if has_shortcut(theirs) else {})

    def has_shortcut(theirs: str) -> bool:
        return not (size == 32 and theirs in ("Discriminator.3", "Discriminator.4"))

    num_blocks = 3 if size == 32 else 4
    generator = layer("start", "Generator.Input", "W")
    for index in range(num_blocks):
        generator |= block(f"blocks.{index}", f"Generator.{prefix}{index + 1}")
    generator |= norm_layer("norm", "Generator.OutputN") | layer("to_image", "Generator.Output")

    critic: dict[str, Tensor] = {}
    if size == 64:
        critic |= layer("start", "Discriminator.Input")
    else:
        for name in ("conv1", "conv2", "shortcut"):
            critic |= layer(f"start.{name}", f"Discriminator.1.{name.capitalize()}")
    for index in range(num_blocks):
        critic |= block(f"blocks.{index}", f"Discriminator.{prefix}{index + (1 if size == 64 else 2)}")
    critic |= layer("to_score", "Discriminator.Output", "W")
    class_head = "Discriminator.ACGANOutput.W" in values
    if class_head:
        critic |= layer("to_classes", "Discriminator.ACGANOutput", "W")

    left_over = sorted(set(values) - taken)
    if missing or left_over:
        raise UserError(
            f"these variables are not a published {size}-pixel transfer checkpoint: "
            f"missing {', '.join(missing) or 'none'}; left over {', '.join(left_over) or 'none'}"
        )
    generator_gain = generator.get("blocks.0.norm1.gain")
    critic_gain = critic.get("blocks.0.norm1.gain")
    conditional = generator_gain is not None and generator_gain.dim() == 2
    num_classes = len(generator_gain) if generator_gain is not None and conditional else 0
    start_scale = 16 if size == 32 else 16 * 8
    channels = generator["to_image.weight"].shape[0]
    return Imported(
        generator_arguments={
            "size": size,
            "width": generator["start.weight"].shape[0] // start_scale,
            "channels": channels,
            "num_classes": num_classes,
            "norm": generator_gain is not None,
        },
        generator=generator,
        critic_arguments={
            "size": size,
            "width": critic["blocks.0.conv1.weight"].shape[1],
            "channels": channels,
            "num_classes": num_classes,
            "norm": critic_gain is not None,
            "conditional_norm": critic_gain is not None and critic_gain.dim() == 2,
            "class_head": class_head,
        },
        critic=critic,
    )
