"""Evaluate runs: a run folder and a reference to cards, for generators and for both ways of a translator."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from .data.cifar import Split
from .data.datasets import MEMORY_BUDGET_BYTES, ImageSet
from .data.named import open_named_domains, open_named_images
from .errors import UserError
from .metrics import scores
from .metrics.card import INCEPTION_SPLITS, Card
from .metrics.card_files import write_cards
from .metrics.extractors import EXTRACTORS, open_extractor, weights_hash
from .models import Domain, Generator, Translator, draw_latents, other_domain
from .runtime import run_folder
from .runtime.config import require
from .runtime.device import choose_device
from .runtime.log import ProgressLine, opening_progress
from .tensors import Bytes, Images, from_uint8, to_colour, to_uint8

Metric = Literal["is", "fid", "kid", "prc"]
ExtractorName = Literal["cifar", "inception"]
Item = TypeVar("Item")
logger = logging.getLogger("ganshift")

GENERATED = 50_000
"""Images of the published protocols."""
PREFER_KID = 5_000
"""Below so many images FID depends on their number more than on most models."""
BATCH = 64
"""Images generated, translated and extracted at once, as torch-fidelity does."""
ROUNDED, TRUNCATED = "rounded to 256 levels", "truncated to 256 levels"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What to measure, and how."""

    metrics: tuple[Metric, ...] | None = None
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

    def __post_init__(self) -> None:
        require(self.num_images >= 1, f"the number of images must be at least 1, got {self.num_images}")
        require(self.kid_subsets >= 1, f"the number of kid subsets must be at least 1, got {self.kid_subsets}")
        require(self.batch >= 1, f"batch must be at least 1, got {self.batch}")
        known = get_args(Metric)
        for metric in self.metrics or ():
            require(metric in known, f"there is no metric {metric!r}; metrics are {', '.join(known)}")
        require(self.metrics != (), f"give at least one metric of {', '.join(known)}")
        names = get_args(ExtractorName)
        require(self.extractor in names, f"extractor must be one of {', '.join(names)}, got {self.extractor!r}")


def evaluate(run: str | Path, reference: str | Path | None = None, **settings: Any) -> list[Card]:
    """Measure a run against a reference and write the cards into its folder `cards`.

    `settings` are the fields of `Settings`. For a generator, `reference` is what --data can be, brought to the size and
    channels of the generator; only "is" alone needs none. For a translator it has two domains, of which val is taken,
    or train where there is no val. A run trained `as_published` is measured as published: normalised by each
    batch, and truncated.
    """
    run, chosen = Path(run), Settings(**settings)
    if not run.is_dir():
        raise UserError(f"there is no run folder {run}")
    config = run_folder.read_config(run)
    data = None if reference is None else Path(reference)
    measure = _of_translator if config.get("method") == "dual" else _of_generator
    cards = measure(run, config, data, chosen)
    write_cards(run, cards)
    small = [card for card in cards if card.kind == "FID" and min(card.num_generated, card.num_reference) < PREFER_KID]
    if small:
        count = min(min(card.num_generated, card.num_reference) for card in small)
        logger.warning("FID of %d images is biased: under %d images prefer KID", count, PREFER_KID)
    return cards


@dataclass(frozen=True)
class _Extraction:
    """An open extractor, and what cards say of it."""

    network: FeatureExtractorBase
    name: ExtractorName
    hash: str

    @classmethod
    def open(cls, settings: Settings) -> "_Extraction":
        network = open_extractor(settings.extractor, settings.extractor_weights)
        weights = weights_hash(network)
        return cls(network.to(choose_device(settings.device)), settings.extractor, weights)

    def reference(self, images: ImageSet, settings: Settings) -> scores.Reference:
        """Features of a set, cached."""
        layer = EXTRACTORS[self.name].features
        key = f"{images.content_hash} {self.name} {layer} {self.hash}"
        with _counting("reference", len(images)) as counted:
            batches = counted(map(_for_extractor, _read(images, settings.batch)))
            return scores.reference_features(self.network, layer, batches, len(images), key)

    def on_card(self) -> dict[str, Any]:
        """The fields of cards that it fills."""
        return {
            "extractor": self.name,
            "extractor_hash": self.hash,
            "resize_rule": EXTRACTORS[self.name].resize_rule,
        }


class _Scores:
    """Scores of one stream of generated or translated images against one reference."""

    def __init__(
        self,
        extraction: _Extraction,
        metrics: Sequence[Metric],
        num_images: int,
        reference: scores.Reference | None,
        settings: Settings,
    ):
        num_reference = 0 if reference is None else len(reference.features)
        for metric in metrics:
            scores.check_enough(metric, num_images, num_reference)
        if "kid" in metrics:
            self._subset_size = scores.kid_subset_size(settings.kid_subset_size, num_images, num_reference)
        layers = EXTRACTORS[extraction.name]
        self._extraction, self._metrics, self._reference, self._settings = extraction, metrics, reference, settings
        self._logits, self._features = layers.logits, layers.features
        self._inception = scores.InceptionScore(num_images) if "is" in metrics else None
        groups = min(scores.JACKKNIFE_GROUPS, num_images)
        self._moments = scores.Moments(num_images, groups) if "fid" in metrics else None
        self._kept = scores.Kept(num_images) if {"kid", "prc"} & set(metrics) else None

    def update(self, batches: Iterable[Bytes]) -> None:
        """Take the images in."""
        for layers in scores.extract(self._extraction.network, map(_for_extractor, batches)):
            if self._inception:
                self._inception.update(layers[self._logits])
            if self._moments:
                self._moments.update(layers[self._features])
            if self._kept:
                self._kept.update(layers[self._features])

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
            subsets, size = self._settings.kid_subsets, self._subset_size
            protocol = f"unbiased, cubic kernel, {subsets} subsets of {size}"
            yield "KID", protocol, scores.kid(self._kept.values, real, subsets, size)
        if self._kept and "prc" in self._metrics:
            protocol = f"{scores.NEIGHBOURS} nearest neighbours"
            for name, score in zip(
                ("precision", "recall"), scores.precision_recall(self._kept.values, real), strict=True
            ):
                yield name, protocol, score


def _of_generator(run: Path, config: dict[str, Any], data: Path | None, settings: Settings) -> list[Card]:
    model = Generator.from_pretrained(run, settings.device)
    metrics = settings.metrics or get_args(Metric)
    if data is None and set(metrics) != {"is"}:
        raise UserError(f"{', '.join(metrics)} compare with real images: give --reference, or --metrics is")
    network, as_published = config["generator"], bool(config.get("training", {}).get("as_published"))
    images = None
    if data is not None and set(metrics) != {"is"}:
        with opening_progress() as progress:
            images = open_named_images(
                data, network["size"], network["channels"], MEMORY_BUDGET_BYTES, progress, settings.split
            )
    latents = draw_latents(settings.num_images, settings.seed)
    extraction = _Extraction.open(settings)
    reference = extraction.reference(images, settings) if images is not None else None
    taken = _Scores(extraction, metrics, settings.num_images, reference, settings)
    with _counting("generate", settings.num_images) as counted:
        taken.update(counted(_sample(model, latents, settings.batch, as_published)))
    published = f", normalised by batches of {settings.batch}" if as_published else ""
    return [
        Card(
            metric=name,
            protocol=protocol + published,
            value=score.value,
            spread=score.spread,
            num_generated=settings.num_images,
            **_against(None if name == "IS" else images, settings.split),
            **extraction.on_card(),
            quantisation=TRUNCATED if as_published else ROUNDED,
            seed=settings.seed,
            **_provenance(run),
        )
        for name, protocol, score in taken.found()
    ]


def _of_translator(run: Path, config: dict[str, Any], data: Path | None, settings: Settings) -> list[Card]:
    model = Translator.from_pretrained(run, settings.device)
    if data is None:
        raise UserError("a translator is measured on two domains of real images: give them with --reference")
    with opening_progress() as progress:
        domains = open_named_domains(
            data,
            None,
            None,
            model.size,
            channels_a=model.channels["a"],
            channels_b=model.channels["b"],
            memory_budget_bytes=MEMORY_BUDGET_BYTES,
            progress=progress,
        )
    split = "val" if domains.val_a and domains.val_b else "train"
    a, b = (domains.val_a, domains.val_b) if split == "val" else (domains.train_a, domains.train_b)
    assert a is not None
    assert b is not None
    extraction = _Extraction.open(settings)
    cards = []
    ways: list[tuple[Domain, ImageSet, ImageSet]] = [("b", a, b), ("a", b, a)]
    for to, start, target in ways:
        cards += _of_way(model, to, start, target, split, extraction, _provenance(run), settings)
    return cards


def _of_way(
    model: Translator,
    to: Domain,
    start: ImageSet,
    target: ImageSet,
    split: str,
    extraction: _Extraction,
    provenance: dict[str, Any],
    settings: Settings,
) -> list[Card]:
    """Cards of one way: of the translations among real images, of round trips, and of true pairs."""
    metrics = settings.metrics or ("fid", "kid")
    reference = extraction.reference(target, settings)
    taken = _Scores(extraction, metrics, len(start), reference, settings)
    compared = _Compared()
    partners = _partners(start, target) if split == "val" else {}
    way = f"{other_domain(to)}-{to}"
    with _counting(f"translate {way}", len(start)) as counted:
        taken.update(counted(_translate(model, to, start, target, partners, compared, settings.batch)))
    provenance = {"seed": None, **provenance}
    cards = [
        Card(
            metric=f"{name} {way}",
            protocol=protocol,
            value=score.value,
            spread=score.spread,
            num_generated=len(start),
            **_against(None if name == "IS" else target, split),
            **extraction.on_card(),
            quantisation=ROUNDED,
            **provenance,
        )
        for name, protocol, score in taken.found()
    ]
    trip = f"L1 {way}-{other_domain(to)}"
    cards.append(_pixel_card(trip, "round trip", compared.trips, "none", _against(start, split), provenance))
    for name, values in compared.pairs.items():
        against = _against(target, split)
        cards.append(_pixel_card(f"{name} {way}", "true pairs", values, ROUNDED, against, provenance))
    return cards


def _against(reference: ImageSet | None, split: str) -> dict[str, Any]:
    """The fields of cards that say what was compared with."""
    if reference is None:
        return {"num_reference": 0, "reference_split": None, "reference_hash": None}
    return {"num_reference": len(reference), "reference_split": split, "reference_hash": reference.content_hash}


def _pixel_card(
    metric: str,
    protocol: str,
    values: Sequence[float],
    quantisation: str,
    against: dict[str, Any],
    provenance: dict[str, Any],
) -> Card:
    """The card of a mean over images, each compared with one other."""
    levels = "-1 to 1" if metric.startswith("L1") else "0 to 1"
    return Card(
        metric=metric,
        protocol=f"{protocol}, levels from {levels}",
        value=float(np.mean(values)),
        spread=float(np.std(values)),
        num_generated=len(values),
        **against,
        extractor=None,
        extractor_hash=None,
        resize_rule=None,
        quantisation=quantisation,
        **provenance,
    )


@dataclass
class _Compared:
    """Scores of single images, gathered while they are translated."""

    trips: list[float] = field(default_factory=list)
    """L1 of round trips."""
    pairs: dict[str, list[float]] = field(default_factory=dict)
    """Scores of translations against their true partners, by name."""

    def add(self, name: str, values: Float[Tensor, " n"]) -> None:
        """Note a score of pairs."""
        self.pairs.setdefault(name, []).extend(values.tolist())


@torch.no_grad()
def _translate(
    model: Translator,
    to: Domain,
    start: ImageSet,
    target: ImageSet,
    partners: dict[int, int],
    compared: _Compared,
    batch: int,
) -> Iterator[Bytes]:
    """Translations, stored; on the way, round trips and true pairs are compared."""
    device = next(model.parameters()).device
    for first in range(0, len(start), batch):
        numbers = range(first, min(first + batch, len(start)))
        images = from_uint8(start.read(numbers).to(device))
        there = model.translate(images, to)
        back = model.translate(there, other_domain(to))  # not rounded in between
        compared.trips += (back - images).abs().mean((1, 2, 3)).tolist()
        stored = to_uint8(there)
        paired = [number for number in numbers if number in partners]
        if paired:
            truth = target.read([partners[number] for number in paired]).to(device)
            _compare_pairs(stored[[number - first for number in paired]], truth, compared)
        yield stored


def _compare_pairs(translated: Bytes, truth: Bytes, compared: _Compared) -> None:
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    ours, theirs = translated.float() / 255, truth.float() / 255
    compared.add("L1", 2 * (ours - theirs).abs().mean((1, 2, 3)))  # on the scale from -1 to 1, as round trips
    compared.add("PSNR", peak_signal_noise_ratio(ours, theirs, data_range=1.0, dim=(1, 2, 3), reduction="none"))
    similarity = structural_similarity_index_measure(ours, theirs, data_range=1.0, reduction="none")
    assert isinstance(similarity, Tensor), "no contrast and no full image are asked for"
    compared.add("SSIM", similarity.reshape(-1))  # of one image, torchmetrics gives no batch


def _partners(start: ImageSet, target: ImageSet) -> dict[int, int]:
    """Numbers of images whose names without their endings are the same."""
    numbers = {_stem(name): number for number, name in enumerate(target.names)}
    stems = enumerate(map(_stem, start.names))
    return {number: numbers[stem] for number, stem in stems if stem in numbers}


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


@torch.no_grad()
def _sample(model: Generator, latents: Float[Tensor, "n z"], batch: int, as_published: bool) -> Iterator[Bytes]:
    """Generated images, stored; of a conditional generator with the classes in turn."""
    device = next(model.parameters()).device
    labels = torch.arange(len(latents)) % len(model.classes) if model.classes else None
    for first in range(0, len(latents), batch):
        part = slice(first, first + batch)
        part_labels = None if labels is None else labels[part].to(device)
        images = model.generate(latents[part].to(device), part_labels, batch_statistics=as_published)
        yield truncate_to_uint8(images) if as_published else to_uint8(images)


def truncate_to_uint8(images: Images) -> Bytes:
    """The stored levels of both published codes: (x + 1)·255.99/2 without its fraction, darker by half a level."""
    return ((images.to(torch.float32) + 1) * (255.99 / 2)).clamp(0, 255.99).to(torch.uint8)


def _for_extractor(stored: Bytes) -> Bytes:
    """In three channels, as Inception takes them: gray three times, and what is transparent over white."""
    return stored if stored.shape[1] == 3 else to_uint8(to_colour(from_uint8(stored)))


def _read(images: ImageSet, batch: int) -> Iterator[Bytes]:
    for first in range(0, len(images), batch):
        yield images.read(range(first, min(first + batch, len(images))))


@contextmanager
def _counting(description: str, total: int) -> Iterator[Callable[[Iterable[Bytes]], Iterator[Bytes]]]:
    """Show how many images have gone by, once there are any."""
    with ProgressLine(description, total) as progress:
        yield partial(_count, progress)


def _count(progress: ProgressLine, batches: Iterable[Bytes]) -> Iterator[Bytes]:
    done = 0
    for images in batches:
        yield images
        done += len(images)
        progress.update(done)


def _provenance(run: Path) -> dict[str, Any]:
    """Fields that say which model and which packages."""
    with (run / run_folder.MODEL).open("rb") as file:
        model = hashlib.file_digest(file, "sha256").hexdigest()
    packages = {name: version(name) for name in ("torch-fidelity", "torchmetrics")}
    return {"model_hash": model, "versions": run_folder.versions() | packages}
