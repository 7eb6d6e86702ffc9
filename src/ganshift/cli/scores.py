"""What measures: `ganshift evaluate`, `compare` and `bench`."""

import shlex
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from ..data.domain_names import UNNAMED, DomainNames, shared_names, stored_names, way_in_words
from ..errors import UserError
from .options import OPTIONAL, Device, Json, Maybe, command

if TYPE_CHECKING:
    from ..metrics.score_record import ScoreRecord

COPYING = "copying"
"""What --metrics calls the check for copies, which is no score."""
IN_TABLE = ("score", "value", "generated", "reference")
"""What the table of scores shows; lines below it say the rest."""


@command
def evaluate(
    run: Positional[str],
    *,
    reference: Maybe[Path] = None,
    a: Maybe[Path] = None,
    b: Maybe[Path] = None,
    metrics: Maybe[str] = None,
    num_images: Annotated[Maybe[int], arg(aliases=["-n"])] = None,
    extractor: Literal["cifar", "lite0", "inception"] = "cifar",
    extractor_weights: Annotated[Maybe[Path], arg(metavar="FILE")] = None,
    view: Maybe[Literal["crops", "whole"]] = None,
    split: Literal["train", "test"] = "train",
    held_out: Maybe[Path] = None,
    seed: int = 0,
    labels: Literal["reference", "uniform"] = "reference",
    kid_subsets: int = 100,
    kid_subset_size: Maybe[int] = None,
    out: Annotated[Maybe[Path], arg(aliases=["-o"])] = None,
    json: Json = False,
    device: Device = "auto",
) -> int:
    """Score a run against real images. A card per score in RUN/cards says how it was measured.

    docs/metrics.md explains the scores.

    Args:
        run: Run folder of ganshift transfer or dual, the model.safetensors in one, a bundled model, or an owner/model
            of the Hugging Face hub.
        reference: Real images, as transfer's --data for a generator, as dual's for a translator.
        a: Folder or zip of real images of a translator's domain A, with --b, instead of --reference.
        b: The same for domain B.
        metrics: Any of is,fid,kid,prc,colour,copying, joined by commas. All for a generator; fid,kid,prc,colour for a
            translator, which always gets L1 of its round trips and, where val/A and val/B have files of the same names,
            L1, PSNR and SSIM.
        num_images: How many images a generator draws. Default: 50,000. A translator translates the whole reference.
        extractor: Network whose features are compared: cifar (32 pixels) and lite0 (224) ship; papers use inception.
        extractor_weights: Weights of the extractor, instead of those that ship or are downloaded.
        view: How it sees images larger than its input: crops at full resolution, or the whole image shrunk. Default:
            crops, and whole for inception.
        split: Which split of a generator's reference to use, if it has splits.
        held_out: Real images that the run was not trained on, for the copying check. Default: the test split beside the
            training images.
        seed: The same seed draws the same images.
        labels: How often a generator draws each class: as often as the reference has it, or all equally often.
        kid_subsets: Number of random subsets that KID averages.
        kid_subset_size: Images in each. Default: 1000, or half of the smaller set if that is less.
        out: Folder for cards and pictures. Default: RUN; bundled models and those of the hub need one.

    Examples:
        ganshift evaluate runs/mine --reference my-images/
        ganshift evaluate runs/mine --reference my-images/ --metrics kid -n 2000
        ganshift evaluate runs/mine --reference my-images/ --split test --metrics fid,kid --json > scores.json
        ganshift evaluate runs/drawings --a photos/ --b drawings/
    """
    named = None if metrics is None else tuple(name.strip() for name in metrics.split(","))
    scores = None if named is None else tuple(name for name in named if name != COPYING)
    from ..training.log import loading, say, show_json

    with loading():
        from ..inference.names import find_model, results_place
        from ..inference.outputs import refuse_among_pictures
        from ..methods.registry import method_in
        from ..metrics.copying import PAIRS
        from ..metrics.record_files import RECORDS
        from ..tools.evaluate import evaluate as measure
        from ..tools.evaluate.copying import CHECKED, check_copying
        from ..training.run_folder import read_config
    if out is not None:
        refuse_among_pictures(out, (reference, a, b, held_out))
    folder = find_model(run)
    is_generator = method_in(folder).kind == "generator"
    checks = is_generator if named is None else COPYING in named
    if not is_generator and (checks or held_out):
        raise UserError("only generators are checked for copying: leave out copying and --held-out")
    if held_out and not checks:
        raise UserError("--held-out is for the copying check: add copying to --metrics, or leave it out")
    shared: dict[str, Any] = {"extractor": extractor, "extractor_weights": extractor_weights, "seed": seed}
    shared |= {"labels": labels, "device": device}
    place = results_place(run, out)
    records: list[ScoreRecord] = []
    if scores != ():
        settings: dict[str, Any] = {"metrics": scores, "split": split, "view": view, **shared}
        settings |= {"kid_subsets": kid_subsets, "kid_subset_size": kid_subset_size}
        if num_images is not None:
            settings["num_images"] = num_images
        records = measure(run, reference, a=a, b=b, out=out, **settings)
        if not json:
            _show(records, stored_names(read_config(folder)))
        say(f"wrote {len(records)} card{'s' * (len(records) != 1)} to {place / RECORDS}")
    verdict = None
    if checks:
        count = CHECKED if num_images is None else min(num_images, CHECKED)
        try:
            verdict = check_copying(run, reference, held_out, out=out, num_images=count, **shared)
            say(f"{verdict.in_words()}. The nearest pairs are in {place / PAIRS}")
        except UserError as error:
            if named is not None:
                raise
            say(str(error))  # nobody asked for it
    if json:
        cards = [record.to_json() for record in records]
        show_json({"cards": cards, "copying": None if verdict is None else asdict(verdict)})
    if records:
        say(f"Next: ganshift compare {shlex.quote(str(place))} OTHER-RUN")
    return 0


def _show(records: Sequence["ScoreRecord"], names: DomainNames) -> None:
    """A table of the scores, and lines that say what it has no room for: where scores differ, with those it is of."""
    from ..metrics.score_record import record_rows
    from ..training.log import show_table

    rows = [{**row, "score": way_in_words(row["score"], names)} for row in record_rows(records)]
    show_table([{name: row[name] for name in IN_TABLE} for row in rows], unbroken=[n for n in IN_TABLE if n != "value"])
    for name in (name for name in rows[0] if name not in IN_TABLE):
        scores: dict[str, list[str]] = {}
        for row in rows:
            if row[name] is not None:
                scores.setdefault(str(row[name]), []).append(row["score"])
        for value, those in scores.items():
            line = f"{name}: {value}" if len(scores) == 1 else f"{name} of {', '.join(those)}: {value}"
            wrapped = textwrap.wrap(line, 80, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
            sys.stdout.write("\n".join([*wrapped, ""]))


@command
def compare(a: Positional[Path], b: Positional[Path], *, json: Json = False) -> int:
    """Show the difference of two cards, or of all cards of two runs, with its standard error.

    If cards were not measured in the same way, the error says what differs.

    Args:
        a: A card, which ganshift evaluate writes, or a run folder.
        b: Another.

    Examples:
        ganshift compare runs/mine runs/other
        ganshift compare runs/mine/best runs/mine --json
    """
    for path in (a, b):
        if not path.exists():
            raise UserError(f"there is no card or run folder {path}")
    from ..metrics.record_files import compare as differences
    from ..training.log import say, show_json, show_table
    from ..training.run_folder import CONFIG, read_config

    rows = differences(a, b)
    if json:
        show_json(rows)
    else:
        names = shared_names(stored_names(read_config(x)) if (x / CONFIG).is_file() else UNNAMED for x in (a, b))
        show_table([{**row, "score": way_in_words(row["score"], names)} for row in rows])
    say("Next: ganshift study shows how much other seeds change")
    return 0


@command
def bench(
    *,
    only: Annotated[tuple[str, ...], OPTIONAL] = (),
    quick: bool = False,
    json: Json = False,
    device: Device = "cpu",
    fast: bool = False,
) -> int:
    """Time training iterations of every preset on this machine, on photographs that packages ship.

    Data loading is included; sample grids, checkpoints and evaluations are not. docs/performance.md has figures.

    Args:
        only: Methods (transfer) or presets (transfer/small) to time. Default: all.
        quick: Time one iteration of each preset instead of five seconds.
        fast: Train with --fast.

    Examples:
        ganshift bench
        ganshift bench --only transfer/small dual/small
        ganshift bench --fast --device cuda --json > bench.json
    """
    from ..training.log import loading, say, show_json, show_table

    with loading():
        from ..tools.bench import bench as time_presets
        from ..training.run_folder import versions
    rows = time_presets(only, quick, device, fast)
    if json:
        show_json({"device": device, "fast": fast, "rows": rows, "versions": versions()})
    else:
        show_table(rows)
    say("Next: ganshift doctor my-images/ says how long a run on your images takes")
    return 0
