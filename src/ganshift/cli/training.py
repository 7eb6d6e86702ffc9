"""What trains: `ganshift transfer`, `dual` and `demo`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from ..training.config import BUDGET_FIELDS, RunConfig
from .options import read, read_values

if TYPE_CHECKING:
    from ..training.trainer import Outcome

Config = TypeVar("Config", bound=RunConfig)

EXAMPLES = {
    "transfer": """
        ganshift transfer --data my-images/ --preset small --out runs/mine
        ganshift transfer --data my-images/ --preset small --source runs/other --out runs/mine
        ganshift transfer --data my-images/ --preset small --images 20000 --out runs/mine --dry-run
        ganshift transfer --data class-folders/ --conditioning acgan --subset 500 --out runs/classes
        """,
    "dual": """
        ganshift dual --a photos/ --b drawings/ --preset small --out runs/drawings
        ganshift dual --data facades.zip --out runs/facades
        ganshift dual --data bundled:photo-sketch --preset small --aspect 3:2 --out runs/wide --dry-run
        """,
}
"""Shown below the help of each."""
PRESETS_EXPLAINED = {
    "transfer": "Settings to start from; the other options change them. few-shot: 1,000 iterations with augmentation, "
    "for 50 to 500 images; cifar10 and authors64: the published runs from scratch, at 32 and 64 pixels. These three "
    "want an accelerator. small: narrow networks for one or two processor cores; demo: minutes; tiny: seconds, to see "
    "that everything works.",
    "dual": "Settings to start from; the other options change them. sketch-photo, facades and day-night: the published "
    "runs at 256 pixels, which want an accelerator. small: 64 pixels and narrow networks for one or two processor "
    "cores; demo: minutes; tiny: seconds, to see that everything works.",
}
_BUDGET = ("images", "iterations", "epochs", "seed")
_WATCHING = (
    *("log_every", "sample_every", "checkpoint_every", "keep_checkpoints"),
    *("evaluate_every", "evaluate_images", "best_by", "when_stalled", "on_collapse", "tracker"),
)
_MACHINE = ("device", "fast", "precision", "micro_batch", "memory_limit", "memory_budget", "workers")
GROUPS = {
    "transfer": {
        "main": ("preset", "data", "source", "out", "dry_run"),
        "budget": _BUDGET,
        "data": ("size", "channels", "subset", "subset_seed", "flip", "dequantize"),
        "source": ("load", "freeze_critic"),
        "network": ("conditioning", "width", "generator_width", "critic_width", "generator_norm", "critic_norm"),
        "training": (
            *("batch", "generator_batch_multiple", "critic_steps", "augment", "penalty"),
            *("generator_learning_rate", "critic_learning_rate", "warmup_images", "linear_decay", "ema_images"),
            *("acgan_scale", "acgan_scale_generator", "fake_labels", "as_published"),
        ),
        "watching": _WATCHING,
        "machine": _MACHINE,
    },
    "dual": {
        "main": ("preset", "data", "a", "b", "out", "dry_run"),
        "budget": _BUDGET,
        "data": ("size", "aspect", "channels_a", "channels_b", "flip"),
        "network": ("generator_width", "critic_width", "levels", "dropout"),
        "training": (
            *("loss", "critic", "reconstruction", "weight_a", "weight_b", "penalty", "clip"),
            *("batch", "critic_steps", "learning_rate", "optimizer", "beta1", "ema_images", "as_published"),
        ),
        "watching": _WATCHING,
        "machine": _MACHINE,
    },
}
"""Which options stand together in the help of each; what is left out stands under "other"."""


def transfer(arguments: Sequence[str]) -> int:
    """Parse and run `ganshift transfer`."""
    from ..methods.transfer.config import PRESETS, TransferConfig

    config, dry_run = parse_run(TransferConfig, PRESETS, "few-shot", arguments)
    if dry_run:
        return _show(config)
    from ..training.log import loading

    with loading():
        from ..methods.transfer.trainer import train

    return _finish(train(config), f"ganshift generate {config.out} -n 64 -o {config.out}/sheet.png")


def dual(arguments: Sequence[str]) -> int:
    """Parse and run `ganshift dual`."""
    from ..methods.dual.config import PRESETS, DualConfig

    config, dry_run = parse_run(DualConfig, PRESETS, "sketch-photo", arguments)
    if dry_run:
        return _show(config)
    from ..training.log import loading

    with loading():
        from ..methods.dual.trainer import train

    return _finish(train(config), f"ganshift translate {config.out} IMAGES... --to b -o translated/")


def demo(arguments: Sequence[str]) -> int:
    """Train both methods on bundled images and write a report."""

    @dataclass(frozen=True, kw_only=True)
    class Demo:
        """Train both methods on bundled images in minutes, and write one page that shows what they learned.

        The same command run again goes on where it was interrupted.
        """

        out: Path = Path("runs/demo")
        """Folder for three runs and report.html."""
        quick: bool = False
        """A minute or so instead of several: everything is shown, little is learned."""
        seed: int = 0
        """Seed of all runs."""

    examples = """
        ganshift demo
        ganshift demo --quick --out runs/look
        """
    options = read(Demo, "demo", arguments, examples)
    from ..training.log import loading

    with loading():
        from ..tools.demo import run_demo

    return _finish(run_demo(options.out, options.quick, options.seed), f"open {options.out}/report.html in a browser")


def parse_run(
    config_class: type[Config], presets: dict[str, dict[str, Any]], default_preset: str, arguments: Sequence[str]
) -> tuple[Config, bool]:
    """Settings of a run from a preset and the command line, and whether only to show them.

    A budget on the command line replaces the preset's, whichever of the three ways it is given in.
    """
    import tyro

    command = config_class.__name__.removesuffix("Config").lower()
    chosen, budget_given = _scan(arguments, default_preset, presets)
    overrides = {name: value for name, value in presets[chosen].items() if not (budget_given and name in BUDGET_FIELDS)}

    @dataclass(frozen=True, kw_only=True)
    class Choices:
        """Where the settings start from, and whether to run."""

        preset: Annotated[Literal[tuple(presets)], tyro.conf.arg(help=PRESETS_EXPLAINED[command])]  # type: ignore[valid-type]
        """Settings to start from; the other options change them."""
        dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
        """Print the resolved settings and stop."""

    defaults = overrides | {"preset": chosen}
    values = read_values([config_class, Choices], command, arguments, EXAMPLES[command], GROUPS[command], defaults)
    dry_run = values.pop("dry_run")
    del values["preset"]
    return config_class(**values), dry_run


def _scan(arguments: Sequence[str], default_preset: str, presets: dict[str, Any]) -> tuple[str, bool]:
    """The preset asked for, and whether a budget is among the options; both must be known before parsing."""
    preset, budget_given = default_preset, False
    for name, value in zip(arguments, [*arguments[1:], ""], strict=False):
        name, equals, attached = name.partition("=")
        if name == "--preset":
            preset = attached if equals else value
        budget_given |= name.removeprefix("--") in BUDGET_FIELDS
    return (preset if preset in presets else default_preset), budget_given


def _show(config: RunConfig) -> int:
    import json

    from ..training.log import say

    sys.stdout.write(json.dumps(config.to_json(), indent=2) + "\n")
    say("Next: the same command without --dry-run")
    return 0


def _finish(outcome: "Outcome", next_step: str) -> int:
    from ..training.log import duration, say

    if outcome.stopped_by:
        return 128 + outcome.stopped_by
    say(f"done: {outcome.images:,} images shown, {duration(outcome.seconds)} of training in all. Next: {next_step}")
    return 0
