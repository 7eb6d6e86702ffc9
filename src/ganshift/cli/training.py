"""What trains: `ganshift transfer`, `dual` and `demo`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ..runtime.config import BUDGET_FIELDS, RunConfig

if TYPE_CHECKING:
    from ..runtime.job import Outcome

Config = TypeVar("Config", bound=RunConfig)


def transfer(arguments: Sequence[str]) -> int:
    """Parse and run `ganshift transfer`."""
    from ..transfer.config import PRESETS, TransferConfig

    config, dry_run = parse_run(TransferConfig, PRESETS, "few-shot", arguments)
    if dry_run:
        return _show(config)
    from ..transfer.train import train

    return _finish(train(config), f"ganshift generate {config.out} -n 64 -o {config.out}/sheet.png")


def dual(arguments: Sequence[str]) -> int:
    """Parse and run `ganshift dual`."""
    from ..dual.config import PRESETS, DualConfig

    config, dry_run = parse_run(DualConfig, PRESETS, "sketch-photo", arguments)
    if dry_run:
        return _show(config)
    from ..dual.train import train

    return _finish(train(config), f"ganshift translate {config.out} IMAGES... --to b -o translated/")


def demo(arguments: Sequence[str]) -> int:
    """Train both methods on bundled images and write a report."""
    import tyro

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

    options = tyro.cli(Demo, prog="ganshift demo", args=arguments)
    from ..demo import run_demo

    return _finish(run_demo(options.out, options.quick, options.seed), f"open {options.out}/report.html in a browser")


def parse_run(
    config_class: type[Config], presets: dict[str, dict[str, Any]], default_preset: str, arguments: Sequence[str]
) -> tuple[Config, bool]:
    """Settings of a run from a preset and the command line, and whether only to show them.

    A budget on the command line replaces the preset's, whichever of the three ways it is given in.
    """
    import tyro

    chosen, budget_given = _scan(arguments, default_preset, presets)
    overrides = {name: value for name, value in presets[chosen].items() if not (budget_given and name in BUDGET_FIELDS)}
    types = {field.name: field.type for field in fields(config_class)}
    # tyro shows a field's default in the help, so that of a preset has to be the default of a class. Its checks wait
    # for the real class, whose errors are one line.
    settings = make_dataclass(
        config_class.__name__,
        [(name, types[name], value) for name, value in overrides.items()],
        bases=(config_class,),
        frozen=True,
        kw_only=True,
        namespace={"__post_init__": lambda self: None, "__doc__": config_class.__doc__},
    )

    @dataclass(frozen=True, kw_only=True)
    class Choices:
        """Where the settings start from, and whether to run."""

        preset: Literal[tuple(presets)] = chosen  # type: ignore[valid-type]
        """Settings to start from; the other options change them."""
        dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
        """Print the resolved settings and stop."""

    def parse(
        start: tyro.conf.OmitArgPrefixes[Choices],
        run: tyro.conf.OmitArgPrefixes[settings],  # type: ignore[valid-type]
    ) -> tuple[Any, bool]:
        return run, start.dry_run

    command = config_class.__name__.removesuffix("Config").lower()
    parsed, dry_run = tyro.cli(parse, prog=f"ganshift {command}", description=config_class.__doc__, args=arguments)
    return config_class(**{field.name: getattr(parsed, field.name) for field in fields(config_class)}), dry_run


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

    sys.stdout.write(json.dumps(config.to_json(), indent=2) + "\n")
    return 0


def _finish(outcome: "Outcome", next_step: str) -> int:
    from ..runtime.log import say

    if outcome.stopped_by:
        return 128 + outcome.stopped_by
    say(f"done in {outcome.seconds / 60:.1f} min. Next: {next_step}")
    return 0
