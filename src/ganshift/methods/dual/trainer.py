"""The trainer of a dual run: from settings to networks, two domains and optimisers."""

from collections.abc import Generator
from pathlib import Path
from typing import cast, final

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from ...data.datasets import Domains
from ...data.domain_names import DomainNames, default_names, names_to_json, parse_names, stored_names
from ...data.endings import mix_of
from ...data.open import open_domains
from ...data.sampling import ORDER, Batch, batches
from ...data.value_range import ranges_to_json
from ...errors import UserError
from ...inference.translator import round_trip_grid
from ...nn.norm import image_statistics
from ...tensors import Terms, from_uint8
from ...training.config import require
from ...training.cuda_graph import Replayed, set_learning_rate
from ...training.distributed import join, part_of
from ...training.draws import Draws
from ...training.ema import Ema
from ...training.grad_accumulation import Updates, average_buffers
from ...training.log import opening_progress, say
from ...training.loop import fit
from ...training.optim import TensorFlowRMSprop
from ...training.precision import prepare_networks
from ...training.run_folder import (
    CONFIG,
    DOMAIN_CRITICS,
    LEFT_OUT,
    MODEL,
    has_begun,
    left_out_text,
    read_config,
    versions,
)
from ...training.trainer import Outcome, Stateful, Trainer, order_to_json, wanted_range
from ...training.weights import save_weights
from .. import losses
from .algorithm import DualGAN
from .backbone import DomainCritic
from .config import WORDS, DualConfig
from .source import Networks, networks_from_scratch, networks_of_source

GRID_ROWS = 6
"""Round trips per direction on a sample sheet."""


def train(config: DualConfig) -> Outcome:
    """Run, or resume, one translation between two domains."""
    return fit(DualTrainer.from_config(config))


@final
class DualTrainer(Trainer):
    """Networks, optimisers and data of a dual run."""

    update: Updates
    unnamed_architecture = "unet"
    gaps = ("critic_a/adversarial", "critic_b/adversarial")
    advice = WORDS["advice"]

    def __init__(
        self, config: DualConfig, domains: Domains, algorithm: DualGAN, device: torch.device, networks: Networks
    ) -> None:
        super().__init__(config, device, min(len(domains.train_a), len(domains.train_b)))
        names = names_of(config)
        self.settings, self.domains, self.algorithm = config, domains, algorithm
        generators, critics = algorithm.generators, algorithm.critics
        self.ema = Ema(generators, config.ema_images)
        prepare_networks(list(generators.values()), list(critics.values()), device, config.fast)
        self.generator_optimizer = new_optimizer(config, generators)
        self.critic_optimizer = new_optimizer(config, critics)
        self.draws = Draws(device)
        self.update = Updates(
            {generators: self.generator_optimizer, critics: self.critic_optimizer},
            config.micro_batch,
            precision=self.precision,
        )
        self.steps = Replayed(self._steps, self.update, device)
        shown = (domains.val_a or domains.train_a, domains.val_b or domains.train_b)
        self.grid_inputs = [from_uint8(images.read(range(min(GRID_ROWS, len(images))))).to(device) for images in shown]
        if config.evaluate_every:
            from .evaluation import new_evaluation  # its packages take long to import

            self.evaluate = new_evaluation(config, domains, names, self.ema, device)
        a, b = domains.train_a, domains.train_b
        height, width = config.image_size
        self.description = {
            "method": "dual",
            **networks.description(),
            "size": config.size_in_json,
            **names_to_json(names),
            "data": {
                name: {"images": len(images), "content": images.content_hash} for name, images in (("a", a), ("b", b))
            },
            **ranges_to_json({"a": a.value_range, "b": b.value_range}),
            **order_to_json(config.out),
            "training": config.to_json(),
            "versions": versions(),
        }
        self.summary = (
            f"{len(a):,} images{mix_of(a.names)} of {names['a']} in {a.channels} channel{'s' * (a.channels > 1)}, "
            f"{len(b):,}{mix_of(b.names)} of {names['b']} in {b.channels}, at {width} x {height}, on {device}"
        )
        self.documents = {LEFT_OUT: left_out_text([*a.quarantined, *b.quarantined])}

    @classmethod
    def from_config(cls, config: DualConfig) -> "DualTrainer":
        """Open both domains and build the networks; writes nothing."""
        source = networks_of_source(config) if config.source else None
        known = dict(zip("ab", source.channels, strict=True)) if source else {}
        with opening_progress() as progress:
            domains = open_domains(
                config.data,
                config.a,
                config.b,
                config.image_size,
                channels_a=config.channels_a or known.get("a"),
                channels_b=config.channels_b or known.get("b"),
                range_a=wanted_range(config.out, config.range_a, "a"),
                range_b=wanted_range(config.out, config.range_b, "b"),
                memory_budget_bytes=config.memory_budget * 1e9,
                progress=progress,
            )
        names = names_of(config)
        for name, images in (("a", domains.train_a), ("b", domains.train_b)):
            if images.value_range:
                say(f"domain {names[name]}: values of {images.value_range.in_words()} (--range-{name} sets others)")
        channels = domains.train_a.channels, domains.train_b.channels
        if source and source.channels != channels:
            raise UserError(
                "--source translates {} channels to {}, and the domains have {} and {}".format(
                    *source.channels, *channels
                )
            )
        networks = source or networks_from_scratch(config, *channels)
        device = join(config.device)
        with torch.random.fork_rng(devices=[]):  # the networks are drawn on the CPU, whatever the device
            torch.manual_seed(config.seed)
            algorithm = new_algorithm(config, *channels, networks)
        critic = cast(DomainCritic, algorithm.critics["critic_b"])
        say(f"each critic gives an image {scores_in_words(critic, config, channels[1])}")
        if not (source or config.as_published or has_begun(config.out)):
            check_field(critic, min(config.image_size))
        algorithm.generators.to(device)
        algorithm.critics.to(device)
        return cls(config, domains, algorithm, device, networks)

    def batches(self, position: int) -> Generator[dict[str, Batch], None, None]:
        """The batches of an iteration's critic updates in one, of both domains, from so many images on."""
        config = self.settings
        return batches(
            {"a": self.domains.train_a, "b": self.domains.train_b},
            batch=config.batch,
            start=position,
            seed=config.seed,
            flip=config.flips,
            workers=config.workers,
            steps=config.critic_steps,
            part=part_of(config.batch),
            order_of_large=self.description.get(ORDER, "sorted"),
        )

    def run_iteration(self, batch: dict[str, Batch]) -> Terms:
        """Algorithm 1 on one pair of batches for each update of the critics."""
        config = self.settings
        for optimizer in (self.generator_optimizer, self.critic_optimizer):
            set_learning_rate(optimizer, config.learning_rate * self.learning_rate_factor)
        terms = self.steps(batch["a"].images, batch["b"].images)
        average_buffers(self.algorithm.generators)  # of batch norms, which processes take of their own images
        self.ema.update(self.seen + config.images_per_iteration, config.images_per_iteration)
        return terms

    def _steps(self, images_a: UInt8[Tensor, "n a h w"], images_b: UInt8[Tensor, "n b h w"]) -> Terms:
        """All updates of an iteration."""
        a, b = (from_uint8(images).chunk(self.settings.critic_steps) for images in (images_a, images_b))
        return self.algorithm.iteration(list(zip(a, b, strict=True)), self.update, self.draws)

    def parts(self) -> dict[str, Stateful]:
        """Networks, optimisers and averages."""
        return {
            "generators": self.algorithm.generators,
            "critics": self.algorithm.critics,
            "generator_optimizer": self.generator_optimizer,
            "critic_optimizer": self.critic_optimizer,
            "ema": self.ema,
            **self.update.state(),
        }

    def sample_grids(self) -> dict[str, np.ndarray]:
        """Round trips of fixed images of each domain."""
        gen_ab, gen_ba = (self.ema.average.get_submodule(name) for name in ("gen_ab", "gen_ba"))
        a, b = self.grid_inputs
        return {"a-b-a": round_trip_grid(a, gen_ab, gen_ba), "b-a-b": round_trip_grid(b, gen_ba, gen_ab)}

    def save_model(self, folder: Path) -> None:
        """Both averaged generators; critics that a next run can start from are those that config.json describes."""
        save_weights(folder / MODEL, self.ema.average)
        if "critic_a" in self.description:
            save_weights(folder / DOMAIN_CRITICS, self.algorithm.critics)


def names_of(config: DualConfig) -> DomainNames:
    """What the domains are called: as given, or as the run in --out calls them, or by where a new run's images lie."""
    if config.names is not None:
        return parse_names(config.names)
    if (config.out / CONFIG).exists():
        return stored_names(read_config(config.out))
    return default_names(config.data, config.a, config.b)


def new_algorithm(config: DualConfig, channels_a: int, channels_b: int, networks: Networks | None = None) -> DualGAN:
    """The networks: the generators first, then the critics. Freshly drawn, but for those that a source has."""
    networks = networks or networks_from_scratch(config, channels_a, channels_b)
    generators = nn.ModuleDict({name: networks.build(name) for name in ("gen_ab", "gen_ba")})
    critics = nn.ModuleDict({name: networks.build(name) for name in ("critic_a", "critic_b")})
    for layer in generators.modules():
        if isinstance(layer, nn.Dropout):  # a source says where there are some, and the settings how much they drop
            layer.p = config.drop_probability
    image_statistics(generators, networks.image_statistics)
    for critic in critics.values():
        losses.check_per_image(critic)
    return DualGAN(generators, critics, config)


def scores_in_words(critic: DomainCritic, config: DualConfig, channels: int) -> str:
    """How many scores a critic gives an image, and what each of them sees."""
    if critic.receptive_field is None:
        return "one score"
    with torch.no_grad():
        rows, columns = critic(next(critic.parameters()).new_zeros(1, channels, *config.image_size)).shape[2:]
    side = critic.receptive_field
    return f"{rows} x {columns} scores, each of a patch of {side} x {side} pixels"


def check_field(critic: DomainCritic, side: int) -> None:
    """Raise a `UserError` where patches are as large as images, so that a map of scores says what one would."""
    field = critic.receptive_field
    require(
        field is None or field < side,
        f"each score of the critics sees {field} pixels on a side, and images have {side}: give a --receptive-field of "
        f"about {side // 2 + 1}, or --critic global",
    )


def new_optimizer(config: DualConfig, networks: nn.Module) -> torch.optim.Optimizer:
    """The optimiser that the settings ask for, over all parameters."""
    if config.optimizer == "adam":
        betas = (config.beta1, 0.999)
        return torch.optim.Adam(networks.parameters(), config.learning_rate, betas)
    return TensorFlowRMSprop(networks.parameters(), lr=config.learning_rate)
