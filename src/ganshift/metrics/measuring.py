"""From a stream of generated or translated images, and real ones, to cards: settings, an open extractor, scores."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from math import sqrt
from pathlib import Path
from typing import Any, Literal, get_args

from jaxtyping import Float, UInt8
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from ..data.datasets import ImageSet
from ..data.folders import Split
from ..tensors import Bytes, from_uint8, to_colour, to_uint8
from ..training import run_folder
from ..training.config import require
from ..training.device import choose_device
from ..training.log import ProgressLine, working
from ..training.weights import hash_of_file
from . import scores
from .extractors import EXTRACTORS, open_extractor, weights_hash
from .score_record import INCEPTION_SPLITS, ScoreRecord

METRICS = ("is", "fid", "kid", "prc")
"""By the names that torch-fidelity gives them, but for the first."""
ExtractorName = Literal["cifar", "inception"]

GENERATED = 50_000
"""Images of the published protocols."""
PREFER_KID = 5_000
"""Below so many images FID depends on their number more than on most models."""
BATCH = 64
"""Images generated, translated and extracted at once, as torch-fidelity does."""
ROUNDED, TRUNCATED = "rounded to 256 levels", "truncated to 256 levels"


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """What to measure, and how."""

    metrics: tuple[str, ...] | None = None
    """All four for generators, fid and kid for translators, if left out."""
    num_images: int = GENERATED
    """Images to generate; a translator translates all that the reference has."""
    extractor: ExtractorName = "cifar"
    extractor_weights: Path | None = None
    split: Split = "train"
    """Part of a generator's reference, where there are parts."""
    seed: int = 0
    """Of the latents."""
    kid_subsets: int = scores.KID_SUBSETS
    kid_subset_size: int | None = None
    """1000 if left out, or half of the smaller set where that is less."""
    batch: int = BATCH
    device: str = "auto"
    progress: bool = True
    """Whether to show how many images have gone by."""

    def __post_init__(self) -> None:
        require(self.num_images >= 1, f"the number of images must be at least 1, got {self.num_images}")
        require(self.kid_subsets >= 1, f"the number of kid subsets must be at least 1, got {self.kid_subsets}")
        require(self.batch >= 1, f"batch must be at least 1, got {self.batch}")
        for metric in self.metrics or ():
            require(metric in METRICS, f"there is no metric {metric!r}; metrics are {', '.join(METRICS)}")
        require(self.metrics != (), f"give at least one metric of {', '.join(METRICS)}")
        names = get_args(ExtractorName)
        require(self.extractor in names, f"extractor must be one of {', '.join(names)}, got {self.extractor!r}")


@dataclass(frozen=True)
class Extraction:
    """An open extractor, and what cards say of it."""

    network: FeatureExtractorBase
    name: ExtractorName
    hash: str

    @classmethod
    def open(cls, settings: EvaluationSettings) -> "Extraction":
        """The extractor that the settings name, on their device."""
        with working("opening the extractor") if settings.progress else nullcontext():
            network = open_extractor(settings.extractor, settings.extractor_weights)
            weights = weights_hash(network)
        return cls(network.to(choose_device(settings.device)), settings.extractor, weights)

    def reference(self, images: ImageSet, settings: EvaluationSettings) -> scores.Reference:
        """Features of a set, cached."""
        layer = EXTRACTORS[self.name].features
        key = f"{images.content_hash} {self.name} {layer} {self.hash}"
        with counting("reference", len(images), settings.progress) as counted:
            batches = counted(batches_of(images, settings.batch))
            return scores.reference_features(self.network, layer, batches, len(images), key)

    def layers(
        self, batches: Sequence[scores.Batch], num_images: int, verb: str, progress: bool
    ) -> Iterator[dict[str, Tensor]]:
        """Both layers of images, batch by batch; `verb` names the progress line."""
        with counting(verb, num_images, progress) as counted:
            yield from scores.extract(self.network, counted(batches))

    def features(
        self, batches: Sequence[scores.Batch], num_images: int, verb: str, progress: bool
    ) -> Float[Tensor, "n d"]:
        """The layer that distances are taken in, of all images; likewise."""
        kept = scores.Kept(num_images)
        for layers in self.layers(batches, num_images, verb, progress):
            kept.update(layers[EXTRACTORS[self.name].features])
        return kept.values

    def on_card(self) -> dict[str, Any]:
        """The fields of cards that it fills."""
        return {
            "extractor": self.name,
            "extractor_hash": self.hash,
            "resize_rule": EXTRACTORS[self.name].resize_rule,
        }


class Taken:
    """Scores of one stream of generated or translated images against one reference."""

    def __init__(
        self,
        extraction: Extraction,
        metrics: Sequence[str],
        num_images: int,
        reference: scores.Reference | None,
        settings: EvaluationSettings,
    ):
        layers = EXTRACTORS[extraction.name]
        self._metrics, self._reference, self._settings = metrics, reference, settings
        self._logits, self._features = layers.logits, layers.features
        self._inception = scores.InceptionScore(num_images) if "is" in metrics else None
        groups = min(scores.JACKKNIFE_GROUPS, num_images)
        self._moments = scores.Moments(num_images, groups) if "fid" in metrics else None
        self._kept = scores.Kept(num_images) if {"kid", "prc"} & set(metrics) else None

    def update(self, stream: Iterable[Mapping[str, Tensor]]) -> None:
        """Take the layers of images in, batch by batch."""
        for layers in stream:
            if self._inception:
                self._inception.update(layers[self._logits])
            if self._moments:
                self._moments.update(layers[self._features])
            if self._kept:
                self._kept.update(layers[self._features])

    def diversity(self) -> float | None:
        """Root mean square distance of two generated images in features, over that of two real ones.

        None where no metric keeps features or there is no reference.
        """
        if self._reference is None or not (self._kept or self._moments):
            return None
        real = self._reference.statistics.covariance.trace().item()
        if self._kept:
            generated = self._kept.values.double().var(0).sum().item()
        else:
            assert self._moments is not None
            generated = self._moments.statistics().covariance.trace().item()
        return sqrt(generated / real) if real > 0 else None

    def found(self) -> Iterator[tuple[str, str, scores.Score]]:
        """Name, protocol and score of each metric."""
        if self._inception:
            yield "IS", f"{INCEPTION_SPLITS} consecutive splits", self._inception.score()
        if self._reference is None:
            return
        real = self._reference.features
        if self._moments:
            protocol = f"jackknife of {self._moments.num_groups} groups"
            yield "FID", protocol, scores.fid(self._moments, self._reference.statistics)
        if self._kept and "kid" in self._metrics:
            subsets, wanted = self._settings.kid_subsets, self._settings.kid_subset_size
            size = scores.kid_subset_size(wanted, len(self._kept.values), len(real))
            protocol = f"unbiased, cubic kernel, {subsets} subsets of {size}"
            yield "KID", protocol, scores.kid(self._kept.values, real, subsets, size)
        if self._kept and "prc" in self._metrics:
            protocol = f"{scores.NEIGHBOURS} nearest neighbours"
            for name, score in zip(
                ("precision", "recall"), scores.precision_recall(self._kept.values, real), strict=True
            ):
                yield name, protocol, score


@dataclass(frozen=True)
class Measured:
    """What was found of one stream of images."""

    records: list[ScoreRecord]
    diversity: float | None
    """See `Taken.diversity`."""


def check_enough(metrics: Sequence[str], num_generated: int, num_reference: int, settings: EvaluationSettings) -> None:
    """Raise a `UserError`, before anything slow, where there are too few images for one of the scores."""
    for metric in metrics:
        scores.check_enough(metric, num_generated, num_reference)
    if "kid" in metrics:
        scores.kid_subset_size(settings.kid_subset_size, num_generated, num_reference)


def measure(
    batches: Sequence[scores.Batch],
    num_images: int,
    reference: ImageSet | None,
    metrics: Sequence[str],
    extraction: Extraction,
    settings: EvaluationSettings,
    *,
    verb: str,
    split: str,
    about: Mapping[str, Any],
    name: str = "{}",
    protocol: str = "{}",
) -> Measured:
    """The scores of `num_images` images among real ones; each batch is made once, by one process, and not kept.

    `verb` names the progress line. `reference` may be None if the only metric is "is". `about` has the other fields of
    the cards; `name` and `protocol` say what becomes of those of each metric.
    """
    features = extraction.reference(reference, settings) if reference is not None else None
    taken = Taken(extraction, metrics, num_images, features, settings)
    taken.update(extraction.layers(batches, num_images, verb, settings.progress))
    with working("computing scores") if settings.progress else nullcontext():
        found = list(taken.found())
    records = [
        ScoreRecord(
            metric=name.format(metric),
            protocol=protocol.format(how),
            value=score.value,
            spread=score.spread,
            num_generated=num_images,
            **against(None if metric == "IS" else reference, split),
            **extraction.on_card(),
            **about,
        )
        for metric, how, score in found
    ]
    return Measured(records, taken.diversity())


def against(reference: ImageSet | None, split: str) -> dict[str, Any]:
    """The fields of cards that say what was compared with."""
    if reference is None:
        return {"num_reference": 0, "reference_split": None, "reference_hash": None}
    return {"num_reference": len(reference), "reference_split": split, "reference_hash": reference.content_hash}


def for_extractor(stored: Bytes) -> UInt8[Tensor, "n 3 h w"]:
    """In three channels, as Inception takes them: gray three times, and what is transparent over white."""
    return stored if stored.shape[1] == 3 else to_uint8(to_colour(from_uint8(stored)))


def batches_of(images: ImageSet, batch: int = BATCH) -> list[scores.Batch]:
    """A whole set in its order."""
    return [
        partial(images.read, range(first, min(first + batch, len(images)))) for first in range(0, len(images), batch)
    ]


@contextmanager
def counting(
    description: str, total: int, shown: bool = True
) -> Iterator[Callable[[Sequence[scores.Batch]], list[scores.Batch]]]:
    """Bring batches to the channels of extractors, and show how many have gone by, once there are any, if `shown`."""
    with ProgressLine(description, total) if shown else nullcontext() as progress:

        def make(batches: Sequence[scores.Batch], index: int) -> Bytes:
            images = for_extractor(batches[index]())
            if progress:
                progress.update(total * (index + 1) // len(batches))
            return images

        yield lambda batches: [partial(make, batches, index) for index in range(len(batches))]


def provenance(run: Path) -> dict[str, Any]:
    """The fields of cards that say which model and which packages, of a model that was written."""
    return provenance_of(hash_of_file(run / run_folder.MODEL))


def provenance_of(model_hash: str) -> dict[str, Any]:
    """The same of a model whose file has, or would have, this hash."""
    packages = {name: version(name) for name in ("torch-fidelity", "torchmetrics")}
    return {"model_hash": model_hash, "versions": run_folder.versions() | packages}
