"""How fast each preset of each method trains on this machine: iterations on photographs that packages ship."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import ImageOps

from ..data.bundled import photographs
from ..errors import UserError, nearest
from ..methods.method import Method
from ..methods.registry import methods, throughput_of
from ..training.device import choose_device
from ..training.log import say

CLASSES = 10
FILES_PER_FOLDER = 8
FILE_SIZE = 320
SECONDS = 5.0
"""How long each preset is timed, after an iteration to warm up."""
Row = dict[str, Any]
"""Named figures of one preset, as JSON values; units are in the names."""


def bench(only: Sequence[str] = (), quick: bool = False, device: str = "cpu", fast: bool = False) -> list[Row]:
    """Time the presets of all methods, or those named as METHOD or METHOD/PRESET; `quick` times one iteration of each.

    The images are crops of photographs as JPEG files, in classes for methods of one set of images and as two domains
    for the others. Presets that differ only in name are timed once. Raises a `UserError` for a name of none.
    """
    choose_device(device)
    chosen = list(_chosen(only))
    rows = []
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_pictures(folder)
        for number, (method, names, settings) in enumerate(chosen, start=1):
            what = f"{method.name}/{', '.join(names)}"
            say(f"timing {what} ({number} of {len(chosen)})")  # a bar would take time from what is measured
            data = folder / ("classes" if method.domains == 1 else "domains")
            where: dict[str, Any] = {"data": data, "out": folder / "out", "device": device, "fast": fast}
            config = method.config(**settings, **where)
            found = throughput_of(config, 0 if quick else SECONDS)
            per_iteration = config.images_per_iteration
            rows.append(
                {
                    "what": what,
                    "seconds per iteration": round(found.seconds * per_iteration / found.images, 4),
                    "images per iteration": per_iteration,
                    "images per second": round(found.images_per_second, 2),
                    "iterations timed": found.images // per_iteration,
                }
            )
    return rows


def write_pictures(folder: Path) -> None:
    """Crops of photographs as JPEG files: in `classes`, one folder per class; in `domains`, the domains A and B."""
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


def _chosen(only: Sequence[str]) -> Iterator[tuple[Method, list[str], dict[str, Any]]]:
    """Each method with the names of presets that have the same settings, and these settings."""
    known = [f"{method.name}/{preset}" for method in methods().values() for preset in method.presets]
    for name in only:
        if name not in known and name not in methods():
            hint = nearest(name, [*known, *methods()]) or f"there are {', '.join(known)}"
            raise UserError(f"there is no preset {name!r}: {hint}")
    for method in methods().values():
        same: dict[str, list[str]] = {}
        for preset, settings in method.presets.items():
            if not only or method.name in only or f"{method.name}/{preset}" in only:
                same.setdefault(repr(settings), []).append(preset)
        for names in same.values():
            yield method, names, dict(method.presets[names[0]])
