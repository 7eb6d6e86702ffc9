"""What trains: the command of each method, and `ganshift demo`."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from ..methods.method import Method
from ..training.config import BUDGET_FIELDS, RunConfig
from .options import read, read_values

if TYPE_CHECKING:
    from ..training.trainer import Outcome


def training_command(method: Method) -> Callable[[Sequence[str]], int]:
    """The function that parses and runs `ganshift METHOD`."""

    def train(arguments: Sequence[str]) -> int:
        config, dry_run = parse_run(method, arguments)
        if dry_run:
            return _show(config)
        from ..training.log import loading

        with loading():
            method.trainer()
        return _finish(method.train(config), method.next_step(config.out))

    return train


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


def parse_run(method: Method, arguments: Sequence[str]) -> tuple[RunConfig, bool]:
    """Settings of a run from a preset and the command line, and whether only to show them.

    A budget on the command line replaces the preset's, whichever of the three ways it is given in.
    """
    import tyro

    presets = method.presets
    chosen, budget_given = _scan(arguments, method)
    overrides = {name: value for name, value in presets[chosen].items() if not (budget_given and name in BUDGET_FIELDS)}

    @dataclass(frozen=True, kw_only=True)
    class Choices:
        """Where the settings start from, and whether to run."""

        preset: Annotated[Literal[tuple(presets)], tyro.conf.arg(help=method.help.presets)]  # type: ignore[valid-type]
        """Settings to start from; the other options change them."""
        dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
        """Print the resolved settings and stop."""

    defaults = overrides | {"preset": chosen}
    values = read_values(
        [method.config, Choices], method.name, arguments, method.help.examples, method.help.groups, defaults
    )
    dry_run = values.pop("dry_run")
    del values["preset"]
    return method.config(**values), dry_run


def _scan(arguments: Sequence[str], method: Method) -> tuple[str, bool]:
    """The preset asked for, and whether a budget is among the options; both must be known before parsing."""
    preset, budget_given = method.default_preset, False
    for name, value in zip(arguments, [*arguments[1:], ""], strict=False):
        name, equals, attached = name.partition("=")
        if name == "--preset":
            preset = attached if equals else value
        budget_given |= name.removeprefix("--") in BUDGET_FIELDS
    return (preset if preset in method.presets else method.default_preset), budget_given


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
