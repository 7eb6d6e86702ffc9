"""How often `ganshift study classifier` says "helps": of images that cannot help, and of images that must.

    python -m benchmarks.classifier --data cifar10.zip --features FOLDER [--sets N] [--seed N]

Sets of 5 classes of CIFAR-10 with 20 to 100 training images each are drawn. In place of generated images stand copies
of the training images, real images of the same classes that were not there before, or such images under wrong labels.
The linear probe alone is asked, on features that are kept in --features. It is judged by 100 test images a class, the
same in three trials, or, as where a set has no test split, by thirds of the set that are held out in turn.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks.train_extractor import read
from ganshift.metrics.measuring import EvaluationSettings, Extraction
from ganshift.tools.study.answers import ClassifierSettings
from ganshift.tools.study.classifier import CHANGED, changed, features_of
from ganshift.tools.study.probes import LinearProbe, arms
from ganshift.tools.study.verdict import Trial, accuracy, closeness, compare
from ganshift.training.log import say
from ganshift.training.run_folder import versions

CANDIDATES, TESTED, EXTRA = 120, 100, 280
"""Images of each class: those that sets draw from, the test images, and those that stand for generated ones."""
CLASSES, FEWEST, MOST = 5, 20, 100
TRIALS = 3
AMOUNTS = ClassifierSettings().amounts
CASES = (
    ("test split", "copies"),
    ("test split", "more real images"),
    ("thirds", "copies"),
    ("thirds", "more real images"),
    ("test split", "wrong labels"),
)
"""What sets are judged by, and what stands for generated images."""


def open_features(data, folder, extraction):
    """Features by name, [10 classes, images, ...]: real, changed (for each real image), test and extra."""
    path = folder / f"classifier-{extraction.hash[:8]}.npz"
    if not path.exists():
        train, labels = read(data, "train")
        test, test_labels = read(data, "test")
        of_class = [train[labels == number][: CANDIDATES + EXTRA] for number in range(10)]
        real = torch.cat([images[:CANDIDATES] for images in of_class])
        sets = {
            "real": real,
            "changed": changed(real, mirror=True),
            "test": torch.cat([test[test_labels == number][:TESTED] for number in range(10)]),
            "extra": torch.cat([images[CANDIDATES:] for images in of_class]),
        }
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{name: features_of(images, extraction, name).numpy() for name, images in sets.items()})
    kept = np.load(path)
    found = {name: kept[name].reshape(10, -1, kept[name].shape[1]) for name in ("real", "test", "extra")}
    changed_versions = kept["changed"].reshape(CHANGED, 10, CANDIDATES, -1)
    return found | {"changed": changed_versions.transpose(1, 2, 0, 3)}  # class image version feature


def stand_ins(kind, learned, numbers, extra, draw):
    """Features and class numbers of what stands for generated images: as often of each class as it is learned."""
    wanted = np.concatenate([draw.permutation(numbers) for _ in range(int(max(AMOUNTS)))])
    found = np.empty((len(wanted), learned.shape[1]), dtype=learned.dtype)
    for number in range(CLASSES):
        places = np.flatnonzero(wanted == number)
        pool = learned[numbers == number] if kind == "copies" else extra[number]
        orders = [draw.permutation(len(pool)) for _ in range(-(-len(places) // len(pool)))]
        found[places] = pool[np.concatenate(orders)[: len(places)]]
    return found, draw.permutation(wanted) if kind == "wrong labels" else wanted


def trials_of(features, kind, judged, seed):
    """The trials of one set."""
    draw = np.random.default_rng(seed)
    classes = draw.choice(10, CLASSES, replace=False)
    sizes = draw.integers(FEWEST, MOST + 1, CLASSES)
    chosen = [draw.choice(CANDIDATES, size, replace=False) for size in sizes]
    found = []
    for trial in range(TRIALS):
        kept = [np.arange(size) % TRIALS != trial if judged == "thirds" else np.full(size, True) for size in sizes]
        places = [(number, image) for number in range(CLASSES) for image in chosen[number][kept[number]]]
        numbers, images = (np.array(each) for each in zip(*places, strict=True))
        learned = features["real"][classes[numbers], images]
        versions = features["changed"][classes[numbers], images].swapaxes(0, 1).reshape(-1, learned.shape[1])
        if judged == "thirds":
            left = [(number, image) for number in range(CLASSES) for image in chosen[number][~kept[number]]]
        else:
            left = [(number, image) for number in range(CLASSES) for image in range(TESTED)]
        asked_numbers, asked = (np.array(each) for each in zip(*left, strict=True))
        held_out = features["real" if judged == "thirds" else "test"][classes[asked_numbers], asked]
        generated, drawn = stand_ins(kind, learned, numbers, features["extra"][classes], draw)
        everything = np.concatenate([learned, versions, generated])
        of_class = np.concatenate([numbers, np.tile(numbers, CHANGED), drawn])
        probe = LinearProbe(learned, numbers)
        weights = arms(len(learned), len(versions), len(generated), AMOUNTS)
        said = {arm: probe.learn(everything, of_class, weight, held_out) for arm, weight in weights.items()}
        found.append(Trial(tuple(f"{number} {image}" for number, image in left), asked_numbers, said))
    return found


def main():
    """Show how often each verdict comes, and single sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    extraction = Extraction.open(EvaluationSettings(extractor="lite0", view="whole", device="cpu"))
    extraction.network.to(memory_format=torch.channels_last)
    features = open_features(arguments.data, arguments.features, extraction)
    rows = ["| judged by | instead of generated images | by | helps | hurts | no difference shown |", "|---" * 6 + "|"]
    for judged, kind in CASES:
        words = {"closeness": [], "accuracy": []}
        for seed in range(arguments.seed, arguments.seed + arguments.sets):
            trials = trials_of(features, kind, judged, seed)
            for score in (closeness, accuracy):
                found = compare(trials, score)
                words[score.__name__].append(found.word)
                say(
                    f"{judged}, {kind}, seed {seed}, {score.__name__}: {found.baseline} "
                    f"{found.means[found.baseline]:.3f}, {found.best} {found.changes[found.best]}: {found.word}"
                )
        for name, said in words.items():
            counts = " | ".join(str(said.count(word)) for word in ("helps", "hurts", "no difference shown"))
            rows.append(f"| {judged} | {kind} | {name} | {counts} |")
    say("\n".join(rows))
    say(f"seeds {arguments.seed} to {seed}, weights {extraction.hash[:8]}, {versions()}")


if __name__ == "__main__":
    main()
