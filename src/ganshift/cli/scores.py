"""What measures: `ganshift evaluate`, `compare` and `bench`."""

import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ..errors import UserError
from .options import read

if TYPE_CHECKING:
    from ..metrics.copying import Verdict
    from ..metrics.score_record import ScoreRecord

COPYING = "copying"
"""What --metrics calls the check for copies, which is no score."""
SHARED_SETTINGS = ("extractor", "extractor_weights", "seed", "device")
"""Options of `evaluate` that scores and that check have in common."""
IN_TABLE = ("score", "value", "generated", "reference")
"""What the table of scores shows; lines below it say the rest."""
WIDTH = 80
WRAPPED: dict[str, Any] = {"subsequent_indent": "  ", "break_long_words": False, "break_on_hyphens": False}


def evaluate(arguments: Sequence[str]) -> int:
    """Measure a run against real images."""
    import tyro

    @dataclass(frozen=True, kw_only=True)
    class Evaluate:
        """Measure a run against real images, and write cards that say how into RUN/cards.

        What the scores mean is said in docs/metrics.md.
        """

        run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
        """Run folder of ganshift transfer or dual, the model.safetensors in one, a bundled model, or an owner/model of
        the Hugging Face hub."""
        reference: Path | None = None
        """Real images: for a generator what transfer's --data can be, for a translator what dual's can be."""
        a: Path | None = None
        """Folder or zip of real images of domain A of a translator, with --b, instead of --reference."""
        b: Path | None = None
        """The same of domain B."""
        metrics: str | None = None
        """Any of is,fid,kid,prc,copying, joined by commas. All for a generator; fid,kid for a translator, which always
        gets L1 of its round trips and, where val/A and val/B have files of the same names, L1, PSNR and SSIM."""
        num_images: Annotated[int | None, tyro.conf.arg(name="num-images", aliases=["-n"])] = None
        """How many images a generator draws: 50,000 if left out. A translator translates what the reference has."""
        extractor: Literal["cifar", "inception"] = "cifar"
        """Network whose features are compared: a small one that ships, or the published Inception."""
        extractor_weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
        """Weights of the extractor, instead of those that ship or are downloaded."""
        split: Literal["train", "test"] = "train"
        """Part of a generator's reference, where it has folders or batches for parts."""
        held_out: Annotated[Path | None, tyro.conf.arg(name="held-out")] = None
        """Real images like those trained on, but not among them, to judge copying by. The test split that lies beside
        the training images, if left out."""
        seed: int = 0
        """The same seed draws the same images."""
        kid_subsets: int = 100
        """Random subsets that KID is the mean over."""
        kid_subset_size: int | None = None
        """Images in each; 1000, or half of the smaller set where that is less."""
        out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
        """Folder for cards and pictures; RUN if left out, which a bundled model or one of the hub cannot be."""
        json: tyro.conf.FlagCreatePairsOff[bool] = False
        """Write the cards, and what was found of copying, as JSON instead of a table."""
        device: str = "auto"
        """Where to compute."""

    examples = """
        ganshift evaluate runs/mine --reference my-images/
        ganshift evaluate runs/mine --reference my-images/ --metrics kid -n 2000
        ganshift evaluate runs/mine --reference my-images/ --split test --metrics fid,kid --json > scores.json
        ganshift evaluate runs/drawings --a photos/ --b drawings/
        """
    options = read(Evaluate, "evaluate", arguments, examples)
    metrics = None if options.metrics is None else tuple(name.strip() for name in options.metrics.split(","))
    others = None if metrics is None else tuple(name for name in metrics if name != COPYING)
    from ..training.log import loading, say

    with loading():
        from ..inference.names import results_place
        from ..inference.outputs import refuse_among_pictures
        from ..tools import evaluate as evaluation  # noqa: F401  # what follows needs it
    if options.out is not None:
        refuse_among_pictures(options.out, (options.reference, options.a, options.b, options.held_out))
    records = [] if others == () else _measure(options, others)
    verdict = _check_copying(options, insist=metrics is not None) if metrics is None or COPYING in metrics else None
    if options.json:
        found = {
            "cards": [record.to_json() for record in records],
            "copying": None if verdict is None else asdict(verdict),
        }
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    if records:
        say(f"Next: ganshift compare {results_place(options.run, options.out)} OTHER-RUN")
    return 0


def _measure(options: Any, metrics: tuple[str, ...] | None) -> list["ScoreRecord"]:
    from ..inference.names import results_place
    from ..metrics.record_files import RECORDS
    from ..metrics.score_record import record_rows
    from ..tools.evaluate import evaluate as measure
    from ..training.log import say, show_table

    settings = {name: getattr(options, name) for name in (*SHARED_SETTINGS, "split")}
    if options.num_images is not None:
        settings["num_images"] = options.num_images
    settings |= {"metrics": metrics, "kid_subsets": options.kid_subsets, "kid_subset_size": options.kid_subset_size}
    records = measure(options.run, options.reference, a=options.a, b=options.b, out=options.out, **settings)
    if not options.json:
        rows = record_rows(records)
        show_table([{name: row[name] for name in IN_TABLE} for row in rows])
        for name in rows[0]:
            if name not in IN_TABLE:
                sys.stdout.write(_detail(name, rows))
    say(f"wrote {len(records)} cards to {results_place(options.run, options.out) / RECORDS}")
    return records


def _detail(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Lines that say what the table has no room for; where scores differ in it, each value with its scores."""
    scores: dict[str, list[str]] = {}
    for row in rows:
        if row[name] is not None:
            scores.setdefault(str(row[name]), []).append(row["score"])
    if len(scores) == 1:  # of all scores that have it
        lines = [f"{name}: {next(iter(scores))}"]
    else:
        lines = [f"{name} of {', '.join(those)}: {value}" for value, those in scores.items()]
    return "".join(textwrap.fill(line, WIDTH, **WRAPPED) + "\n" for line in lines)


def _check_copying(options: Any, insist: bool) -> "Verdict | None":
    """Say whether a generator copies; where that cannot be told, why not, or raise if `insist`."""
    from ..inference.names import find_model, results_place
    from ..methods.registry import method_in
    from ..metrics.copying import PAIRS
    from ..tools.evaluate import check_copying
    from ..tools.evaluate.nearest import CHECKED
    from ..training.log import say

    if not insist and method_in(find_model(options.run)).kind != "generator":
        return None
    settings = {name: getattr(options, name) for name in (*SHARED_SETTINGS, "out")}
    count = CHECKED if options.num_images is None else min(options.num_images, CHECKED)
    try:
        verdict = check_copying(options.run, options.reference, options.held_out, num_images=count, **settings)
    except UserError as error:
        if insist:
            raise
        say(str(error))
        return None
    say(f"{verdict.in_words()}. The nearest pairs are in {results_place(options.run, options.out) / PAIRS}")
    return verdict


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

    examples = """
        ganshift compare runs/mine runs/other
        ganshift compare runs/mine/best runs/mine --json
        """
    options = read(Compare, "compare", arguments, examples)
    for path in (options.a, options.b):
        if not path.exists():
            raise UserError(f"there is no card or run folder {path}")
    from ..metrics.record_files import compare as differences
    from ..training.log import say, show_table

    rows = differences(options.a, options.b)
    if options.json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    else:
        show_table(rows)
    say("Next: what training again with other seeds would change is asked by ganshift study")
    return 0


def bench(arguments: Sequence[str]) -> int:
    """Time how fast each preset trains on this machine."""
    import tyro

    @dataclass(frozen=True, kw_only=True)
    class Bench:
        """Time training iterations of every preset on this machine, on photographs that packages ship.

        Data loading is included; sample grids, checkpoints and evaluations are not. docs/performance.md has figures.
        """

        only: tuple[str, ...] = ()
        """Methods (transfer) or presets (transfer/small) to time; all if left out."""
        quick: tyro.conf.FlagCreatePairsOff[bool] = False
        """Time one iteration of each preset instead of five seconds."""
        json: tyro.conf.FlagCreatePairsOff[bool] = False
        """Write JSON instead of a table."""
        device: str = "cpu"
        """Where to compute."""
        fast: bool = False
        """Train as --fast does."""

    examples = """
        ganshift bench
        ganshift bench --only transfer/small dual/small
        ganshift bench --fast --device cuda --json > bench.json
        """
    options = read(Bench, "bench", arguments, examples)
    from ..training.log import loading, say, show_table

    with loading():
        from ..tools.bench import bench as time_presets
        from ..training.run_folder import versions
    rows = time_presets(options.only, options.quick, options.device, options.fast)
    if options.json:
        found = {"device": options.device, "fast": options.fast, "rows": rows, "versions": versions()}
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        show_table(rows)
    say("Next: ganshift doctor my-images/ says how long a run on your images takes")
    return 0
