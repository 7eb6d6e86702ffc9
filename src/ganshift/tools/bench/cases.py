"""The training runs that are measured: the published ones, on pictures that packages ship."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import ImageOps

from ...data.bundled import photographs
from ...methods.dual.config import PRESETS as DUAL_PRESETS
from ...methods.dual.config import DualConfig
from ...methods.dual.trainer import new_job as new_dual
from ...methods.transfer.config import PRESETS as TRANSFER_PRESETS
from ...methods.transfer.config import TransferConfig
from ...methods.transfer.trainer import new_job as new_transfer
from ...training.precision import begin_iteration, fast_arithmetic
from ...training.trainer import Job
from .method import Action

CLASSES = 10
FILES_PER_FOLDER = 8
FILE_SIZE = 320
BUDGET = 10**9
"""Far away, so that no schedule changes anything."""


@dataclass(frozen=True)
class Case:
    """One training run, as settings of its method, without evaluations; `quick` makes a small one of it."""

    method: str
    settings: dict[str, Any]
    quick: dict[str, Any]

    def config(self, folder: Path, quick: bool, **more: Any) -> TransferConfig | DualConfig:
        """The run on the pictures that `write_pictures` puts below a folder."""
        settings = {**self.settings, "evaluate_every": 0, **(self.quick if quick else {}), **more}
        if self.method == "transfer":
            return TransferConfig(**settings, data=folder / "classes", out=folder / "out")
        return DualConfig(**settings, data=folder / "domains", out=folder / "out")


_NARROW = {"generator_width": 8, "critic_width": 8}
CASES = {
    "transfer32": Case(
        "transfer",
        TRANSFER_PRESETS["cifar10"] | {"as_published": True},
        {**_NARROW, "batch": 8},
    ),
    "transfer64": Case(
        "transfer",
        TRANSFER_PRESETS["authors64"] | {"conditioning": "acgan", "as_published": True},
        {**_NARROW, "batch": 2},
    ),
    "dual256": Case("dual", DUAL_PRESETS["sketch-photo"] | {"as_published": True, "ema_images": 0}, _NARROW),
}
"""As published: 32 px, width 128, batch 64, the penalty counted twice; 64 px, width 64, batch 16; 256 px, batch 1."""


def write_pictures(folder: Path) -> None:
    """Crops of photographs as JPEG files: in `classes`, one folder a class; in `domains`, the domains A and B."""
    pictures = list(photographs().values())
    folders = [folder / "classes" / f"{label}" for label in range(CLASSES)]
    folders += [folder / "domains" / "train" / domain for domain in "AB"]
    for number, place in enumerate(folders):
        place.mkdir(parents=True)
        for index in range(FILES_PER_FOLDER):
            picture = pictures[(number + index) % len(pictures)]
            across = index / (FILES_PER_FOLDER - 1)
            crop = ImageOps.fit(picture, (FILE_SIZE, FILE_SIZE), centering=(across, across))
            crop.save(place / f"{index}.jpg", quality=90)


def new_job(config: TransferConfig | DualConfig) -> Job:
    """What the loop would be given."""
    return new_transfer(config) if isinstance(config, TransferConfig) else new_dual(config)


def iteration(job: Job, fast: bool = False) -> Action:
    """One iteration of a run on a batch of its own, as it is in the middle of the run; waits for its terms."""
    batch = next(job.batches(0))

    def once() -> None:
        with fast_arithmetic(job.device, fast):
            begin_iteration(job.device, fast)
            for term in job.iterate(batch, job.images_per_iteration, BUDGET).values():
                term.item()

    return once
