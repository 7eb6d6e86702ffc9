"""Scores of training images of CIFAR-10, degraded in known ways, against its test images.

    python -m benchmarks.degradations --data cifar10.zip [--sheet FILE] [--seed N]
    python -m benchmarks.degradations --data cifar10.zip --samples SHEET... [--of CLASS]

Every row has as many images as the reference, 5000. The sheet shows what each row that changes pixels does
to ten photographs that are free to show. With `--samples`, sheets of 32-pixel samples that runs wrote are compared with
the test images of one class instead.
"""

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from benchmarks.train_extractor import read
from ganshift.data.bundled import photo_sketch
from ganshift.metrics.extractors import CLASSES, SIDE, open_extractor, weights_hash
from ganshift.tensors import from_uint8, image_grid
from ganshift.training.log import say
from ganshift.training.run_folder import versions

BATCH = 100
MARGIN = 2
"""Pixels between the samples of a sheet (`ganshift.tensors.image_grid`)."""


def noise(images, deviation, draw):
    """Gaussian noise of this standard deviation, in levels of 255."""
    noisy = images + deviation * torch.randn(images.shape, generator=draw)
    return noisy.round().clamp(0, 255).byte()


def by_picture(images, change):
    """The images after a change of Pillow pictures."""
    pictures = [change(Image.fromarray(image)) for image in images.permute(0, 2, 3, 1).numpy()]
    return torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).permute(0, 3, 1, 2)


def blur(images, deviation):
    """Gaussian blur of this standard deviation in pixels."""
    return by_picture(images, lambda picture: picture.filter(ImageFilter.GaussianBlur(deviation)))


def jpeg(images, quality):
    """Compressed once more."""

    def change(picture):
        content = io.BytesIO()
        picture.save(content, "jpeg", quality=quality)
        return Image.open(content)

    return by_picture(images, change)


def of_classes(images, labels, classes, count, draw):
    """This many different images, evenly from the first classes in a random order of classes."""
    kept = torch.randperm(10, generator=draw)[:classes]
    shares = [count * (index + 1) // classes - count * index // classes for index in range(classes)]
    chosen = []
    for label, share in zip(kept, shares, strict=True):
        members = (labels == label).nonzero().flatten()
        chosen.append(members[torch.randperm(len(members), generator=draw)[:share]])
    return images[torch.cat(chosen)]


def degradations_of_pixels(plain, draw):
    """Names and images; those of one kind get worse from the first to the last."""
    for deviation in (4, 8, 16, 32):
        yield f"noise {deviation}/255", noise(plain, deviation, draw)
    for deviation in (0.5, 1, 2):
        yield f"blur {deviation} px", blur(plain, deviation)
    for quality in (50, 25, 10):
        yield f"JPEG quality {quality}", jpeg(plain, quality)


def variants(images, labels, count, seed):
    """Names and images of each row, `count` images in each."""

    def chosen(classes, number):
        return of_classes(images, labels, classes, number, torch.Generator().manual_seed(seed))

    plain = chosen(10, count)
    yield "none", plain
    yield from degradations_of_pixels(plain, torch.Generator().manual_seed(seed))
    for classes in (9, 5, 2, 1):
        yield f"{classes} of 10 classes", chosen(classes, count)
    for times in (2, 10, 100):
        yield f"{count // times} images, each {times} times", chosen(10, count // times).repeat(times, 1, 1, 1)


def draw_sheet(path, seed):
    """Ten photographs that scikit-image and scikit-learn ship, plain and degraded, a row each."""
    photographs = photo_sketch(SIDE).train_a.read(range(0, 200, 20))
    rows = [photographs]
    rows += [degraded for _, degraded in degradations_of_pixels(photographs, torch.Generator().manual_seed(seed))]
    Image.fromarray(image_grid(from_uint8(torch.cat(rows)), columns=len(photographs))).save(path)


def layers_of(images, extractor):
    """Features and logits of all images."""
    parts = zip(*(extractor(part) for part in images.split(BATCH)), strict=True)
    return tuple(torch.cat(part) for part in parts)


def scores(layers, reference):
    """FID and KID of the features to the reference's, and the Inception Score of the logits."""
    statistics = [fid_features_to_statistics(side[0]) for side in (layers, reference)]
    fid = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    kid = kid_features_to_metric(layers[0], reference[0], kid_subsets=20, verbose=False)
    isc = isc_features_to_metric(layers[1])
    return {
        "FID": fid,
        "KID": kid["kernel_inception_distance_mean"],
        "KID spread": kid["kernel_inception_distance_std"],
        "IS": isc["inception_score_mean"],
        "IS spread": isc["inception_score_std"],
    }


def tiles(path):
    """The samples of a sheet, without the margins of two pixels around each."""
    with Image.open(path) as picture:
        pixels = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)
    inside = pixels[:, MARGIN:, MARGIN:]
    windows = inside.unfold(1, SIDE, SIDE + MARGIN).unfold(2, SIDE, SIDE + MARGIN)  # 3 rows columns 32 32
    return windows.permute(1, 2, 0, 3, 4).flatten(0, 1)


def degrade(arguments, extractor):
    """Measure all rows and show them as a table of Markdown."""
    images, labels = read(arguments.data, "train")
    references, _ = read(arguments.data, "test")
    reference = layers_of(references, extractor)
    say("| degradation | FID[cifar] | KID[cifar] | IS[cifar] |\n|---|---|---|---|")
    for name, degraded in variants(images, labels, len(references), arguments.seed):
        row = scores(layers_of(degraded, extractor), reference)
        say(
            f"| {name} | {row['FID']:.3f} | {row['KID']:.3f} ± {row['KID spread']:.3f} "
            f"| {row['IS']:.2f} ± {row['IS spread']:.2f} |"
        )
    if arguments.sheet:
        draw_sheet(arguments.sheet, arguments.seed)


def compare_samples(arguments, extractors):
    """KID of the samples of each sheet, with as many of the reference as there are samples in each of 100 subsets."""
    references, labels = read(arguments.data, "test")
    references = references[labels == CLASSES.index(arguments.of)]
    known = {name: layers_of(references, extractor)[0] for name, extractor in extractors.items()}
    say("| samples | number | KID[cifar] | KID[lite0] |\n|---|---|---|---|")
    for path in arguments.samples:
        samples, found = tiles(path), []
        for name, extractor in extractors.items():
            features = layers_of(samples, extractor)[0]
            kid = kid_features_to_metric(features, known[name], kid_subset_size=len(samples), verbose=False)
            mean, spread = (kid[f"kernel_inception_distance_{which}"] for which in ("mean", "std"))
            found.append(f"{mean:.3f} ± {spread:.3f}")
        say(f"| {path.stem} | {len(samples)} | {' | '.join(found)} |")


def main():
    """Measure degradations, or samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--samples", type=Path, nargs="+")
    parser.add_argument("--of", choices=CLASSES, default="automobile")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    names = ("cifar", "lite0") if arguments.samples else ("cifar",)
    extractors = {name: open_extractor(name) for name in names}
    if arguments.samples:
        compare_samples(arguments, extractors)
    else:
        degrade(arguments, extractors["cifar"])
    hashes = " ".join(map(weights_hash, extractors.values()))
    say(f"seed {arguments.seed}, weights {hashes}, {versions()}")


if __name__ == "__main__":
    main()
