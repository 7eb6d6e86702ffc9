"""The settings of a DualGAN run (Yi et al. 2017, arXiv 1704.02510) and its presets; no torch here, for `--help`."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from ...data.domain_names import parse_names
from ...training.config import (
    MAX_WIDTH,
    BatchSize,
    Channels,
    EvaluatedImages,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Range,
    RunConfig,
    Steps,
    Width,
    check_range,
    read_presets,
    read_table,
    require,
)

PUBLISHED_LEVELS = 8
LONGEST = 16
"""Largest ratio of the sides of an image; who asks for more means pixels."""
SMALLEST_FIELD = 9
"""Pixels on a side that a critic sees after one halving."""


@dataclass(frozen=True, kw_only=True)
class DualConfig(RunConfig):
    """Learn to translate between two unpaired folders (DualGAN, Yi et al. 2017). Defaults follow the published code."""

    data: Path | None = None
    """Folder or zip with train/A and train/B (and val/A, val/B), or a published set's name; instead of --a and --b."""
    a: Path | None = None
    """Folder, zip, tar, .npz or Parquet table of the images of domain a; goes with --b."""
    b: Path | None = None
    """Folder, zip, tar, .npz or Parquet table of the images of domain b; goes with --a."""
    names: str | None = None
    """Names of the domains, such as photo,sketch, for --to, pages and files. Default: the names of --a and --b; A and B
    with --data."""
    size: Annotated[int, Range(32, MAX_WIDTH)] = 256
    """Shorter side of the training images, in pixels; at least 32, since the critic halves it five times."""
    aspect: str = "1:1"
    """Width to height of the training images, such as 3:2, 9:16 or 1.5; the longer side follows from `size`."""
    channels_a: Channels | None = None
    """Channels of domain a: 1 (gray), 3 (RGB) or 4 (RGBA). Default: what its images have."""
    channels_b: Channels | None = None
    """Channels of domain b, likewise."""
    range_a: str | None = None
    """Which values are black and white in domain a's files of more than 8 bits: LOW,HIGH, or with a unit hu:-1000,1000.
    Default: measured on the images. Files of 8 bits always use 0 to 255."""
    range_b: str | None = None
    """The same for domain b; `translate` writes values in its unit."""
    source: str | None = None
    """Translator to start from: a run folder, such as one that ganshift import wrote, a bundled model, or an
    owner/model of the Hugging Face hub. Its networks replace those that the settings describe."""
    architecture: Literal["unet", "resnet", "pix2pix"] = "unet"
    """Which networks: DualGAN's (unet), or the generator of CycleGAN (resnet) or of pix2pix with a patch critic."""
    generator_width: Width = 64
    """Channels after the first layer of the generators; the deepest layers have eight times as many."""
    critic_width: Width = 64
    """Channels after the first layer of the critics; the deepest layers have eight times as many."""
    levels: Annotated[int, Range(1, PUBLISHED_LEVELS)] | None = None
    """Downsampling steps in the generators. Default: until the longer side is one pixel, at most the published 8."""
    loss: Literal["wgan-gp", "wgan", "classic", "least-squares"] = "wgan-gp"
    """Adversarial objective: Wasserstein with gradient penalty, Wasserstein with clipped weights, cross-entropy, or
    least squares as in CycleGAN."""
    critic: Literal["global", "patch"] = "global"
    """One score per image, or a map of scores of overlapping patches."""
    receptive_field: Annotated[int, Range(SMALLEST_FIELD, MAX_WIDTH)] | None = None
    """Largest side, in pixels, of the patch that each score of a patch critic may see; the network comes as close as it
    can. Default, as published: 129 for DualGAN's, 70 for the other architectures."""
    reconstruction: Literal["l1", "l2"] = "l1"
    """Reconstruction loss, between a round trip and its input: mean absolute or mean squared difference."""
    weight_a: NonNegativeFloat = 500.0
    """Weight of the reconstruction loss a to b to a; 1000 in the published runs on drawings and facades."""
    weight_b: NonNegativeFloat = 500.0
    """Weight of the reconstruction loss b to a to b."""
    identity: NonNegativeFloat = 0.0
    """Weight of CycleGAN's identity loss, relative to the reconstruction weights (CycleGAN has 0.5): a generator should
    not change images of its target domain. It keeps colours, and dark lines dark."""
    penalty: NonNegativeFloat = 10.0
    """Weight of the gradient penalty; only with --loss wgan-gp."""
    clip: PositiveFloat = 0.01
    """Critic weights are clipped to plus or minus this after each critic step; only with --loss wgan."""
    critic_steps: Steps = 1
    """Critic steps per generator step (n_critic): published default 1, paper 2 to 4."""
    dropout: NonNegativeFloat = 0.0
    """Dropout probability after the first three upsampling steps of a generator, in training."""
    batch: BatchSize = 1
    """Images of each domain per step."""
    learning_rate: PositiveFloat = 5e-5
    """Learning rate of both optimisers."""
    optimizer: Literal["rmsprop", "adam"] = "rmsprop"
    """TensorFlow's RMSProp as published, or Adam."""
    beta1: NonNegativeFloat = 0.5
    """Adam's decay of the mean gradient; only with --optimizer adam."""
    flip: bool = True
    """Mirror half of the training images, at random."""
    as_published: bool = False
    """Undo our fixes of the published code: norm at the 1x1 bottleneck, so that nothing passes; biases before norms; 8
    levels at any size; no flips; and a dropout other than 0 is the probability of keeping."""
    # What the cadences mean is said once, in RunConfig.
    log_every: PositiveInt = 100
    sample_every: PositiveInt = 2000
    checkpoint_every: PositiveInt = 5000
    evaluate_every: NonNegativeInt = 5000
    evaluate_images: EvaluatedImages = 100
    ema_images: NonNegativeInt = 500
    """Half-life, in images, of the averaged generator weights for sampling; 0, as published, takes the raw ones."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("range_a", self.range_a)
        check_range("range_b", self.range_b)
        if self.names is not None:
            parse_names(self.names)
        given = [f"--{name}" for name in ("data", "a", "b") if getattr(self, name) is not None]
        require(
            given in (["--data"], ["--a", "--b"]),
            f"give --data, or both --a and --b; given {' and '.join(given) or 'none of them'}",
        )
        _width_to_height(self.aspect)
        require(self.beta1 < 1, f"beta1 must be at least 0 and less than 1, got {self.beta1}")
        top = "at most 1 (the probability of keeping)" if self.as_published else "less than 1"
        require(
            self.dropout <= 1 and self.drop_probability < 1, f"dropout must be at least 0 and {top}, got {self.dropout}"
        )
        if self.as_published:
            require(
                self.architecture == "unet" and self.source is None,
                "as_published is for architecture unet without a source: leave it out",
            )
            require(self.size & (self.size - 1) == 0, f"size must be a power of two with as_published, got {self.size}")
            require(
                self.size_in_json == self.size, f"aspect must be 1:1 with as_published, got {self.aspect}; leave it out"
            )
            require(
                self.levels in (None, PUBLISHED_LEVELS),
                f"levels must be {PUBLISHED_LEVELS} with as_published, got {self.levels}; leave it out",
            )
        self._warn_of_ignored_settings()

    def _warn_of_ignored_settings(self) -> None:
        defaults = {field.name: field.default for field in fields(self)}
        for name, used, needs in (
            ("penalty", self.loss == "wgan-gp", "loss wgan-gp"),
            ("clip", self.loss == "wgan", "loss wgan"),
            ("receptive_field", self.critic == "patch" or self.architecture != "unet", "critic patch"),
            ("beta1", self.optimizer == "adam", "optimizer adam"),
        ):
            if not used and getattr(self, name) != defaults[name]:
                logging.getLogger("ganshift").warning(
                    "%s %s is ignored: it goes with %s only", name, getattr(self, name), needs
                )

    @property
    def images_per_iteration(self) -> int:
        """Real images of each domain shown in one iteration: one batch per critic step."""
        return self.batch * self.critic_steps

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the training images in pixels; the longer is rounded."""
        ratio = _width_to_height(self.aspect)
        return (self.size, round(self.size * ratio)) if ratio >= 1 else (round(self.size / ratio), self.size)

    @property
    def size_in_json(self) -> int | list[int]:
        """The side of squares; height and width of oblong images."""
        height, width = self.image_size
        return height if height == width else [height, width]

    @property
    def num_levels(self) -> int:
        """Halvings of the generators: by default until the longer side is one pixel, but at most the published 8.

        Counted by the shorter side, the deepest map of an oblong image would be a row of pixels, of which none stands
        for the whole image as it does in a square. A side that is down to one pixel stays there when halved again.
        """
        if self.as_published:
            return PUBLISHED_LEVELS
        return self.levels or min((max(self.image_size) - 1).bit_length(), PUBLISHED_LEVELS)

    @property
    def drop_probability(self) -> float:
        """Probability of dropping a value; the published code drops nothing at 0 and keeps with `dropout` above."""
        return 1 - self.dropout if self.as_published and self.dropout > 0 else self.dropout

    @property
    def flips(self) -> bool:
        """Whether training images are mirrored; in the published code the flag never takes effect."""
        return self.flip and not self.as_published

    @property
    def generator_steps(self) -> int:
        """Generator steps that follow the critic's in an iteration: 2 in the classic game, as published."""
        return 2 if self.loss == "classic" else 1


def _width_to_height(aspect: str) -> float:
    """The ratio that W:H or a decimal says; a `UserError` if it says none."""
    found = re.fullmatch(r"(\d+\.?\d*)(?::(\d+\.?\d*))?", aspect.strip(), re.ASCII)
    width, height = (float(side) for side in found.groups("1")) if found else (0.0, 0.0)
    ratio = width / height if height else 0.0
    require(
        1 / LONGEST <= ratio <= LONGEST,
        f"aspect must be width to height, such as 3:2 or 1.5, and neither more than {LONGEST} times the other, "
        f"got {aspect!r}",
    )
    return ratio


def with_tuples(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a network as its constructor takes them: config.json has lists where they have tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()}


PRESETS: dict[str, dict[str, Any]] = read_presets(Path(__file__).with_name("presets.toml"))
"""Overrides of the defaults by name; each sets a budget. The command starts from sketch-photo unless told otherwise."""
WORDS = read_table(Path(__file__).with_name("words.toml"))
"""Its help, its advice on what to try, and what reports say of its runs."""
