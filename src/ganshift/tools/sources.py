"""Which source model suits the user's images: distance, density, diversity, and a short trial of each.

Wang et al. 2018 found that the nearest source is not always the best, and that dense sources, of many images of few
kinds, do well. So a trial decides, and the rest is shown beside it. How often each of these criteria found the best
source was measured (`benchmarks/source_criteria.py`) and is in `ranking.json`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from statistics import linear_regression
from typing import Any

from ..data.datasets import ImageSet
from ..data.open import open_images
from ..errors import UserError, choose
from ..inference.generator import ImageGenerator
from ..inference.generator_scores import drawing, measure_generator
from ..inference.latents import draw_latents
from ..inference.names import bundled_models, find_model
from ..methods.registry import method_in, method_of, open_model
from ..metrics.measuring import EvaluationSettings, Extraction, provenance
from ..training import run_folder
from ..training.config import RunConfig, require
from ..training.log import opening_progress, quiet, say

GENERATED = 1_000
"""Images drawn from each source, before its trial and at every point of it."""
TRIAL_POINTS = 4
"""How often a trial is measured, evenly spaced."""
TRIAL_IMAGES = 6_400
"""Images shown in a trial, unless said otherwise."""
RANKING = Path(__file__).with_name("ranking.json")
"""How often each criterion found the best source, as measured."""
LOOKED_AT = 32
"""Side at which it is seen how many channels the user's images have."""


@dataclass(frozen=True, kw_only=True)
class RankedSource:
    """A source and what speaks for it."""

    source: str
    size: int
    """Side of its images."""
    channels: int
    kid: float
    """Of its images among the user's, before any training: its distance."""
    kid_error: float
    """Standard error of `kid`."""
    num_trained: int
    """Images it was trained on."""
    num_classes: int
    """1 without classes."""
    diversity: float
    """Root mean square distance of two of its images in features, over that of two of the user's."""
    trial: tuple[tuple[int, float], ...] = ()
    """Real images shown in the trial, and KID after them. Empty without a trial."""

    @property
    def density(self) -> float:
        """Images of each class it was trained on."""
        return self.num_trained / self.num_classes

    @property
    def slope(self) -> float | None:
        """Change of KID per 1000 images shown, of the straight line nearest to the trial; None without one."""
        return _line(self.trial)[0] * 1000 if self.trial else None

    @property
    def after_trial(self) -> float | None:
        """KID at the end of the trial by that line, which wavers less than the last point; None without one."""
        if not self.trial:
            return None
        slope, start = _line(self.trial)
        return start + slope * self.trial[-1][0]

    @property
    def rank_by(self) -> float:
        """What sources are ranked by, lowest first: KID after the trial, or before training where there is none."""
        return self.kid if self.after_trial is None else self.after_trial

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self) | {"density": self.density, "slope": self.slope, "after_trial": self.after_trial}


def rank_sources(
    data: str | Path,
    sources: Sequence[str] = (),
    *,
    out: Path = Path("runs/trials"),
    trial_images: int = TRIAL_IMAGES,
    num_images: int = GENERATED,
    preset: str = "small",
    seed: int = 0,
    device: str = "auto",
) -> tuple[list[RankedSource], dict[str, str]]:
    """Measure every source among the images of `data`, and after a short trial; best first, and why others are refused.

    `sources` are what --source can be; all that ship, if none are named. Each source sees the images at its own size
    and channels, as a run from it would. Trials are runs in `out` of the source's own method with the preset's settings
    without decay, so that the same call goes on where it was interrupted (then it raises `KeyboardInterrupt`), and so
    that the method's command could go on with them. With `trial_images` 0 there are none, and distance alone ranks.
    """
    require(trial_images >= 0, f"the images of a trial must be at least 0, got {trial_images}")
    bundled = [name for name, folder in bundled_models().items() if method_in(folder).takes_source]
    names = list(dict.fromkeys(sources or bundled))
    ranked: list[RankedSource] = []
    refused: dict[str, str] = {}
    opened: dict[str, tuple[Path, ImageGenerator]] = {}
    for name in names:
        try:
            folder = find_model(name)
            method = method_in(folder)
            require(method.takes_source, f"{folder} holds a {method.name} run, which no other run can start from")
            opened[name] = folder, open_model(name, device, "generator")
        except UserError as error:
            refused[name] = str(error)
    for folder, _ in opened.values():
        choose(preset, method_in(folder).presets, "preset")
    settings = EvaluationSettings(num_images=num_images, seed=seed, metrics=("kid",), view="whole", device=device)
    extraction = Extraction.open(settings)

    @cache
    def see(size: int, channels: int | None) -> ImageSet:
        """The images as a run would see them; of each kind they are read once."""
        with opening_progress() as progress:
            return open_images(Path(data), size, channels, progress=progress)

    natural = see(LOOKED_AT, None).channels  # what is wrong with the images themselves is said at once
    most = min(natural, max((model.channels for _, model in opened.values()), default=0))
    for name, (folder, model) in opened.items():
        try:
            require(
                model.channels >= most,
                "it draws in gray, and KID among gray images cannot be laid beside that among these, which are in "
                "colour",
            )
            images = see(model.size, None if model.channels == natural else model.channels)
            measured = _measure(name, folder, model, images, extraction)
            if trial_images:
                say(f"{name}: KID[{settings.extractor}] {measured.kid:.3f} before training; a trial begins")
                config = trial_config(name, Path(data), trial_folder(out, name), trial_images, preset, settings)
                measured = replace(measured, trial=_try(name, config))
        except UserError as error:
            refused[name] = str(error)
        else:
            ranked.append(measured)
    return sorted(ranked, key=lambda source: source.rank_by), refused


def trial_folder(out: Path, source: str) -> Path:
    """The run folder of a source's trial."""
    return out / re.sub(r"[^\w.-]+", "-", source).strip("-.")


def trial_config(
    source: str, data: Path, run: Path, trial_images: int, preset: str, settings: EvaluationSettings
) -> RunConfig:
    """The beginning of a run of the preset from this source, measured `TRIAL_POINTS` times."""
    method = method_in(find_model(source))
    given = {
        **method.steady,
        "preset": preset,
        "data": str(data),
        "source": source,
        "images": trial_images,
        "evaluate_every": max(1, trial_images // TRIAL_POINTS),
        "evaluate_images": settings.num_images,
        "evaluate_view": "whole",  # sources of different sizes are compared
        "best_by": "kid",
        "checkpoint_every": trial_images,
        "sample_every": trial_images,
        "seed": settings.seed,
        "device": settings.device,
    }
    return method.configure(given, run)


def reason(ranked: Sequence[RankedSource]) -> str:
    """Why the best source, the first, is the best, in a sentence."""
    best, *others = ranked
    what = f"KID after {best.trial[-1][0]:,} images shown" if best.trial else "KID before training"
    said = f"{best.source} has the lowest {what}: {best.rank_by:.3f}"
    if not others:
        return f"{said}; there is nothing to compare it with"
    said += f", against {others[0].rank_by:.3f} of {others[0].source}"
    nearest = min(ranked, key=lambda source: source.kid)
    if nearest is not best:
        said += f". {nearest.source} is nearer before training, but the trial went better with {best.source}"
    elif best.trial:
        said += ", and is the nearest before training too"
    return said


def reliability() -> Mapping[str, Any]:
    """How often each criterion found the best source, as measured: see the file's field `about`."""
    found: dict[str, Any] = json.loads(RANKING.read_text(encoding="utf-8"))
    return found


def _measure(name: str, folder: Path, model: ImageGenerator, images: ImageSet, extraction: Extraction) -> RankedSource:
    """What is known of a source before any training."""
    settings = extraction.settings
    settings.check_enough(settings.num_images, len(images))
    found = measure_generator(
        drawing(model, as_published=False),
        model.classes,
        draw_latents(settings.num_images, settings.seed, dim=model.latent_dim),
        images,
        "train",
        extraction,
        provenance(folder),
        as_published=False,
    )
    (record,) = found.records
    trained = run_folder.section(model.config, "data").get("images")
    if not isinstance(trained, int):
        raise UserError(f"{folder / run_folder.CONFIG} does not say how many images {name} was trained on")
    return RankedSource(
        source=name,
        size=model.size,
        channels=images.channels,
        kid=record.value,
        kid_error=record.standard_error,
        num_trained=trained,
        num_classes=max(1, len(model.classes)),
        diversity=found.diversity or 0.0,
    )


def _try(source: str, config: RunConfig) -> tuple[tuple[int, float], ...]:
    """Run the trial, or what is left of it, and return its points, also if the run went on after them."""
    with quiet():
        outcome = method_of(config).train(config)
    if outcome.stopped_by:
        raise KeyboardInterrupt
    path = config.out / run_folder.EVALUATIONS
    lines = run_folder.read_log(path)[:TRIAL_POINTS] if path.exists() else []
    if not lines:
        raise UserError(f"the trial in {config.out} could not be measured: there are too few images")
    points = tuple((line["images"], line["score"]["value"]) for line in lines)
    shown, value = points[-1]
    say(f"{source}: {value:.3f} after {shown:,} images")
    return points


def _line(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Slope and start of the straight line nearest to points; a single one stays where it is."""
    if len(points) == 1:
        return 0.0, points[0][1]
    line = linear_regression(*zip(*points, strict=True))
    return line.slope, line.intercept
