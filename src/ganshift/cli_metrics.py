"""The commands of `cli` that measure runs and compare what was measured; apart, since `cli` is long enough."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from .errors import UserError


def evaluate(arguments: Sequence[str]) -> int:
    """Measure a run against real images."""
    import tyro

    @dataclass(frozen=True, kw_only=True)
    class Evaluate:
        """Measure a run against real images, and write cards that say how into RUN/cards.

        What the scores mean is said in docs/metrics.md.
        """

        run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
        """Run folder of ganshift transfer or dual."""
        reference: Path | None = None
        """Real images: for a generator what transfer's --data can be, for a translator what dual's can be."""
        metrics: str | None = None
        """Any of is,fid,kid,prc, joined by commas. All for a generator; fid,kid for a translator, which always gets
        L1 of its round trips and, where val/A and val/B have files of the same names, L1, PSNR and SSIM."""
        num_images: Annotated[int, tyro.conf.arg(name="num-images", aliases=["-n"])] = 50_000
        """How many images a generator draws. A translator translates what the reference has."""
        extractor: Literal["cifar", "inception"] = "cifar"
        """Network whose features are compared: a small one that ships, or the published Inception."""
        extractor_weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
        """Weights of the extractor, instead of those that ship or are downloaded."""
        split: Literal["train", "test"] = "train"
        """Part of a generator's reference, where it has folders or batches for parts."""
        seed: int = 0
        """The same seed draws the same images."""
        kid_subsets: int = 100
        """Random subsets that KID is the mean over."""
        kid_subset_size: int | None = None
        """Images in each; 1000, or half of the smaller set where that is less."""
        device: str = "auto"
        """Where to compute."""

    options = tyro.cli(Evaluate, prog="ganshift evaluate", args=arguments)
    settings = {name: value for name, value in vars(options).items() if name not in ("run", "reference", "metrics")}
    if options.metrics is not None:
        settings["metrics"] = tuple(name.strip() for name in options.metrics.split(","))
    from .evaluation import evaluate as measure
    from .metrics.card import card_rows
    from .runtime.log import say

    cards = measure(options.run, options.reference, **settings)
    rows = card_rows(cards)
    same = [name for name in rows[0] if name not in ("score", "value") and len({str(row[name]) for row in rows}) == 1]
    _show([{name: value for name, value in row.items() if name not in same} for row in rows])
    for name in same:
        sys.stdout.write(f"{name}: {rows[0][name]}\n")
    say(f"wrote {len(cards)} cards to {options.run / 'cards'}")
    return 0


def compare(arguments: Sequence[str]) -> int:
    """Show what two cards, or the cards of two runs, differ by."""
    import tyro

    @dataclass(frozen=True, kw_only=True)
    class Compare:
        """Show what two cards, or the cards of two runs, differ by, with its standard error.

        Cards that were not made in the same way are refused, and what differs is named.
        """

        a: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="A")]
        """A file that ganshift evaluate wrote, or a run folder."""
        b: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="B")]
        """Another."""
        json: tyro.conf.FlagCreatePairsOff[bool] = False
        """Write JSON instead of a table."""

    options = tyro.cli(Compare, prog="ganshift compare", args=arguments)
    for path in (options.a, options.b):
        if not path.exists():
            raise UserError(f"there is no card or run folder {path}")
    from .metrics.card_files import compare as differences

    rows = differences(options.a, options.b)
    if options.json:
        import json

        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    else:
        _show(rows)
    return 0


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of the same names as a table to standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for name in rows[0]:
        table.add_column(name, no_wrap=name in ("score", "value"))
    for row in rows:
        table.add_row(*("" if value is None else str(value).replace("[", r"\[") for value in row.values()))
    Console(highlight=False).print(table)
