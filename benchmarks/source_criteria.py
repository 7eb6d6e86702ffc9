"""How often each criterion of `ganshift sources` picks the best source: src/ganshift/tools/ranking.json.

    python -m benchmarks.source_criteria --data cifar10.zip --out runs/criteria [--seeds N] [--write]

Four sources of 5000 images each, from one dense kind to six sparse ones, and four targets of 100 images of other kinds,
all of CIFAR-10. Every pair is trained as `ganshift transfer --preset small` does for 16,000 images without decay, the
first 6400 of which are the trial; the best source is the one with the lowest KID[cifar] in the end. The same command
goes on where it was interrupted. `--write` puts the result in the package.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from ganshift.data.images import to_picture
from ganshift.data.open import open_images
from ganshift.methods.transfer.config import PRESETS, TransferConfig
from ganshift.methods.transfer.trainer import train
from ganshift.metrics.extractors import CLASSES, SIDE
from ganshift.metrics.measuring import EvaluationSettings
from ganshift.tools.sources import RANKING, TRIAL_IMAGES, rank_sources, trial_config, trial_folder
from ganshift.training.log import quiet, say
from ganshift.training.run_folder import EVALUATIONS, read_log, versions

SOURCES = {
    "deer": ("deer",),
    "vehicles": ("airplane", "truck"),
    "animals": ("bird", "cat", "deer", "dog"),
    "mixed": ("airplane", "bird", "cat", "deer", "dog", "truck"),
}
SOURCE_IMAGES, SOURCE_BUDGET = 5_000, 48_000
TARGETS = ("automobile", "frog", "horse", "ship")
TARGET_IMAGES, TARGET_BUDGET = 100, 16_000
MEASURED = 500
"""Images drawn from a generator whenever it is measured."""
PRESET = "small"
CRITERIA = ("distance", "density", "diversity", "trial")


def write_images(data, folder):
    """Class folders for every source, and one folder of images for every target."""
    images = open_images(data, SIDE)
    of_class = {name: (images.labels == label).nonzero()[0] for label, name in enumerate(CLASSES)}
    wanted = {
        f"sources/{name}/{kind}": of_class[kind][: SOURCE_IMAGES // len(kinds)]
        for name, kinds in SOURCES.items()
        for kind in kinds
    } | {f"targets/{name}": of_class[name][:TARGET_IMAGES] for name in TARGETS}
    for name, numbers in wanted.items():
        place = folder / name
        if place.is_dir():
            continue
        place.mkdir(parents=True)
        for number, pixels in zip(numbers, images.read(numbers.tolist()), strict=True):
            to_picture(pixels.numpy()).save(place / f"{number:05}.png")


def train_sources(folder, runs):
    """A run for every source, conditional where it has classes."""
    for name in SOURCES:
        config = TransferConfig(
            **PRESETS[PRESET]
            | {"images": SOURCE_BUDGET, "evaluate_every": 0, "sample_every": SOURCE_BUDGET, "linear_decay": False}
            | ({"conditioning": "acgan"} if len(SOURCES[name]) > 1 else {}),
            data=folder / "sources" / name,
            out=runs / name,
        )
        run(config)
        say(f"source {name} is trained")
    return [str(runs / name) for name in SOURCES]


def run(config):
    """Train, and stop here if a signal stopped it."""
    with quiet():
        if train(config).stopped_by:
            raise KeyboardInterrupt


def case(data, sources, out, seed):
    """One target: the ranked sources, and KID of each after a whole run."""
    ranked, refused = rank_sources(data, sources, out=out, num_images=MEASURED, preset=PRESET, seed=seed)
    assert not refused, refused
    settings = EvaluationSettings(num_images=MEASURED, seed=seed)
    final = {}
    for source in ranked:
        folder = trial_folder(out, source.source)
        trial = trial_config(source.source, data, folder, TRIAL_IMAGES, PRESET, settings)
        run(replace(trial, images=TARGET_BUDGET, checkpoint_every=TARGET_BUDGET))
        final[source.source] = read_log(folder / EVALUATIONS)[-1]["score"]["value"]
    return ranked, final


def picks(sources):
    """The source that each criterion picks; there is none by trial where one has no trial."""
    chosen = {
        "distance": min(sources, key=lambda source: source.kid),
        "density": max(sources, key=lambda source: source.density),
        "diversity": max(sources, key=lambda source: source.diversity),
    }
    if all(source.trial for source in sources):
        chosen["trial"] = min(sources, key=lambda source: source.rank_by)
    return chosen


def main():
    """Run all cases and count."""
    what = argparse.ArgumentParser(description="how often each criterion picks the best source")
    what.add_argument("--data", type=Path, required=True, help="CIFAR-10, as ganshift reads it")
    what.add_argument("--out", type=Path, default=Path("runs/criteria"))
    what.add_argument("--seeds", type=int, default=1)
    what.add_argument("--write", action="store_true", help="replace ranking.json of the package")
    options = what.parse_args()
    folder, runs = options.out / "images", options.out / "sources"
    write_images(options.data, folder)
    sources = train_sources(folder, runs)
    rows = []
    for seed in range(options.seeds):
        for target in TARGETS:
            ranked, final = case(folder / "targets" / target, sources, options.out / f"{target}-{seed}", seed)
            best = min(final, key=final.get)
            row = {"target": target, "seed": seed, "best": Path(best).name, "final": {}}
            row["final"] = {Path(source).name: round(value, 3) for source, value in final.items()}
            row["picked"] = {name: Path(source.source).name for name, source in picks(ranked).items()}
            row["ranked"] = [source.to_json() | {"source": Path(source.source).name} for source in ranked]
            rows.append(row)
            say(json.dumps({name: row[name] for name in ("target", "seed", "best", "final", "picked")}))
    found = {
        "about": "in how many cases each criterion picked the source that was best in the end",
        "command": f"python -m benchmarks.source_criteria --data cifar10.zip --seeds {options.seeds} --write",
        "cases": len(rows),
        "sources": len(SOURCES),
        "right": {name: sum(row["picked"][name] == row["best"] for row in rows) for name in CRITERIA},
        "cost": {
            name: round(
                sum(row["final"][row["picked"][name]] / row["final"][row["best"]] for row in rows) / len(rows), 3
            )
            for name in CRITERIA
        },
        "rows": rows,
        "versions": versions(),
    }
    text = json.dumps(found, indent=1) + "\n"
    (options.out / "criteria.json").write_text(text)
    if options.write:
        RANKING.write_text(text)
    say(json.dumps({name: found[name] for name in ("cases", "right", "cost")}))


if __name__ == "__main__":
    main()
