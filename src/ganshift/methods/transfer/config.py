"""Settings of a transfer run, and the presets. Defaults are the published 32-pixel code's, unconditional."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...training.config import (
    BatchSize,
    Channels,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    RunConfig,
    Seed,
    Steps,
    Width,
    check_range,
    read_table,
    require,
)

SIZES = (32, 64, 128)
FEATURE_NETWORK = "lite0"
"""What the network of the feature critic is called, as an extractor of scores too."""
AUGMENTATIONS = ("color", "translation", "cutout")


@dataclass(frozen=True, kw_only=True)
class TransferConfig(RunConfig):
    """Teach a pretrained generator the images of a folder (Transferring GANs, Wang et al. 2018, on WGAN-GP)."""

    data: Path
    """Images to learn: a folder, class folders, a zip, tar, .npz or Parquet table, CIFAR batches, or bundled:faces."""
    subset: PositiveInt | None = None
    """Learn only so many images, with equal shares of classes if possible; smaller subsets lie within larger ones."""
    subset_seed: Seed = 0
    """Seed of the choice of images."""
    hold_out: Literal["1/3", "2/3", "3/3"] | None = None
    """Hold out the first, second or last third of each class from training. Nothing is held out if there is a test
    split, which serves instead."""
    source: str | None = None
    """What to start from: a run folder, a bundled source by name, or a hub id (owner/model). Default: from scratch."""
    size: Literal[32, 64, 128] | None = None
    """Side of the square images, in pixels: 32, 64 or 128; others are resized and cropped. The source's, else 32."""
    channels: Channels | None = None
    """1 gray, 3 colour, 4 with alpha. The source's, else inferred from the images."""
    range: str | None = None
    """Which values are black and white in files of more than 8 bits: LOW,HIGH, or with a unit hu:-1000,1000. Default:
    measured on the images. Files of 8 bits always use 0 to 255."""
    architecture: Literal["resnet", "r3gan"] | None = None
    """Which networks (docs/architecture.md: how to add one); r3gan needs a source. The source's, else resnet."""
    width: Width | None = None
    """Channels of networks that do not come from the source: everywhere at size 32 (default 128), at full resolution
    above (default 64)."""
    generator_width: Width | None = None
    """Channels of the generator. The source's, else --width."""
    critic_width: Width | None = None
    """Channels of the critic, likewise."""
    generator_norm: bool | None = None
    """Batch norm in the generator. The source's, else on."""
    critic_norm: bool | None = None
    """Layer norm in the critic. The source's, else off at size 32 and on above."""
    conditioning: Literal["none", "acgan", "norm"] | None = None
    """How class labels enter: not at all; a classifier in the critic (acgan); class-conditional norms in both (norm).
    The source's, where the images have classes; else none."""
    load: Literal["both", "generator", "critic", "none"] = "both"
    """Which of the source's networks to keep; the others start from scratch, in the same size."""
    freeze_critic: NonNegativeInt = 0
    """Do not train the first so many blocks of the critic; its input layer counts as the first."""
    augment: str = ""
    """Change what the critic sees, real and fake alike: any of color,translation,cutout, joined by commas."""
    batch: BatchSize = 64
    """Real images per critic update."""
    generator_batch_multiple: Steps = 2
    """Images generated per generator update, as a multiple of the batch."""
    critic_steps: Steps = 5
    """Critic updates per generator update."""
    loss: Literal["wgan-gp", "hinge"] = "wgan-gp"
    """Objective: wgan-gp, as published, or hinge, without a gradient penalty, for a critic whose layers are divided by
    their spectral norms (Miyato et al. 2018)."""
    penalty: NonNegativeFloat = 10.0
    """Weight of the gradient penalty; hinge has none."""
    feature_critic: NonNegativeFloat = 0.0
    """Weight of a second critic, on the features of a network trained on ImageNet; 0 is none."""
    acgan_scale: NonNegativeFloat = 1.0
    """Weight of the class cross-entropy of real images in the critic's loss."""
    acgan_scale_generator: NonNegativeFloat = 0.1
    """Weight of the class cross-entropy of generated images in the generator's loss."""
    fake_labels: Literal["real", "uniform"] = "real"
    """Labels of the fakes the critic sees: those of the real batch, or uniformly random ones."""
    generator_learning_rate: PositiveFloat = 2e-4
    """Adam's learning rate for the generator."""
    critic_learning_rate: PositiveFloat = 2e-4
    """Adam's learning rate for the critic."""
    warmup_images: NonNegativeInt = 0
    """Let both learning rates rise linearly from 0 over the first so many images."""
    linear_decay: bool = True
    """Let both learning rates fall linearly to 0 over the budget."""
    dequantize: bool = True
    """Add uniform noise within each of the 256 levels of the real images."""
    flip: bool = True
    """Mirror half of the images, at random."""
    as_published: bool = False
    """Undo our repairs of the published code: two penalties for every pair at size 32, and sample sheets normalised by
    their own statistics."""
    # What the cadences mean is said once, in RunConfig.
    log_every: PositiveInt = 6_400
    sample_every: PositiveInt = 32_000
    checkpoint_every: PositiveInt = 64_000
    evaluate_every: NonNegativeInt = 32_000
    ema_images: NonNegativeInt = 10_000
    """Half-life, in images, of the averaged generator weights that sampling uses; 0, as published, samples the raw."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("range", self.range)
        unknown = set(self.augment.split(",")) - {"", *AUGMENTATIONS}
        require(not unknown, f"augment takes any of {', '.join(AUGMENTATIONS)}, got {', '.join(sorted(unknown))}")
        require(
            self.loss == "wgan-gp" or not self.as_published,
            f"loss={self.loss} is not what the published code does: leave as_published out",
        )
        require(
            self.source is not None or self.load == "both",
            f"load={self.load} needs a source to load from: give --source, or leave load out",
        )

    @property
    def trained_by(self) -> tuple[str, ...]:
        """The network of the feature critic, if there is one."""
        return (FEATURE_NETWORK,) if self.feature_critic else ()

    @property
    def images_per_iteration(self) -> int:
        """Real images shown in one iteration: one batch per critic update."""
        return self.batch * self.critic_steps


PRESETS: dict[str, dict[str, Any]] = read_table(Path(__file__).with_name("presets.toml"))
"""Overrides of the defaults by name; each sets a budget. The command starts from few-shot unless told otherwise."""
WORDS = read_table(Path(__file__).with_name("words.toml"))
"""Its help, its advice on what to try, and what reports say of its runs."""
