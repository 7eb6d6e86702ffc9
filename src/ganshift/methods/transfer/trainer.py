"""A transfer run: from settings to networks, data and optimisers, handed to the loop."""

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data.datasets import ImageSet
from ...data.open import open_named_images
from ...data.sampling import Batch, batches
from ...data.subsets import draw_subset
from ...errors import UserError
from ...inference.latents import draw_latents
from ...nn.norm import batch_statistics
from ...tensors import Terms, dequantize, from_uint8, sheet
from ...training.distributed import join, part_of
from ...training.ema import Ema
from ...training.grad_accumulation import average_buffers, new_shares
from ...training.log import opening_progress, say
from ...training.loop import fit
from ...training.monitor.best import Evaluation
from ...training.precision import adam_options, prepare_networks
from ...training.run_folder import CRITIC, LEFT_OUT, MODEL, left_out_text, versions
from ...training.trainer import Job, Outcome, Pace
from ...training.weights import save_weights
from .algorithm import TransferState, critic_step, generator_step
from .config import TransferConfig
from .networks import LATENT_DIM, ResNetCritic, ResNetGenerator
from .source import GENERATOR_PREFIX, Source, has_begun, source_of_run
from .surgery import Fitted, as_table, initialised, transplant

logger = logging.getLogger("ganshift")

SURGERY = "surgery.txt"
"""What became of every layer of the source."""
SHEET_COLUMNS = 8
"""Samples per row and rows of a sample sheet."""
CRITIC_MAPS = 2**24
"""Bytes of its largest maps, of mixtures or of a generator's fakes, that a critic computes at once on a processor."""


ADVICE = {
    "gap": "Try smaller --critic-learning-rate and --generator-learning-rate, or a larger --penalty.",
    "gradient": "Try smaller --critic-learning-rate and --generator-learning-rate, or --warmup-images.",
    "still": "Try smaller --critic-learning-rate and --generator-learning-rate, or --warmup-images.",
    "alike": "Try more --critic-steps, smaller learning rates, or, with few images, --augment color,translation,cutout "
    "and a --source.",
}
"""Which settings to try, by what was found."""


def train(config: TransferConfig) -> Outcome:
    """Run, or resume, one transfer."""
    return fit(config, new_job(config))


def new_job(config: TransferConfig) -> Job:
    """Open the data and build everything that the loop needs; writes nothing."""
    source = source_of_run(config.out, config.source) if config.source else None
    size, channels = _image_shape(config, source)
    with opening_progress() as progress:
        data = open_named_images(config.data, size, channels, config.memory_budget * 1e9, progress)
    if config.subset is not None:
        data = draw_subset(data, config.subset, config.subset_seed)
    generator_arguments, critic_arguments = _architecture(config, source, data)
    device = join(config.device)
    mine = part_of(config.batch)

    with torch.random.fork_rng(devices=[]):  # the networks are drawn on the CPU, whatever the device
        torch.manual_seed(config.seed)
        generator, critic = ResNetGenerator(**generator_arguments), ResNetCritic(**critic_arguments)
    begun = has_begun(config.out)  # then the weights come from the checkpoint, and nothing is said of the source
    start = "its checkpoint" if begun else config.source or "scratch"
    table = _start_from(source, config, generator, critic, data.classes) if source and not begun else ""
    _freeze(critic, config.freeze_critic)
    generator, critic = generator.to(device), critic.to(device)
    betas = (0.0, 0.9)  # Gulrajani et al. 2017, algorithm 1
    state = TransferState(
        generator,
        critic,
        torch.optim.Adam(generator.parameters(), config.generator_learning_rate, betas, **adam_options(config.fast)),
        torch.optim.Adam(
            (parameter for parameter in critic.parameters() if parameter.requires_grad),
            config.critic_learning_rate,
            betas,
            **adam_options(config.fast),
        ),
    )
    ema = Ema(generator, config.ema_images)
    prepare_networks([generator], [critic], device, config.fast)
    num_classes = generator_arguments["num_classes"] or critic_arguments["num_classes"]
    mixtures = 2 if config.as_published and size == 32 else 1  # the 32-pixel port counts every pair twice
    pace = Pace()
    # An accelerator computes one large batch faster than several small ones.
    a_map = 4 * critic_arguments["width"] * size**2
    critic_images = max(CRITIC_MAPS // a_map, 1) if device.type == "cpu" else None
    shares = new_shares(config, config.batch, generator, critic_images=critic_images)
    sheet_latents, sheet_labels = _sheet_inputs(config.seed, num_classes, device)

    def batches_from(seen: int) -> Generator[dict[str, Batch], None, None]:
        return batches(
            {"real": data},
            batch=config.batch,
            start=seen,
            seed=config.seed,
            flip=config.flip,
            workers=config.workers,
            steps=config.critic_steps,
            part=mine,
        )

    def iterate(batch: dict[str, Batch], seen: int, budget: int) -> Terms:
        _set_learning_rates(state, config, seen, budget, pace.factor)
        terms = {}
        images, count = batch["real"].images, mine.stop - mine.start
        labels = batch["real"].labels if num_classes else None
        for index in range(config.critic_steps):
            part = slice(index * count, (index + 1) * count)
            real_labels = labels[part].to(device) if labels is not None else None
            draws = _critic_draws(images[part].to(device), real_labels, mine, num_classes, mixtures, config)
            terms = critic_step(state, *draws, config, shares)
        if seen > 0:  # as published, the critic has the first iteration to itself
            number = config.batch * config.generator_batch_multiple
            part = part_of(number)
            latents = torch.randn(number, LATENT_DIM, device=device)[part]
            terms |= generator_step(state, latents, _random_labels(number, num_classes, device, part), config, shares)
        average_buffers(generator)
        ema.update(seen + config.images_per_iteration, config.images_per_iteration)
        return terms

    def sheets() -> dict[str, np.ndarray]:
        average = ema.average
        normalise = batch_statistics(average) if config.as_published else nullcontext()
        with torch.no_grad(), normalise:
            return {"samples": sheet(average(sheet_latents, sheet_labels), SHEET_COLUMNS)}

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
            **shares.state(),
        },
        sheets=sheets,
        export=export,
        device=device,
        follows_budget=config.linear_decay,
        summary=(
            f"{len(data):,} images of {size} x {size} in {data.channels} channel{'s' * (data.channels > 1)}"
            f"{f', {num_classes} classes' if num_classes else ''}, from {start}, on {device}"
        ),
        documents={LEFT_OUT: left_out_text(data.quarantined), SURGERY: table},
        evaluate=_evaluation(config, data, ema),
        gaps=("critic/distance",),
        advice=ADVICE,
        pace=pace,
        micro_batch=lambda: shares.micro_batch,
    )


def _evaluation(config: TransferConfig, data: ImageSet, ema: Ema) -> Callable[[], Evaluation] | None:
    if not config.evaluate_every:
        return None
    from .evaluation import new_evaluation  # its packages take long to import

    return new_evaluation(config, data, ema)


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
    width = config.width or (128 if data.size == 32 else 64)
    conditioning = config.conditioning or (_conditioning_of(from_generator, from_critic) if data.classes else "none")
    if conditioning != "none" and not data.classes:
        raise UserError(
            f"conditioning={conditioning} needs classes: put the images of {config.data} into one folder a class"
        )
    num_classes = len(data.classes) if conditioning != "none" else 0
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
            "conditional_norm": conditioning == "norm",
            "class_head": conditioning == "acgan",
        },
    )


def _conditioning_of(generator: Mapping[str, Any], critic: Mapping[str, Any]) -> str:
    """How class labels enter these networks."""
    if not generator.get("num_classes"):
        return "none"
    return "acgan" if critic.get("class_head") else "norm"


def _critic_draws(
    stored: Tensor, labels: Tensor | None, mine: slice, num_classes: int, mixtures: int, config: TransferConfig
) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None, Tensor]:
    """Real images, their labels, latents, labels of fakes, and mixtures of a critic step: the part `mine` of a batch.

    Random numbers are drawn for the whole batch, so that it does not matter how many processes share it.
    """
    device, count = stored.device, config.batch
    noise = torch.rand(count, *stored.shape[1:], device=device)[mine] if config.dequantize else None
    real = from_uint8(stored) if noise is None else dequantize(stored, noise)
    latents = torch.randn(count, LATENT_DIM, device=device)[mine]
    fake_labels = labels if config.fake_labels == "real" else _random_labels(count, num_classes, device, mine)
    mix = torch.rand(mixtures, count, device=device)[:, mine].flatten()
    return real, labels, latents, fake_labels, mix


def _random_labels(count: int, num_classes: int, device: torch.device, part: slice) -> Tensor | None:
    return torch.randint(num_classes, (count,), device=device)[part] if num_classes else None


def _set_learning_rates(state: TransferState, config: TransferConfig, seen: int, budget: int, factor: float) -> None:
    """Warm-up counts the iteration to come, so that the first one moves; decay is that of the published code."""
    scale = factor * (1 - seen / budget if config.linear_decay else 1.0)
    if seen < config.warmup_images:
        scale *= min(1.0, (seen + config.images_per_iteration) / config.warmup_images)
    state.generator_optimizer.param_groups[0]["lr"] = config.generator_learning_rate * scale
    state.critic_optimizer.param_groups[0]["lr"] = config.critic_learning_rate * scale


def _start_from(
    source: Source,
    config: TransferConfig,
    generator: ResNetGenerator,
    critic: ResNetCritic,
    classes: Sequence[str],
) -> str:
    """Load what is to be loaded; returns the table of what became of every layer."""
    rows: list[Fitted] = []
    if config.load == "generator":
        logger.warning(
            "only the generator is loaded: Wang et al. 2018 (table 1) found that worse than starting from scratch "
            "(FID 56.2 against 32.9; both networks: 24.4), since a fresh critic leads a trained generator astray"
        )
    for label, network, weights in (("generator", generator, source.generator), ("critic", critic, source.critic)):
        if config.load in ("both", label):
            rows += transplant(
                network,
                weights,
                label=label,
                where=source.where,
                classes=classes,
                source_classes=source.classes,
            )
        else:
            rows += initialised(network, label)
    table = as_table(rows)
    if not (config.out / SURGERY).exists():  # said once, not at every resume
        say(table.rstrip())
    return table


def _freeze(critic: ResNetCritic, num_blocks: int) -> None:
    """Keep the first blocks of the critic from moving, counted from the image (Mo et al. 2020, arXiv 2002.10964)."""
    blocks = [critic.start, *critic.blocks]
    if num_blocks > len(blocks):
        raise UserError(f"freeze_critic must be at most {len(blocks)}, the blocks of this critic, got {num_blocks}")
    for block in blocks[:num_blocks]:
        block.requires_grad_(False)


def _sheet_inputs(seed: int, num_classes: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Fixed latents of the sample sheets, and labels that put one class in each column."""
    count = SHEET_COLUMNS * SHEET_COLUMNS
    latents = draw_latents(count, seed).to(device)
    labels = torch.arange(count, device=device) % SHEET_COLUMNS % num_classes if num_classes else None
    return latents, labels
