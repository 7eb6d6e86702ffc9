"""A dual run: from settings to networks, two folders and optimisers, handed to the loop."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...data.datasets import ImageSet
from ...data.domains import Domains
from ...data.open import open_named_domains
from ...data.sampling import Batch, batches
from ...inference.translator import round_trip_grid
from ...tensors import Terms, from_uint8
from ...training.distributed import join, part_of
from ...training.ema import Ema
from ...training.grad_accumulation import new_shares
from ...training.log import opening_progress
from ...training.loop import fit
from ...training.monitor.best import Evaluation
from ...training.optim import TensorFlowRMSprop
from ...training.precision import adam_options, prepare_networks
from ...training.run_folder import LEFT_OUT, MODEL, left_out_text, versions
from ...training.trainer import Job, Outcome, Pace
from ...training.weights import save_weights
from .algorithm import DualState, training_step
from .config import DualConfig, with_tuples
from .networks import Critic, UNet

SHEET_ROWS = 6
"""Round trips per direction on a sample sheet."""


ADVICE = {
    "gap": "Try a smaller --learning-rate, or a larger --penalty.",
    "gradient": "Try a smaller --learning-rate.",
    "still": "Try a smaller --learning-rate, or --loss wgan-gp.",
    "alike": "Try more --critic-steps, a smaller --learning-rate, or larger --weight-a and --weight-b.",
    "unchanged": "Try smaller --weight-a and --weight-b, or more --critic-steps.",
}
"""Which settings to try, by what was found."""


def train(config: DualConfig) -> Outcome:
    """Run, or resume, one translation between two domains."""
    return fit(config, new_job(config))


def new_job(config: DualConfig) -> Job:
    """Open the data and build everything that the loop needs; writes nothing."""
    with opening_progress() as progress:
        domains = open_named_domains(
            config.data,
            config.a,
            config.b,
            config.image_size,
            channels_a=config.channels_a,
            channels_b=config.channels_b,
            memory_budget_bytes=config.memory_budget * 1e9,
            progress=progress,
        )
    device, mine = join(config.device), part_of(config.batch)
    channels_a, channels_b = domains.train_a.channels, domains.train_b.channels
    with torch.random.fork_rng(devices=[]):  # the networks are drawn on the CPU, whatever the device
        torch.manual_seed(config.seed)
        state = new_state(config, channels_a, channels_b)
    generators = nn.ModuleDict({"gen_ab": state.gen_ab, "gen_ba": state.gen_ba}).to(device)
    critics = nn.ModuleDict({"critic_a": state.critic_a, "critic_b": state.critic_b}).to(device)
    ema = Ema(generators, config.ema_images)
    prepare_networks([state.gen_ab, state.gen_ba], [state.critic_a, state.critic_b], device, config.fast)
    shares = new_shares(config, config.batch)
    sheet_a, sheet_b = (_sheet_inputs(images).to(device) for images in _shown(domains))
    images_per_iteration = config.batch * config.critic_steps
    height, width = config.image_size
    pace = Pace()

    def batches_from(seen: int) -> Generator[dict[str, Batch], None, None]:
        return batches(
            {"a": domains.train_a, "b": domains.train_b},
            batch=config.batch,
            start=seen,
            seed=config.seed,
            flip=config.flips,
            workers=config.workers,
            steps=config.critic_steps,
            part=mine,
        )

    def iterate(batch: dict[str, Batch], seen: int, budget: int) -> Terms:
        for optimizer in (state.generator_optimizer, state.critic_optimizer):
            optimizer.param_groups[0]["lr"] = config.learning_rate * pace.factor
        count = mine.stop - mine.start
        images_a, images_b = (from_uint8(batch[name].images.to(device)).split(count) for name in ("a", "b"))
        terms = training_step(state, list(zip(images_a, images_b, strict=True)), config, shares)
        ema.update(seen + images_per_iteration, images_per_iteration)
        return terms

    def sheets() -> dict[str, np.ndarray]:
        average = ema.average
        gen_ab, gen_ba = average.get_submodule("gen_ab"), average.get_submodule("gen_ba")
        return {"a-b-a": round_trip_grid(sheet_a, gen_ab, gen_ba), "b-a-b": round_trip_grid(sheet_b, gen_ba, gen_ab)}

    def export(out: Path) -> None:
        save_weights(out / MODEL, ema.average)

    return Job(
        description={
            "method": "dual",
            "gen_ab": unet_arguments(config, channels_a, channels_b),
            "gen_ba": unet_arguments(config, channels_b, channels_a),
            "size": _size_in_json(config),
            "data": {
                name: {"images": len(images), "content": images.content_hash}
                for name, images in (("a", domains.train_a), ("b", domains.train_b))
            },
            "training": config.to_json(),
            "versions": versions(),
        },
        images_per_iteration=images_per_iteration,
        images_per_epoch=min(len(domains.train_a), len(domains.train_b)),
        batches=batches_from,
        iterate=iterate,
        state={
            "generators": generators,
            "critics": critics,
            "generator_optimizer": state.generator_optimizer,
            "critic_optimizer": state.critic_optimizer,
            "ema": ema,
            **shares.state(),
        },
        sheets=sheets,
        export=export,
        device=device,
        summary=(
            f"{len(domains.train_a):,} images of a in {channels_a} channel{'s' * (channels_a > 1)}, "
            f"{len(domains.train_b):,} of b in {channels_b}, at {width} x {height}, on {device}"
        ),
        documents={LEFT_OUT: left_out_text([*domains.train_a.quarantined, *domains.train_b.quarantined])},
        evaluate=_evaluation(config, domains, ema, device),
        gaps=("critic_a/adversarial", "critic_b/adversarial"),
        advice=ADVICE,
        pace=pace,
        micro_batch=lambda: shares.micro_batch,
    )


def _evaluation(
    config: DualConfig, domains: Domains, ema: Ema, device: torch.device
) -> Callable[[], Evaluation] | None:
    if not config.evaluate_every:
        return None
    from .evaluation import new_evaluation  # its packages take long to import

    return new_evaluation(config, domains, ema, device)


def _shown(domains: Domains) -> tuple[ImageSet, ImageSet]:
    """The sets that sample sheets show: validation images, where there are any."""
    return domains.val_a or domains.train_a, domains.val_b or domains.train_b


def _sheet_inputs(images: ImageSet) -> Tensor:
    return from_uint8(images.read(list(range(min(SHEET_ROWS, len(images))))))


def unet_arguments(config: DualConfig, in_channels: int, out_channels: int) -> dict[str, Any]:
    """Constructor arguments of a generator, as config.json keeps them."""
    return {
        "in_channels": in_channels,
        "out_channels": out_channels,
        "width": config.generator_width,
        "levels": config.num_levels,
        "size": _size_in_json(config),
        "dropout": config.drop_probability,
        "as_published": config.as_published,
    }


def _size_in_json(config: DualConfig) -> int | list[int]:
    """The side of squares; height and width of oblong images, as JSON gives them back."""
    return config.size if config.is_square else list(config.image_size)


def new_state(config: DualConfig, channels_a: int, channels_b: int) -> DualState:
    """Fresh networks, drawn from the global random generator, and their optimizers."""

    def new_critic(channels: int) -> Critic:
        return Critic(channels, config.critic_width, config.image_size, config.critic, config.as_published)

    gen_ab = UNet(**with_tuples(unet_arguments(config, channels_a, channels_b)))
    gen_ba = UNet(**with_tuples(unet_arguments(config, channels_b, channels_a)))
    critic_a, critic_b = new_critic(channels_a), new_critic(channels_b)
    return DualState(
        gen_ab=gen_ab,
        gen_ba=gen_ba,
        critic_a=critic_a,
        critic_b=critic_b,
        generator_optimizer=new_optimizer(config, gen_ab, gen_ba),
        critic_optimizer=new_optimizer(config, critic_a, critic_b),
    )


def new_optimizer(config: DualConfig, *networks: nn.Module) -> torch.optim.Optimizer:
    """The optimizer that the settings ask for, over the parameters of all networks."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    if config.optimizer == "adam":
        return torch.optim.Adam(
            parameters, lr=config.learning_rate, betas=(config.beta1, 0.999), **adam_options(config.fast)
        )
    return TensorFlowRMSprop(parameters, lr=config.learning_rate)
