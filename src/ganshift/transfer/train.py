"""A transfer run: from settings to networks, data and optimisers, handed to the loop."""

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.datasets import ImageSet
from ..data.named import open_named_images
from ..data.sampling import Batch, batches
from ..errors import UserError
from ..runtime.device import choose_device
from ..runtime.ema import Ema
from ..runtime.log import opening_progress
from ..runtime.loop import Job, Outcome, fit
from ..runtime.run_folder import MODEL, versions
from ..runtime.weights import copy_weights, save_weights
from ..tensors import Terms, dequantize, from_uint8, sheet
from .config import TransferConfig
from .networks import LATENT_DIM, ResNetCritic, ResNetGenerator
from .source import CRITIC, GENERATOR_PREFIX, Source, open_source
from .step import TransferState, critic_step, generator_step

SHEET_COLUMNS = 8
"""Samples per row and rows of a sample sheet."""


def train(config: TransferConfig) -> Outcome:
    """Run, or resume, one transfer."""
    return fit(config, new_job(config))


def new_job(config: TransferConfig) -> Job:
    """Open the data and build everything that the loop needs; writes nothing."""
    source = open_source(config.source) if config.source else None
    size, channels = _image_shape(config, source)
    with opening_progress() as progress:
        data = open_named_images(config.data, size, channels, config.memory_budget * 1e9, progress)
    generator_arguments, critic_arguments = _architecture(config, source, data)
    device = choose_device(config.device)

    with torch.random.fork_rng(devices=[]):  # the networks are drawn on the CPU, whatever the device
        torch.manual_seed(config.seed)
        generator, critic = ResNetGenerator(**generator_arguments), ResNetCritic(**critic_arguments)
    if source:
        hint = "leave size, channels, widths, norms and conditioning to the source"
        copy_weights(generator, source.generator, f"source {source.where}", hint)
        copy_weights(critic, source.critic, f"source {source.where}", hint)
    generator, critic = generator.to(device), critic.to(device)
    betas = (0.0, 0.9)  # Gulrajani et al. 2017, algorithm 1
    state = TransferState(
        generator,
        critic,
        torch.optim.Adam(generator.parameters(), config.generator_learning_rate, betas),
        torch.optim.Adam(critic.parameters(), config.critic_learning_rate, betas),
    )
    ema = Ema(generator, config.ema_images)
    num_classes = generator_arguments["num_classes"] or critic_arguments["num_classes"]
    sheet_latents, sheet_labels = _sheet_inputs(config.seed, num_classes, device)

    def batches_from(seen: int) -> Generator[dict[str, Batch], None, None]:
        return batches(
            {"real": data},
            batch=config.images_per_iteration,
            start=seen,
            seed=config.seed,
            flip=config.flip,
            workers=config.workers,
        )

    def iterate(batch: dict[str, Batch], seen: int, budget: int) -> Terms:
        _set_learning_rates(state, config, seen / budget)
        terms = {}
        real, labels = batch["real"].images, batch["real"].labels
        for index in range(config.critic_steps):
            part = slice(index * config.batch, (index + 1) * config.batch)
            part_labels = labels[part].to(device) if num_classes and labels is not None else None
            terms = _update_critic(state, real[part].to(device), part_labels, num_classes, config)
        if seen > 0:  # as published, the critic has the first iteration to itself
            latents = torch.randn(config.batch * config.generator_batch_multiple, LATENT_DIM, device=device)
            terms |= generator_step(state, latents, _random_labels(len(latents), num_classes, device), config)
        ema.update(generator, seen + config.images_per_iteration, config.images_per_iteration)
        return terms

    def sheets() -> dict[str, np.ndarray]:
        with torch.no_grad():
            return {"samples": sheet(ema.average(sheet_latents, sheet_labels), SHEET_COLUMNS)}

    def export(out: Path) -> None:
        save_weights(out / MODEL, ema.average, GENERATOR_PREFIX)
        save_weights(out / CRITIC, critic)

    return Job(
        description={
            "method": "transfer",
            "generator": generator_arguments,
            "critic": critic_arguments,
            "classes": list(data.classes) if num_classes else [],
            "data": {"images": len(data), "content": data.content_hash},
            "training": config.to_json(),
            "versions": versions(),
        },
        images_per_iteration=config.images_per_iteration,
        images_per_epoch=len(data),
        batches=batches_from,
        iterate=iterate,
        state={
            "generator": generator,
            "critic": critic,
            "generator_optimizer": state.generator_optimizer,
            "critic_optimizer": state.critic_optimizer,
            "ema": ema,
        },
        sheets=sheets,
        export=export,
        device=device,
        follows_budget=config.linear_decay,
        summary=(
            f"{len(data):,} images of {size} x {size} in {data.channels} channel{'s' * (data.channels > 1)}"
            f"{f', {num_classes} classes' if num_classes else ''}, from {config.source or 'scratch'}, on {device}"
        ),
        left_out=data.quarantined,
    )


def _choose(config: TransferConfig, setting: str, arguments: Mapping[str, Any], name: str, default: Any) -> Any:
    """What is set, else what the source has, else the default; a `UserError` if the first two differ."""
    wanted = getattr(config, setting)
    if wanted is None:
        return arguments.get(name, default)
    if wanted != arguments.get(name, wanted):
        theirs, option = arguments[name], setting.replace("_", "-")
        raise UserError(
            f"source {config.source} has {setting} {theirs}, but this run (by option or preset) {wanted}: "
            f"give --{option} {theirs}, or another source"
        )
    return wanted


def _image_shape(config: TransferConfig, source: Source | None) -> tuple[int, int | None]:
    """Size and channels that the images are brought to; None leaves the channels to the images."""
    given = source.generator_arguments if source else {}
    return _choose(config, "size", given, "size", 32), _choose(config, "channels", given, "channels", None)


def _architecture(
    config: TransferConfig, source: Source | None, data: ImageSet
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Constructor arguments of both networks: what is set, else the source's, else the published variant's."""
    from_generator = source.generator_arguments if source else {}
    from_critic = source.critic_arguments if source else {}
    width = 128 if data.size == 32 else 64
    if config.conditioning != "none" and not data.classes:
        raise UserError(
            f"conditioning={config.conditioning} needs classes: put the images of {config.data} into one folder a class"
        )
    num_classes = len(data.classes) if config.conditioning != "none" else 0
    if source and (source.classes or num_classes) and source.classes != data.classes[:num_classes]:
        raise UserError(
            f"source {config.source} draws {_listed(source.classes)}, this run (conditioning={config.conditioning}) "
            f"{_listed(data.classes[:num_classes])}: they must be the same, in the same order"
        )
    shape = {"size": data.size, "channels": data.channels, "num_classes": num_classes}
    return (
        shape
        | {
            "width": _choose(config, "generator_width", from_generator, "width", width),
            "norm": _choose(config, "generator_norm", from_generator, "norm", True),
        },
        shape
        | {
            "width": _choose(config, "critic_width", from_critic, "width", width),
            "norm": _choose(config, "critic_norm", from_critic, "norm", data.size != 32),
            "conditional_norm": config.conditioning == "norm",
            "class_head": config.conditioning == "acgan",
        },
    )


def _listed(classes: Sequence[str]) -> str:
    return f"the classes {', '.join(classes)}" if classes else "no classes"


def _update_critic(
    state: TransferState, stored: Tensor, labels: Tensor | None, num_classes: int, config: TransferConfig
) -> Terms:
    """One critic step with its random draws."""
    device, count = stored.device, len(stored)
    real = dequantize(stored, torch.rand(stored.shape, device=device)) if config.dequantize else from_uint8(stored)
    latents = torch.randn(count, LATENT_DIM, device=device)
    fake_labels = labels if config.fake_labels == "real" else _random_labels(count, num_classes, device)
    mix = torch.rand(count * (2 if config.double_penalty else 1), device=device)
    return critic_step(state, real, labels, latents, fake_labels, mix, config)


def _random_labels(count: int, num_classes: int, device: torch.device) -> Tensor | None:
    return torch.randint(num_classes, (count,), device=device) if num_classes else None


def _set_learning_rates(state: TransferState, config: TransferConfig, progress: float) -> None:
    scale = 1 - progress if config.linear_decay else 1.0
    state.generator_optimizer.param_groups[0]["lr"] = config.generator_learning_rate * scale
    state.critic_optimizer.param_groups[0]["lr"] = config.critic_learning_rate * scale


def _sheet_inputs(seed: int, num_classes: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Fixed latents of the sample sheets, and labels that put one class in each column."""
    count = SHEET_COLUMNS * SHEET_COLUMNS
    latents = torch.randn(count, LATENT_DIM, generator=torch.Generator().manual_seed(seed)).to(device)
    labels = torch.arange(count, device=device) % SHEET_COLUMNS % num_classes if num_classes else None
    return latents, labels
