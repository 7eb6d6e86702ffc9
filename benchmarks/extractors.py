"""How the extractors order images that are known to be worse: KID of degraded images among others of the same kind.

    python -m benchmarks.extractors --data cifar10.zip [--size 32] [--count N] [--seeds N] [--inception FILE]

Each seed draws `--count` images to degrade and as many others to compare with. KID takes 50 subsets of half of them.
The table has the mean over the seeds ± the standard deviation between them. Its last rows count over all kinds and
seeds: of two strengths of one kind, how often the stronger had the higher KID; and how often a degradation was seen,
which is KID above that of the same images undegraded by more than two of its spreads.
"""

import argparse
from pathlib import Path
from statistics import fmean, stdev

import torch
import torch.nn.functional as F

from benchmarks.degradations import blur, jpeg, noise
from ganshift.data.open import open_images
from ganshift.metrics import scores
from ganshift.metrics.extractors import SIDES
from ganshift.metrics.measuring import EvaluationSettings, Extraction
from ganshift.tensors import from_uint8, to_uint8
from ganshift.training.log import say
from ganshift.training.run_folder import versions

SUBSETS = 50
BATCH = 64


def colour_shift(images, levels):
    """Red lighter and blue darker by so many levels of 255."""
    shift = torch.tensor([levels, 0, -levels])[:, None, None]
    return (images.int() + shift).clamp(0, 255).byte()


def shrunk(images, factor):
    """Made smaller by this factor and back to their size, bicubic and antialiased."""
    small = [round(side / factor) for side in images.shape[2:]]
    smaller = F.interpolate(from_uint8(images), small, mode="bicubic", antialias=True)
    return to_uint8(F.interpolate(smaller, images.shape[2:], mode="bicubic"))


def repeated_to(count, images):
    """So many images, each as often as it takes."""
    return images.repeat(-(-count // len(images)), 1, 1, 1)[:count]


def degradations(images, labels, draw):
    """By kind and strength, from weak to strong, what makes as many worse images of these."""
    kinds = {
        "blur, px": {strength: blur(images, strength) for strength in (0.5, 1, 2)},
        "noise, of 255": {strength: noise(images, strength, draw) for strength in (4, 8, 16)},
        "JPEG, quality": {strength: jpeg(images, strength) for strength in (50, 25, 10)},
        "colour shift, of 255": {strength: colour_shift(images, strength) for strength in (4, 10, 25)},
        "shrunk and enlarged": {strength: shrunk(images, strength) for strength in (1.5, 2, 4)},
        "each image, times": {
            times: repeated_to(len(images), images[: -(-len(images) // times)]) for times in (2, 5, 20)
        },
    }
    if labels is not None:
        # Repeated until they are as many, so that images of these classes differ less, too.
        kept = {share: images[labels < share] for share in (9, 5, 1)}
        kinds["classes of 10"] = {share: repeated_to(len(images), some) for share, some in kept.items()}
    return kinds


def features_of(extraction, images):
    """Features of stored images, of each image one row or one for each of its crops."""
    (features,) = extraction.extract([lambda part=part: part for part in images.split(BATCH)], len(images), "extract")
    return features


def in_order(kinds):
    """Of all two strengths of a kind, how many are in order, and how many there are; `kinds` have KIDs by strength."""
    pairs = [
        later > earlier for values in kinds for index, earlier in enumerate(values) for later in values[index + 1 :]
    ]
    return sum(pairs), len(pairs)


def extractions(size, inception):
    """Each extractor, with crops too where it can see some, by the name that its scores have."""
    files = {"cifar": None, "lite0": None, **({"inception": inception} if inception else {})}
    for name, weights in files.items():
        for view in ("whole", "crops") if size > SIDES[name] else ("whole",):
            settings = EvaluationSettings(extractor=name, extractor_weights=weights, view=view, progress=False)
            yield f"{name} {view}", Extraction.open(settings)


def measure(images, extraction, count, seed):
    """KID of undegraded images with its spread, and KIDs by kind and strength."""
    draw = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=draw).numpy()
    plain, others = (images.read(order[start : start + count]) for start in (0, count))
    labels = None if images.labels is None else torch.from_numpy(images.labels[order[:count]])
    reference = features_of(extraction, others)

    def kid(some):
        features = features_of(extraction, some)
        return scores.kid(features, reference, SUBSETS, count // 2, len(features) // count)

    kinds = degradations(plain, labels, draw)
    return kid(plain), {kind: {how: kid(some).value for how, some in each.items()} for kind, each in kinds.items()}


def main():
    """Measure, and print a table of Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--inception", type=Path, help="torch-fidelity's weights of Inception")
    chosen = parser.parse_args()
    images = open_images(chosen.data, chosen.size, channels=3)
    columns = {}
    for name, extraction in extractions(chosen.size, chosen.inception):
        columns[name] = [measure(images, extraction, chosen.count, seed) for seed in range(chosen.seeds)]
        say(f"{name}: weights {extraction.hash[:8]}")
    say(f"| degradation | {' | '.join(f'KID[{name}]' for name in columns)} |\n|---{'|---' * len(columns)}|")
    plain = [cell([found.value for found, _ in runs]) for runs in columns.values()]
    say(f"| none | {' | '.join(plain)} |")
    _, kinds = next(iter(columns.values()))[0]
    for kind, how in ((kind, how) for kind, each in kinds.items() for how in each):
        row = [cell([found[kind][how] for _, found in runs]) for runs in columns.values()]
        say(f"| {kind} {how} | {' | '.join(row)} |")
    order = [in_order([[*each.values()] for _, found in runs for each in found.values()]) for runs in columns.values()]
    say(f"| pairs in order | {' | '.join(f'{right} of {total}' for right, total in order)} |")
    seen = [
        [
            value > none.value + 2 * none.spread
            for none, found in runs
            for each in found.values()
            for value in each.values()
        ]
        for runs in columns.values()
    ]
    say(f"| seen | {' | '.join(f'{sum(each)} of {len(each)}' for each in seen)} |")
    say(f"{chosen.data.name} at {chosen.size}, {chosen.count} images, seeds 0 to {chosen.seeds - 1}, {versions()}")


def cell(values):
    """Mean and standard deviation."""
    return f"{fmean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
