"""The settings every training run has, whatever its method."""

import sys
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from math import inf, isfinite
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from ..errors import UserError, choose

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
"""Of convolutions and products."""
BUDGET_FIELDS = ("images", "iterations", "epochs")
"""Ways to say how long to train; exactly one is set."""
BUDGET = (*BUDGET_FIELDS, "seed")
WATCHING = (
    *("log_every", "sample_every", "checkpoint_every", "keep_checkpoints"),
    *("evaluate_every", "evaluate_images", "evaluate_extractor", "evaluate_view", "best_by"),
    *("when_stalled", "on_collapse", "tracker"),
)
MACHINE = ("device", "fast", "precision", "deterministic", "micro_batch", "memory_budget", "workers", "overhead")
"""Settings of every run that stand together in the help."""
FREE_TO_CHANGE = frozenset(
    {
        *(*BUDGET_FIELDS, *WATCHING, "out", "device", "workers", "memory_budget", "micro_batch", "overhead"),
        "memory_limit",  # of runs that 0.1.0 began
        *("data", "a", "b"),  # where the images lie; a hash of what they are is compared instead
        "names",  # words
    }
)
"""Fields that may differ when a run is resumed: how long it runs, where, what it leaves, and how it is watched.

A changed budget changes what is learned only where a schedule, such as linear decay, follows it; the loop then warns.
"""


Settings = TypeVar("Settings")

MAX_WIDTH = 4096
"""Channels that a network may be told to have; the published ones have up to 128."""
FEWEST_EVALUATED = 4
"""Images that scores need."""
TRACKERS = ("tensorboard", "wandb", "mlflow", "trackio")
"""Where a run's numbers may be shown besides its log."""
NO_TRACKER = "none"


def require(condition: bool, message: str) -> None:
    """Raise a `UserError` with the message unless the condition holds."""
    if not condition:
        raise UserError(message)


@dataclass(frozen=True)
class Range:
    """Numbers that a setting may be, in the annotation of its field: `Annotated[int, Range(1)]`."""

    least: int | float
    most: int | float = inf
    """More would end in want of memory, an hour later or at once."""
    exclusive: bool = False
    """Whether `least` itself is too little."""

    def check(self, name: str, value: int | float) -> None:
        """Raise a `UserError` for a value outside."""
        enough = value > self.least if self.exclusive else value >= self.least
        require(enough, f"{name} must be {'more than' if self.exclusive else 'at least'} {self.least}, got {value}")
        require(value <= self.most, f"{name} must be at most {self.most:,}, got {value}")


NonNegativeInt = Annotated[int, Range(0)]
PositiveInt = Annotated[int, Range(1)]
NonNegativeFloat = Annotated[float, Range(0)]
PositiveFloat = Annotated[float, Range(0, exclusive=True)]
BatchSize = Annotated[int, Range(1, 65_536)]
EvaluatedImages = Annotated[int, Range(FEWEST_EVALUATED, 1_000_000)]
Width = Annotated[int, Range(1, MAX_WIDTH)]
Steps = Annotated[int, Range(1, 4096)]
BUDGETS = Range(0, 10**12, exclusive=True)
"""Images, iterations or epochs; who asks for more means something else."""
SEEDS = Range(0, 2**63 - 1)
"""What the random generators take."""
Seed = Annotated[int, SEEDS]
Channels = Literal[1, 3, 4]
"""Gray, colour, colour with opacity."""


def check_range(name: str, value: str | None) -> None:
    """Raise a `UserError` for a range of values that cannot be understood."""
    if value is not None:
        from ..data.value_range import parse_range  # no NumPy for --help

        parse_range(value, name)


def check_values(kind: type, values: Mapping[str, Any]) -> None:
    """Raise a `UserError` that names the first value that its field's type or `Range` does not allow."""
    hints, annotated = get_type_hints(kind), get_type_hints(kind, include_extras=True)
    for name, value in values.items():
        parts = _alternatives(hints[name])
        choices = [choice for part in parts if get_origin(part) is Literal for choice in get_args(part)]
        types = tuple(each for part in parts if isinstance(each := get_origin(part) or part, type))
        fits = any(value == choice and type(value) is type(choice) for choice in choices)
        fits = fits or (type(value) is int and float in types)
        fits = fits or (isinstance(value, types) and (type(value) is not bool or bool in types))
        wanted = ", ".join([*map(str, choices), *(part.__name__ for part in types if part is not type(None))])
        require(fits, f"{name} must be {'one of ' if choices else 'of type '}{wanted}, got {value!r}")
        require(not isinstance(value, float) or isfinite(value), f"{name} must be finite, got {value}")
        for allowed in _ranges(annotated[name]) if value is not None else ():
            allowed.check(name, value)


def settings_from(kind: type[Settings], values: Mapping[str, Any], **fixed: Any) -> Settings:
    """A dataclass of settings from values as JSON and TOML have them, with some that are `fixed`.

    There paths are texts, tuples are lists, and a whole number serves as a fraction. A `UserError` names a setting that
    there is not, that is missing, or that cannot be what it is.
    """
    known = {each.name: each for each in fields(cast(Any, kind)) if each.name not in fixed}
    for name in values:
        choose(name, known, "setting")
    needed = (name for name, each in known.items() if each.default is MISSING and each.default_factory is MISSING)
    missing = [name for name in needed if name not in values]
    require(not missing, f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing")
    hints = get_type_hints(kind)
    converted = {name: _converted(hints[name], value) for name, value in values.items()}
    check_values(kind, converted)
    return kind(**converted, **fixed)


def read_table(path: Path) -> dict[str, Any]:
    """A TOML file of the package."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def read_presets(path: Path) -> dict[str, dict[str, Any]]:
    """A TOML table of settings a preset; what is `like` an earlier one has its settings too, but for its own."""
    presets: dict[str, dict[str, Any]] = {}
    for name, settings in read_table(path).items():
        presets[name] = overlaid(presets[settings.pop("like")] if "like" in settings else {}, settings)
    return presets


def overlaid(settings: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with more over them; a budget replaces the one below, whichever of the three ways it is given in."""
    replaced = BUDGET_FIELDS if any(name in more for name in BUDGET_FIELDS) else ()
    return {name: value for name, value in settings.items() if name not in replaced} | dict(more)


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _ranges(kind: Any) -> list[Range]:
    own = [each for each in getattr(kind, "__metadata__", ()) if isinstance(each, Range)]
    return [*own, *(found for each in get_args(kind) for found in _ranges(each))]


def _converted(kind: Any, value: Any) -> Any:
    kinds = [get_origin(each) or each for each in _alternatives(kind)]
    if isinstance(value, str) and Path in kinds and str not in kinds:
        return Path(value)
    if isinstance(value, list) and tuple in kinds:
        return tuple(value)
    if type(value) is int and float in kinds and int not in kinds:
        return float(value) if abs(value) <= sys.float_info.max else inf  # which no setting may be
    return value


@dataclass(frozen=True, kw_only=True)
class RunConfig(ABC):
    """Settings of the loop. Progress, budgets and cadences count real images shown to the critics."""

    out: Path
    """Run folder. The same command run again resumes from it."""
    images: Annotated[int, BUDGETS] | None = None
    """Budget: train until this many real images have been shown."""
    iterations: Annotated[int, BUDGETS] | None = None
    """Budget in iterations (one generator update and the critic updates that go with it), instead of --images."""
    epochs: Annotated[float, BUDGETS] | None = None
    """Budget in passes over the training images (the smaller of two folders), instead of --images."""
    seed: Seed = 0
    """Seed of everything random: initial weights, order of images, flips, latents."""
    device: str = "auto"
    """Where to compute: auto (an accelerator if there is one), cpu, cuda, cuda:1, npu, mps."""
    fast: bool = False
    """For accelerators: bfloat16, channels-last, compiled generators. Rounds more."""
    micro_batch: PositiveInt | None = None
    """Compute at most this many images of a batch at a time, in every process, and sum the gradients: less memory, the
    same result except for batch norm (docs/accelerators.md). Default: the whole batch."""
    precision: Precision | None = None
    """Of convolutions and matrix products: fp32 (IEEE), tf32 (factors rounded to 11 bits, only on CUDA), bf16 or fp16.
    Default: tf32, and bf16 with --fast. Norms, the penalty, losses, averages and optimisers stay in fp32. A loss that
    is not finite in bf16 or fp16 is computed again in fp32."""
    deterministic: bool = False
    """Use only operators that sum in a fixed order, so that a run resumes bit-exactly on CUDA, too. Slower."""
    log_every: PositiveInt
    """Images between lines of log.jsonl; a line's terms are means since the last line."""
    sample_every: PositiveInt
    """Images between sample sheets."""
    checkpoint_every: PositiveInt
    """Images between checkpoints; each also writes the model that inference loads."""
    keep_checkpoints: PositiveInt = 2
    """How many of the newest checkpoints to keep."""
    evaluate_every: NonNegativeInt = 0
    """Images between evaluations, which score the averaged model and keep the best in RUN/best; 0 turns them off. The
    reference is the held-out images (test or val) if there are at least 50, otherwise the training images."""
    evaluate_images: EvaluatedImages = 1_000
    """How many images an evaluation generates, or translates each way."""
    evaluate_extractor: Literal["cifar", "lite0"] | None = None
    """Network whose features an evaluation compares. Default: cifar, or lite0 if cifar trains the run, since a network
    must not score a run that it trains."""
    evaluate_view: Literal["crops", "whole"] | None = None
    """How it sees images larger than its input (cifar 32, lite0 224): crops at full resolution, or the whole image,
    shrunk. Default: crops; runs of 0.1.0 keep whole."""
    best_by: Literal["kid", "fid"] = "kid"
    """Score that decides which model is best. FID is biased below 5,000 images."""
    when_stalled: Literal["advise", "stop"] = "advise"
    """After 5 evaluations in a row without a clear improvement: print advice and go on, or stop."""
    on_collapse: Literal["advise", "stop", "rollback"] = "advise"
    """On signs of collapse: print them with advice and go on; stop; or go back to the last healthy checkpoint with half
    the learning rates, at most 3 times."""
    tracker: str = "tensorboard"
    """Where to show numbers while training: any of tensorboard,wandb,mlflow,trackio, joined by commas, or none. All but
    tensorboard need their own package (docs/report.md)."""
    overhead: Annotated[float, Range(0, 1)] = 0.05
    """On accelerators, the share of the time that evaluations, sample sheets and checkpoints may each take; beyond
    it they are skipped, except the last. 1 skips nothing."""
    workers: Annotated[int, Range(0, 256)] = 2
    """Processes that decode images if the set is too large for memory."""
    memory_budget: PositiveFloat = 2.0
    """Decoded training images are kept in memory up to this many gigabytes (10^9 bytes); larger sets stream."""
    ema_images: NonNegativeInt
    """Half-life, in images, of the averaged generator weights for sampling; 0 takes the raw ones."""

    def __post_init__(self) -> None:
        check_values(type(self), vars(self))
        given = [name for name in BUDGET_FIELDS if getattr(self, name) is not None]
        require(len(given) == 1, f"give one budget of --images, --iterations and --epochs, got {given or 'none'}")
        require(
            set(self.trackers) <= {*TRACKERS},
            f"tracker takes any of {', '.join(TRACKERS)}, joined by commas, or {NO_TRACKER}, got {self.tracker!r}",
        )

    @property
    def trackers(self) -> tuple[str, ...]:
        """The trackers asked for, each once."""
        return () if self.tracker == NO_TRACKER else tuple(dict.fromkeys(self.tracker.split(",")))

    @property
    def trained_by(self) -> tuple[str, ...]:
        """Names of the extractors whose features the losses use; `config.json` has them, with those of a source."""
        return ()

    @property
    def computes_in(self) -> Precision:
        """The precision of convolutions and products."""
        return self.precision or ("bf16" if self.fast else "tf32")

    @property
    @abstractmethod
    def images_per_iteration(self) -> int:
        """Real images shown in one iteration."""

    def budget(self, images_per_iteration: int, images_per_epoch: int) -> int:
        """The budget in images, rounded up to whole iterations."""
        if self.iterations is not None:
            return self.iterations * images_per_iteration
        wanted = self.images if self.images is not None else self.epochs * images_per_epoch  # type: ignore[operator]
        return -int(-wanted // images_per_iteration) * images_per_iteration

    def defaults(self) -> dict[str, Any]:
        """The fields that have a default, with it."""
        return {field.name: field.default for field in fields(self) if field.default is not MISSING}

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
