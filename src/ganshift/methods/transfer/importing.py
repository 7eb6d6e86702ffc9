"""Published transfer checkpoints as runs: both networks, and the running statistics that they lack."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...errors import UserError
from ...nn.norm import BatchNorm
from ...training.device import choose_device
from ...training.log import ProgressLine
from ...training.run_folder import CRITIC, MODEL
from ...training.weights import copy_weights, save_weights
from ..importing import MISFIT, CheckpointFile, ImportedRun, ImportFormat, ImportOptions, Role
from .importing_lightweight_gan import LIGHTWEIGHT_GAN
from .importing_r3gan import R3GAN
from .importing_stylegan2 import STYLEGAN2
from .networks import LATENT_DIM, ResNetCritic, ResNetGenerator
from .source import GENERATOR_PREFIX
from .stored import class_names
from .tensorflow import Imported, from_tensorflow

STATISTICS_BATCHES = 64
"""Batches of generated images that the running statistics are averaged over."""
STATISTICS_BATCH = 64

PUBLISHED_VARIABLE = re.compile(r"(^|/)(Generator|Discriminator)\.[^/]*$")

logger = logging.getLogger("ganshift")


def networks_of_tensorflow(file: CheckpointFile) -> Mapping[str, nn.Module]:
    """The generator, with running statistics measured, and the critic of a published checkpoint."""
    _, generator, critic = _read(file.content)
    measure_running_statistics(generator)
    return {"generator": generator, "critic": critic}


def run_of_tensorflow(files: Mapping[Role, CheckpointFile], options: ImportOptions) -> ImportedRun:
    """The run of a published transfer checkpoint; its channels are in order already."""
    if options.keep_channel_order:
        logger.warning("--keep-channel-order changes nothing here: transfer checkpoints are RGB")
    variables = files["file"].content
    found, generator, critic = _read(variables)
    names = class_names(options.classes, found.generator_arguments["num_classes"])

    def write(out: Path) -> None:
        measure_running_statistics(generator.to(choose_device("auto")))
        save_weights(out / MODEL, generator, GENERATOR_PREFIX)
        save_weights(out / CRITIC, critic)

    return ImportedRun(
        description={
            "architecture": "resnet",
            "generator": found.generator_arguments,
            "critic": found.critic_arguments,
            "classes": names,
        },
        provenance={"variables": len(variables)},
        write=write,
        found=_in_words(found, names, bool(list(generator.buffers()))),
    )


FORMATS = (
    ImportFormat(
        title="Transferring GANs",
        licence="The published code of Transferring GANs states no licence: ask its authors before you hand it on.",
        recognises=lambda file: file.container == "tensorflow" and any(map(PUBLISHED_VARIABLE.search, file.content)),
        networks=networks_of_tensorflow,
        run=run_of_tensorflow,
        takes=frozenset({"classes", "keep_channel_order"}),
    ),
    R3GAN,
    STYLEGAN2,
    LIGHTWEIGHT_GAN,
)
"""Checkpoints of other tools that become runs of transfer."""


def _read(variables: Mapping[str, np.ndarray]) -> tuple[Imported, ResNetGenerator, ResNetCritic]:
    """What a published checkpoint holds, and its networks; of the generator, running statistics are missing."""
    _refuse_same_last_parts(variables)  # the names' other parts are dropped by the mapping
    found = from_tensorflow(variables)
    for part, arguments in (("Generator", found.generator_arguments), ("Discriminator", found.critic_arguments)):
        if arguments["width"] < 1:
            raise UserError(f"no published network has variables of the shapes of its {part}.Input.*")
    generator, critic = ResNetGenerator(**found.generator_arguments), ResNetCritic(**found.critic_arguments)
    copy_weights(generator, {**dict(generator.named_buffers()), **found.generator}, "it", MISFIT)
    copy_weights(critic, found.critic, "it", MISFIT)
    return found, generator, critic


@torch.no_grad()
def measure_running_statistics(generator: ResNetGenerator, seed: int = 0) -> None:
    """Give a generator that has none the running statistics of its batch norms, by generating images.

    The published code normalises by the batch at sampling time too and so keeps no statistics that could be imported.
    Without any, an image could only be drawn in the company of others and would depend on them. Here seeded latents,
    with labels drawn uniformly when there are classes, pass through the generator batch by batch, and each norm
    averages its batches' means and variances with equal weights (momentum 1/k at the k-th batch). Gains, biases and
    kernels stay: with batch statistics the outputs are still exactly the published ones.
    """
    norms = [module for module in generator.modules() if isinstance(module, BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    device = next(generator.parameters()).device
    draws = torch.Generator().manual_seed(seed)
    was_training = generator.training
    generator.train()
    with ProgressLine("measuring running statistics", STATISTICS_BATCHES * STATISTICS_BATCH) as progress:
        for batch in range(1, STATISTICS_BATCHES + 1):
            for norm in norms:
                norm.momentum = 1 / batch
            latents = torch.randn(STATISTICS_BATCH, LATENT_DIM, generator=draws).to(device)
            labels = None
            if generator.num_classes:
                labels = torch.randint(generator.num_classes, (STATISTICS_BATCH,), generator=draws).to(device)
            generator(latents, labels)
            progress.update(batch * STATISTICS_BATCH)
    generator.train(was_training)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _in_words(found: Imported, names: Sequence[str], measured: bool) -> list[str]:
    """What the checkpoint holds, and whether statistics were measured."""
    of_generator, of_critic = found.generator_arguments, found.critic_arguments
    conditioning = ("ACGAN" if of_critic["class_head"] else "conditional norms") if names else "unconditional"
    lines = [
        f"transfer checkpoint of the {of_generator['size']}-pixel variant, {conditioning}: "
        f"generator width {of_generator['width']}, norm {'on' if of_generator['norm'] else 'off'}; "
        f"critic width {of_critic['width']}, norm {'on' if of_critic['norm'] else 'off'}"
    ]
    if names:
        lines.append(f"classes: {', '.join(names)}")
    if measured:
        count = STATISTICS_BATCHES * STATISTICS_BATCH
        lines.append(
            f"running statistics, which the published code has none of, measured on {count:,} generated images"
        )
    return lines


def _refuse_same_last_parts(names: Iterable[str]) -> None:
    names = list(names)
    last = [name.rsplit("/", 1)[-1] for name in names]
    twice = [name for name, part in zip(names, last, strict=True) if last.count(part) > 1]
    if twice:
        raise UserError(f"it is unclear which of these variables to take: {', '.join(twice)}")
