"""From batches of generated or translated images, and real ones, to score records."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import chain
from math import sqrt
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from ..data.datasets import ImageSet
from ..data.folders import Split
from ..errors import choose
from ..tensors import Bytes, from_uint8, height_and_width, to_colour, to_uint8
from ..training import run_folder
from ..training.config import PositiveInt, Seed, check_values, require
from ..training.device import choose_device
from ..training.distributed import from_first, is_first, shared, world_size
from ..training.log import ProgressLine, working
from ..training.weights import hash_of_file
from . import scores
from .extractors import RESIZE_RULES, SIDES, ExtractorName, open_extractor, weights_hash
from .reference import Reference, cache, load_cached
from .score_record import INCEPTION_SPLITS, ScoreRecord
from .views import View, corners, cropped, rule

METRICS = ("is", "fid", "kid", "prc", "colour")
"""By the names that torch-fidelity gives them, but for the first and the last."""
OF_TRANSLATIONS = ("fid", "kid", "prc", "colour")
"""What is measured of a translator unless told otherwise, besides what compares single images."""
GENERATED = 50_000
"""Images of the published protocols."""
PREFER_KID = 5_000
"""Below so many images FID depends on their number more than on most models."""
BATCH = 64
"""Images generated, translated and extracted at once, as torch-fidelity does."""
ROUNDED, TRUNCATED = "rounded to 256 levels", "truncated to 256 levels"
ClassFrequencies = Literal["reference", "uniform"]
Batch = Callable[[], Bytes]
"""Makes or reads a batch of images when it is called, by the process that extracts their features."""


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """What to measure, and how."""

    metrics: tuple[str, ...] = METRICS
    num_images: PositiveInt = GENERATED
    """Images to generate; a translator translates all that the reference has."""
    extractor: ExtractorName = "cifar"
    extractor_weights: Path | None = None
    view: View | None = None
    """What the extractor sees of images larger than its side. Crops if left out; of inception, whose published
    protocols bring images to its side, the whole."""
    trained_by: tuple[str, ...] = ()
    """Names of the extractors that trained the model, which scores of these extractors say."""
    split: Split = "train"
    """Part of a generator's reference, where there are parts."""
    seed: Seed = 0
    """Of the latents."""
    labels: ClassFrequencies = "reference"
    """How often a generator draws each of its classes: as often as the reference has it, or equally often."""
    kid_subsets: PositiveInt = scores.KID_SUBSETS
    kid_subset_size: int | None = None
    """1000 if left out, or half of the smaller set where that is less."""
    batch: PositiveInt = BATCH
    device: str = "auto"
    progress: bool = True
    """Whether to show how many images have gone by."""

    def __post_init__(self) -> None:
        check_values(type(self), vars(self))
        for metric in self.metrics:
            choose(metric, METRICS, "metric")
        require(self.metrics != (), f"give at least one metric of {', '.join(METRICS)}")

    @property
    def sees_crops(self) -> bool:
        """Whether the extractor is shown crops of larger images."""
        return (self.view or ("whole" if self.extractor == "inception" else "crops")) == "crops"

    def check_enough(self, num_generated: int, num_reference: int) -> None:
        """Raise a `UserError`, before anything slow, where there are too few images for one of the scores."""
        scores.check_enough(self.metrics, num_generated, num_reference, self.kid_subset_size)


@dataclass(frozen=True)
class Extraction:
    """An open extractor, and the settings to measure by."""

    network: nn.Module
    hash: str
    """Of its weights."""
    settings: EvaluationSettings

    @classmethod
    def open(cls, settings: EvaluationSettings) -> "Extraction":
        """The extractor that the settings name, on their device."""
        with working("opening the extractor") if settings.progress else nullcontext():
            network = open_extractor(settings.extractor, settings.extractor_weights)
            weights = weights_hash(network)
        return cls(network.to(choose_device(settings.device)), weights, settings)

    @property
    def device(self) -> torch.device:
        """Of the network."""
        return next(chain(self.network.parameters(), self.network.buffers())).device

    @property
    def place(self) -> torch.device:
        """Where features are kept, and scores are computed."""
        return self.device if self.device.type == "cuda" and world_size() == 1 else torch.device("cpu")

    def extract(
        self, batches: Sequence[Batch], num_images: int, verb: str, *, logits: bool = False, colours: bool = False
    ) -> list[Float32[Tensor, "_ _"]]:
        """Features of all images, and after them logits and `scores.colours` if asked for.

        Of features and logits each image has one row, or one for each of its crops, together, in memory that is claimed
        once. One process keeps them on a CUDA device; others are on the CPU, since float64, in which they are summed,
        is not everywhere. Images are not kept. Processes that share a run share the batches, and each gets the features
        of all. `verb` names the progress line.
        """
        device, place = self.device, self.place

        @torch.no_grad()
        def layers(batch: Batch) -> list[Tensor]:
            images = batch()
            if images.shape[1] != 3:  # gray three times, and what is transparent over white, as Inception takes them
                images = to_uint8(to_colour(from_uint8(images)))
            images = images.to(device)
            views = cropped(images, SIDES[self.settings.extractor]) if self.settings.sees_crops else images
            parts = [self.network(part)[: 1 + logits] for part in views.split(self.settings.batch)]
            found = [torch.cat(layer).unflatten(0, (len(images), -1)) for layer in zip(*parts, strict=True)]
            return [layer.to(place) for layer in (*found, *([scores.colours(images)[:, None]] if colours else []))]

        kept: list[Tensor] = []
        seen = 0
        with ProgressLine(verb, num_images) if self.settings.progress else nullcontext() as line:
            for found in shared([partial(layers, batch) for batch in batches]):
                kept = kept or [torch.empty(num_images, *layer.shape[1:], device=place) for layer in found]
                for whole, part in zip(kept, found, strict=True):
                    whole[seen : seen + len(part)] = part
                seen += len(found[0])
                if line:
                    line.update(seen)
        assert seen == num_images, f"{seen} of {num_images} images"
        return [whole.flatten(0, 1) for whole in kept]

    def reference(self, images: ImageSet) -> Reference:
        """Features of a set, cached; of several processes the first one's cache counts."""
        name = self.settings.extractor
        crops = len(corners(*height_and_width(images.size), SIDES[name])) if self.settings.sees_crops else 0
        key = f"{images.content_hash} {name} {self.hash} {crops} crops, colours"
        found = from_first(partial(load_cached, key))
        if found is None:
            size = self.settings.batch
            batches = [
                partial(images.read, range(first, min(first + size, len(images))))
                for first in range(0, len(images), size)
            ]
            features, colours = self.extract(batches, len(images), "reference", colours=True)
            found = Reference(features, scores.statistics(features), colours)
            if is_first():
                cache(found, key)
        return Reference(found.features.to(self.place), found.statistics, found.colours.to(self.place))


@dataclass(frozen=True)
class Measured:
    """What was found of one set of images."""

    records: list[ScoreRecord]
    diversity: float | None
    """Root mean square distance of two generated images in features, over that of two real ones; None without any."""


def measure(
    extraction: Extraction,
    batches: Sequence[Batch],
    num_images: int,
    reference: ImageSet | None,
    *,
    verb: str,
    split: str,
    about: Mapping[str, Any],
    name: str = "{}",
    protocol: str = "{}",
) -> Measured:
    """The scores of `num_images` images among real ones; each batch is made once, by one process, and not kept.

    `verb` names the progress line. `reference` may be None if the only metric is "is". `about` has the other fields of
    the records; `name` and `protocol` say what becomes of those of each metric.
    """
    settings = extraction.settings
    known = None if reference is None else extraction.reference(reference)
    features, *logits, colours = extraction.extract(
        batches, num_images, verb, logits="is" in settings.metrics, colours=True
    )
    crops = len(features) // num_images
    with working("computing scores") if settings.progress else nullcontext():
        found = list(_scores(features, logits, known, settings, crops))

    def record(metric: str, how: str, score: scores.Score, **more: Any) -> ScoreRecord:
        return ScoreRecord(
            metric=name.format(metric),
            protocol=protocol.format(how),
            value=score.value,
            spread=score.spread,
            num_generated=num_images,
            **against(None if metric == "IS" else reference, split),
            trained_by=list(settings.trained_by),
            **more,
            **about,
        )

    seen_by: dict[str, Any] = {
        "extractor": settings.extractor,
        "extractor_hash": extraction.hash,
        "resize_rule": rule(crops, SIDES[settings.extractor], RESIZE_RULES[settings.extractor]),
    }
    records = [record(*each, **seen_by) for each in found]
    if known is not None and "colour" in settings.metrics:
        how = "means and deviations of channels, levels from -1 to 1"
        differences = scores.colour_differences(colours, known.colours).tolist()
        by_none: dict[str, Any] = dict.fromkeys(seen_by)
        records.append(record("colour", how, scores.colour(colours, known.colours), differences=differences, **by_none))
    real = 0.0 if known is None else known.statistics.covariance.trace().item()
    # Never below 0, but on a device that computes nothing, as in tests.
    return Measured(records, sqrt(max(features.double().var(0).sum().item(), 0.0) / real) if real > 0 else None)


def _scores(
    features: Float32[Tensor, "n d"],
    logits: Sequence[Tensor],
    known: Reference | None,
    settings: EvaluationSettings,
    crops: int,
) -> Iterator[tuple[str, str, scores.Score]]:
    """Name, protocol and score of each metric of features; those that compare with real images need `known` ones."""
    for each in logits:
        yield "IS", f"{INCEPTION_SPLITS} consecutive splits", scores.inception_score(each, crops)
    if known is None:
        return
    real = known.features
    if "fid" in settings.metrics:
        groups = min(scores.JACKKNIFE_GROUPS, len(features) // crops)
        yield "FID", f"jackknife of {groups} groups", scores.fid(features, known.statistics, crops)
    if "kid" in settings.metrics:
        subsets = settings.kid_subsets
        size = scores.kid_subset_size(settings.kid_subset_size, len(features) // crops, len(real) // crops)
        protocol = f"unbiased, cubic kernel, {subsets} subsets of {size}"
        yield "KID", protocol, scores.kid(features, real, subsets, size, crops)
    if "prc" in settings.metrics:
        found = scores.precision_recall(features, real, crops)
        for name, score in zip(("precision", "recall"), found, strict=True):
            yield name, f"{scores.NEIGHBOURS} nearest neighbours", score


def against(reference: ImageSet | None, split: str) -> dict[str, Any]:
    """The fields of records that say what was compared with."""
    if reference is None:
        return {"num_reference": 0, "reference_split": None, "reference_hash": None}
    return {"num_reference": len(reference), "reference_split": split, "reference_hash": reference.content_hash}


def provenance(run: Path) -> dict[str, Any]:
    """The fields of records that say which model and which packages, of a model that was written."""
    return provenance_of(hash_of_file(run / run_folder.MODEL))


def provenance_of(model_hash: str) -> dict[str, Any]:
    """The same of a model whose file has, or would have, this hash."""
    packages = {name: version(name) for name in ("torch-fidelity", "torchmetrics")}
    return {"model_hash": model_hash, "versions": run_folder.versions() | packages}
