"""The trainer of a transfer run: from settings to networks, data and optimisers."""

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from ...data.datasets import ImageSet, draw_subset
from ...data.endings import mix_of
from ...data.open import hold_out, open_images
from ...data.sampling import ORDER, Batch, batches
from ...data.value_range import ranges_to_json
from ...errors import UserError, choose
from ...inference.latents import draw_latents
from ...nn.norm import batch_statistics, synchronise
from ...nn.spectral_norm import add_spectral_norms, plain_weights
from ...tensors import Bytes, Labels, Terms, image_grid
from ...training.cuda_graph import Replayed, set_learning_rate
from ...training.distributed import add_up, join, part_of, world_size
from ...training.draws import Draws
from ...training.ema import Ema
from ...training.grad_accumulation import Updates, average_buffers
from ...training.log import opening_progress, say
from ...training.loop import fit
from ...training.precision import prepare_networks
from ...training.run_folder import (
    CRITIC,
    FEATURE_CRITIC,
    LEFT_OUT,
    MODEL,
    TRAINED_BY,
    has_begun,
    left_out_text,
    trained_by,
    versions,
)
from ...training.trainer import Outcome, Stateful, Trainer, order_to_json, wanted_range
from ...training.weights import save_weights
from .. import losses
from .algorithm import WGANGP, learning_rate_scale
from .backbone import CriticBackbone, GeneratorBackbone
from .config import FEATURE_NETWORK, WORDS, TransferConfig
from .feature_critic import FeatureCritic
from .networks import ARCHITECTURES, new_networks
from .source import GENERATOR_PREFIX, Source, source_of_run
from .surgery import Fitted, as_table, in_short, initialised, transplant

GRID_COLUMNS: int = WORDS["report"]["grids"][0]["class_columns"]
"""Of the sample grids; where there are classes, each column is of one."""
logger = logging.getLogger("ganshift")

SURGERY = "surgery.txt"
"""What became of every layer of the source."""


def train(config: TransferConfig) -> Outcome:
    """Run, or resume, one transfer."""
    return fit(TransferTrainer.from_config(config))


@final
class TransferTrainer(Trainer):
    """Networks, optimisers and data of a transfer run."""

    update: Updates
    unnamed_architecture = "resnet"
    gaps = ("critic/distance",)
    advice = WORDS["advice"]

    def __init__(
        self,
        config: TransferConfig,
        data: ImageSet,
        algorithm: WGANGP,
        device: torch.device,
        description: Mapping[str, Any],
        summary: str,
        documents: Mapping[str, str],
    ) -> None:
        super().__init__(config, device, len(data))
        self.settings, self.data, self.algorithm = config, data, algorithm
        self.description, self.summary, self.documents = description, summary, documents
        self.follows_budget = config.linear_decay
        generator, critic = algorithm.generator, algorithm.critic
        self.ema = Ema(generator, config.ema_images)
        prepare_networks([generator], [critic], device, config.fast)
        if world_size() > 1 and config.micro_batch is None:  # micro-batches of processes differ in number
            synchronise(generator, add_up)
        self.networks: dict[str, nn.Module] = {"generator": generator, "critic": critic}
        if algorithm.feature_critic:
            self.networks["feature_critic"] = algorithm.feature_critic
        self.optimizers = {
            network: _new_adam(network, _learning_rate(network, config)) for network in self.networks.values()
        }
        self.draws = Draws(device)
        self.update = Updates(self.optimizers, config.micro_batch, self.precision)
        self.steps = Replayed(self._steps, self.update, device)
        self.grid_inputs = _grid_inputs(config.seed, algorithm.latent_dim, algorithm.num_classes, device)
        if config.evaluate_every:
            from .evaluation import new_evaluation  # its packages take long to import

            self.evaluate = new_evaluation(config, data, self.ema, trained_by(description))

    @classmethod
    def from_config(cls, config: TransferConfig) -> "TransferTrainer":
        """Open the data and the source, and build the networks; writes nothing."""
        source = source_of_run(config.out, config.source) if config.source else None
        size, channels = _image_shape(config, source)
        with opening_progress() as progress:
            data = open_images(
                *(config.data, size, channels, config.memory_budget * 1e9, progress),
                value_range=wanted_range(config.out, config.range),
            )
        if data.value_range:
            say(f"values of {data.value_range.in_words()} (--range sets others)")
        if config.hold_out is not None:
            data, _ = hold_out(config.data, data, config.hold_out)
        if config.subset is not None:
            data = draw_subset(data, config.subset, config.subset_seed)
        architecture, generator_arguments, critic_arguments = _architecture(config, source, data)
        device = join(config.device)
        with torch.random.fork_rng(devices=[]):  # the networks are drawn on the CPU, whatever the device
            torch.manual_seed(config.seed)
            generator, critic = new_networks(architecture, generator_arguments, critic_arguments)
            num_classes = generator_arguments["num_classes"] or critic_arguments["num_classes"]
            feature_critic = FeatureCritic(size=size, num_classes=num_classes) if config.feature_critic else None
        begun = has_begun(config.out)  # then the weights come from the checkpoint, and nothing is said of the source
        start = "its checkpoint" if begun else config.source or "scratch"
        networks = {"generator": generator, "critic": critic, "feature_critic": feature_critic}
        table = _start_from(source, config, networks, data.classes) if source and not begun else ""
        if config.loss == "hinge":
            add_spectral_norms(critic)
        _freeze(critic, config.freeze_critic)
        losses.check_per_image(critic)
        mixtures = 2 if config.as_published and size == 32 else 1  # the 32-pixel port counts every pair twice
        algorithm = WGANGP(
            generator.to(device),
            critic.to(device),
            config,
            generator.latent_dim,
            num_classes,
            mixtures,
            feature_critic.to(device) if feature_critic else None,
        )
        classes = f", {num_classes} classes" if num_classes else ""
        return cls(
            config,
            data,
            algorithm,
            device,
            description={
                "method": "transfer",
                "architecture": architecture,
                "generator": generator_arguments,
                "critic": critic_arguments,
                **({"feature_critic": {"network": FEATURE_NETWORK}} if feature_critic else {}),
                "classes": list(data.classes) if num_classes else [],
                "data": {"images": len(data), "content": data.content_hash},
                **ranges_to_json({"images": data.value_range}),
                **order_to_json(config.out),
                **_trained_by_to_json(config, source),
                "training": config.to_json(),
                "versions": versions(),
            },
            summary=(
                f"{len(data):,} images{mix_of(data.names)} of {size} x {size} in {data.channels} "
                f"channel{'s' * (data.channels > 1)}{classes}, from {start}, on {device}"
            ),
            documents={LEFT_OUT: left_out_text(data.quarantined), SURGERY: table},
        )

    def batches(self, position: int) -> Generator[dict[str, Batch], None, None]:
        """The batches of an iteration's critic updates in one, from so many images on."""
        config = self.settings
        return batches(
            {"real": self.data},
            batch=config.batch,
            start=position,
            seed=config.seed,
            flip=config.flip,
            workers=config.workers,
            steps=config.critic_steps,
            part=part_of(config.batch),
            order_of_large=self.description.get(ORDER, "sorted"),
        )

    def run_iteration(self, batch: dict[str, Batch]) -> Terms:
        """Algorithm 1 on one batch for each critic update; as published, the critic has the first one to itself."""
        config, seen = self.settings, self.seen
        scale = self.learning_rate_factor * learning_rate_scale(config, seen, self.budget)
        for network, optimizer in self.optimizers.items():
            set_learning_rate(optimizer, _learning_rate(network, config) * scale)
        images, labels = batch["real"].images, batch["real"].labels if self.algorithm.num_classes else None
        number = seen // config.images_per_iteration
        features = self.algorithm.feature_critic is not None and number % self.algorithm.features_every == 0
        terms = self.steps(images, labels, features=features)
        average_buffers(self.algorithm.generator)
        self.ema.update(seen + config.images_per_iteration, config.images_per_iteration)
        return terms

    def _steps(self, images: Bytes, labels: Labels | None, *, features: bool) -> Terms:
        """All updates of an iteration."""
        each = self.settings.critic_steps
        real = list(zip(images.chunk(each), [None] * each if labels is None else labels.chunk(each), strict=True))
        return self.algorithm.iteration(real, self.update, self.draws, critic_only=self.seen == 0, features=features)

    def parts(self) -> dict[str, Stateful]:
        """Networks, optimisers and averages."""
        optimizers = {f"{name}_optimizer": self.optimizers[network] for name, network in self.networks.items()}
        return {**self.networks, **optimizers, "ema": self.ema, **self.update.state()}

    @torch.no_grad()
    def sample_grids(self) -> dict[str, np.ndarray]:
        """Images of fixed latents, one class in each column."""
        average = self.ema.average
        normalise = batch_statistics(average) if self.settings.as_published else nullcontext()
        with normalise:
            return {"samples": image_grid(average(*self.grid_inputs), GRID_COLUMNS)}

    def save_model(self, folder: Path) -> None:
        """The averaged generator, and the critic, so that the run can be a source."""
        save_weights(folder / MODEL, self.ema.average, GENERATOR_PREFIX)
        save_weights(folder / CRITIC, plain_weights(self.algorithm.critic))
        if "feature_critic" in self.networks:
            save_weights(folder / FEATURE_CRITIC, self.networks["feature_critic"])


def _new_adam(network: nn.Module, learning_rate: float) -> torch.optim.Adam:
    """Adam with the betas of Gulrajani et al. 2017, algorithm 1, over what is to learn."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return torch.optim.Adam(learning, learning_rate, betas=(0.0, 0.9))


def _trained_by_to_json(config: TransferConfig, source: Source | None) -> dict[str, list[str]]:
    """The entry of `config.json` with the extractors that trained this run or its source, if there are any."""
    of_source = trained_by(source.description) if source and config.load != "none" else ()
    networks = list(dict.fromkeys((*config.trained_by, *of_source)))
    return {TRAINED_BY: networks} if networks else {}


def _learning_rate(network: nn.Module, config: TransferConfig) -> float:
    """The one that is set for such a network; that of the feature critic is not."""
    if isinstance(network, FeatureCritic):
        return FeatureCritic.learning_rate
    is_generator = isinstance(network, GeneratorBackbone)
    return config.generator_learning_rate if is_generator else config.critic_learning_rate


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
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The architecture and the arguments of both networks: what is set, else the source's, else the published ones."""
    architecture = _choose(config, "architecture", source.description if source else {}, "architecture", "resnet")
    if not ARCHITECTURES[choose(architecture, ARCHITECTURES, "architecture")].has_settings:
        return architecture, *_networks_of_source(config, source, data)
    from_generator = source.generator_arguments if source else {}
    from_critic = source.critic_arguments if source else {}
    width = config.width or (128 if data.size == 32 else 64)
    conditioning = config.conditioning or (_conditioning_of(from_generator, from_critic) if data.classes else "none")
    if conditioning != "none" and not data.classes:
        raise UserError(
            f"conditioning={conditioning} needs classes: put the images of {config.data} into one folder per class"
        )
    num_classes = len(data.classes) if conditioning != "none" else 0
    shape = {"size": data.size, "channels": data.channels, "num_classes": num_classes}
    return (
        architecture,
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


def _networks_of_source(
    config: TransferConfig, source: Source | None, data: ImageSet
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments of networks that have no settings: the source's, with the classes of the images if it has any."""
    if source is None:
        raise UserError(f"{config.architecture} networks need a source: give --source")
    for setting in ("generator_width", "critic_width", "generator_norm", "critic_norm", "conditioning"):
        if getattr(config, setting) is not None:
            raise UserError(
                f"--{setting.replace('_', '-')} does not apply to the networks of {source.where}: leave it out"
            )
    has_classes = bool(source.generator_arguments.get("num_classes"))
    if has_classes and not data.classes:
        raise UserError(f"{source.where} has classes: put the images of {config.data} into one folder per class")
    shape = {"channels": data.channels, "num_classes": len(data.classes) if has_classes else 0}
    return {**source.generator_arguments, **shape}, {**source.critic_arguments, **shape}


def _conditioning_of(generator: Mapping[str, Any], critic: Mapping[str, Any]) -> str:
    """How class labels enter these networks."""
    if not generator.get("num_classes"):
        return "none"
    return "acgan" if critic.get("class_head") else "norm"


def _start_from(
    source: Source,
    config: TransferConfig,
    networks: Mapping[str, nn.Module | None],
    classes: Sequence[str],
) -> str:
    """Load what is to be loaded; returns the table of what became of every layer."""
    rows: list[Fitted] = []
    if config.load == "generator":
        logger.warning(
            "only the generator is loaded: Wang et al. 2018 (table 1) found that worse than starting from scratch "
            "(FID 56.2 against 32.9; both networks: 24.4), since a fresh critic leads a trained generator astray"
        )
    training = source.description.get("training")
    by_hinge = isinstance(training, Mapping) and training.get("loss") == "hinge"
    if config.loss == "hinge" and not by_hinge and config.load in ("both", "critic"):
        logger.warning(
            "the source's critic was trained with another loss: with spectral norms it made a run worse than from "
            "scratch (docs/reports/2026-11-small-batches.md); use --loss wgan-gp with this source"
        )
    for label, network in networks.items():
        weights: Mapping[str, Tensor] = getattr(source, label)
        if network is None:
            continue
        if weights and config.load in ("both", label.removeprefix("feature_")):
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
    if not (config.out / SURGERY).exists():  # said once, not at every resume
        say(in_short(rows, f"{source.where} ({SURGERY} lists them)").rstrip())
    return as_table(rows)


def _freeze(critic: CriticBackbone, num_blocks: int) -> None:
    """Keep the first blocks of the critic from moving, counted from the image (Mo et al. 2020, arXiv 2002.10964)."""
    blocks = critic.blocks_from_image()
    if num_blocks > len(blocks):
        raise UserError(f"freeze_critic must be at most {len(blocks)}, the blocks of this critic, got {num_blocks}")
    for block in blocks[:num_blocks]:
        block.requires_grad_(False)


def _grid_inputs(seed: int, latent_dim: int, num_classes: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Fixed latents of the sample grids, and labels that put one class in each column."""
    count = GRID_COLUMNS * GRID_COLUMNS
    latents = draw_latents(count, seed, dim=latent_dim).to(device)
    labels = torch.arange(count, device=device) % GRID_COLUMNS % num_classes if num_classes else None
    return latents, labels
