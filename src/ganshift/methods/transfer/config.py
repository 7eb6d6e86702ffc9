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
    read_presets,
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
    """Train on only this many images, with equal shares per class if possible. Subsets are nested."""
    subset_seed: Seed = 0
    """Seed that chooses the subset."""
    hold_out: Literal["1/3", "2/3", "3/3"] | None = None
    """Hold out the first, second or last third of each class from training. If there is a test split, that is used and
    nothing is held out."""
    source: str | None = None
    """What to start from: a run folder, a bundled source by name, or a hub id (owner/model). Default: from scratch."""
    size: Literal[32, 64, 128] | None = None
    """Side of the square images: 32, 64 or 128 pixels; others are resized and cropped. Default: the source's or 32."""
    channels: Channels | None = None
    """1 gray, 3 colour, 4 with alpha. Default: the source's, else inferred from the images."""
    range: str | None = None
    """Which values are black and white in files of more than 8 bits: LOW,HIGH, or with a unit hu:-1000,1000. Default:
    measured on the images. Files of 8 bits always use 0 to 255."""
    architecture: Literal["resnet", "r3gan"] | None = None
    """Which networks (docs/architecture.md: how to add one); r3gan needs a source. Default: the source's or resnet."""
    width: Width | None = None
    """Channels of networks that do not come from the source: of all layers at size 32 (default 128), of those at full
    resolution at larger sizes (default 64)."""
    generator_width: Width | None = None
    """Channels of the generator. Default: the source's, else --width."""
    critic_width: Width | None = None
    """Channels of the critic. Default: the source's, else --width."""
    generator_norm: bool | None = None
    """Batch norm in the generator. Default: the source's, else on."""
    critic_norm: bool | None = None
    """Layer norm in the critic. Default: the source's, else off at size 32 and on above."""
    conditioning: Literal["none", "acgan", "norm"] | None = None
    """How class labels are used: not at all (none), by a classifier in the critic (acgan), or by class-conditional
    norms in both networks (norm). Default: the source's if the images have classes, else none."""
    load: Literal["both", "generator", "critic", "none"] = "both"
    """Which of the source's networks to load; the others start from scratch, in the same size."""
    freeze_critic: NonNegativeInt = 0
    """How many blocks of the critic are not trained, counted from the image; the input layer counts as the first."""
    augment: str = ""
    """Differentiable augmentation of real and fake images: any of color,translation,cutout, joined by commas."""
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
    """Weight of a second critic, on the features of a network trained on ImageNet; 0 turns it off."""
    acgan_scale: NonNegativeFloat = 1.0
    """Weight of the class cross-entropy of real images in the critic's loss."""
    acgan_scale_generator: NonNegativeFloat = 0.1
    """Weight of the class cross-entropy of generated images in the generator's loss."""
    fake_labels: Literal["real", "uniform"] = "real"
    """Class labels of the fakes that the critic sees: those of the real batch, or uniformly random ones."""
    generator_learning_rate: PositiveFloat = 2e-4
    """Adam's learning rate for the generator."""
    critic_learning_rate: PositiveFloat = 2e-4
    """Adam's learning rate for the critic."""
    warmup_images: NonNegativeInt = 0
    """Warm-up: over this many images both learning rates rise linearly from 0."""
    linear_decay: bool = True
    """Decay both learning rates linearly to 0 over the budget."""
    dequantize: bool = True
    """Add uniform noise within each of the 256 levels of the real images."""
    flip: bool = True
    """Mirror half of the images, at random."""
    as_published: bool = False
    """Undo our fixes of the published code: two penalties for every pair at size 32, and sample sheets normalised by
    their own statistics."""
    # What the cadences mean is said once, in RunConfig.
    log_every: PositiveInt = 6_400
    sample_every: PositiveInt = 32_000
    checkpoint_every: PositiveInt = 64_000
    evaluate_every: NonNegativeInt = 32_000
    ema_images: NonNegativeInt = 10_000
    """Half-life, in images, of the averaged generator weights for sampling; 0, as published, takes the raw ones."""

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


PRESETS: dict[str, dict[str, Any]] = read_presets(Path(__file__).with_name("presets.toml"))
"""Overrides of the defaults by name; each sets a budget. The command starts from few-shot unless told otherwise."""
WORDS = read_table(Path(__file__).with_name("words.toml"))
"""Its help, its advice on what to try, and what reports say of its runs."""
