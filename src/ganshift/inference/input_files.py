"""Which files are translated: pictures, animations and videos, by name, in folders, in zips or by a glob."""

import itertools
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from ..data.containers import CONTAINER, open_storage
from ..data.endings import is_image, nothing_found, say_passed_over, what_it_is
from ..data.images import UnreadableImage
from ..data.storage import Folder, Storage, is_hidden
from ..errors import UserError, first_line
from ..files import on_disk
from .video import is_video

logger = logging.getLogger("ganshift")


@dataclass(frozen=True)
class InputFile:
    """One file to translate."""

    where: str
    """Its name for messages."""
    name: str
    """Its relative name, with forward slashes."""
    path: Path
    """The file that is opened for it: of a zip, the zip itself."""
    root: Path | None = None
    """The folder that was given and it was found in, if one was."""
    read: Callable[[], bytes] | None = None
    """How to read what is no file of its own."""

    def content(self) -> Path | bytes:
        """Its file, or what it holds where it has none."""
        return self.path if self.read is None else self.read()


def find_input_files(images: Sequence[Path], out: Path) -> list[InputFile]:
    """All files that these names, folders, zips and globs stand for; a `UserError` if there are none.

    Of several, one that holds none, such as a damaged zip, is a file that cannot be read.
    Where `out` lies in a folder, it holds results of earlier runs: those are not read.
    """
    found: list[InputFile] = []
    for path in images:
        try:
            found += _find(path, out)
        except UserError as error:
            if len(images) == 1 or not path.exists():  # a misspelt name is said before work begins
                raise
            found.append(InputFile(str(path), path.name, path, read=partial(_refuse, str(error))))
    if not found:
        raise UserError("name at least one image, or a folder or zip of images")
    return found


def files_of(place: Storage, out: Path) -> list[InputFile]:
    """The same of one folder or zip; how many files are passed over for their endings is said."""
    names = [name for name in place.names if _is_translatable(name)]
    say_passed_over(place.where, place.names, _is_translatable, "pictures or videos")
    if not names:
        raise UserError(nothing_found(place))
    if not isinstance(place, Folder):
        return [InputFile(f"{place.where}/{name}", name, place.path, read=partial(place.read, name)) for name in names]
    root = place.on_disk("")
    found = [InputFile(f"{place.where}/{name}", name, place.on_disk(name), root) for name in names]
    return _without_results(found, root, out)


def _find(path: Path, out: Path) -> Iterable[InputFile]:
    path = on_disk(path)
    if path.is_file() and not CONTAINER.search(path.name):
        reason = "" if _is_translatable(path.name) else what_it_is(path.name)
        return [InputFile(str(path), path.name, path, read=partial(_refuse, reason) if reason else None)]
    if not path.exists() and _has_wildcard(str(path)):
        return _matching(path, out)
    return files_of(open_storage(path), out)


def _matching(pattern: Path, out: Path) -> list[InputFile]:
    """Files that match a glob, named from its first wildcard on."""
    fixed = Path(*itertools.takewhile(lambda part: not _has_wildcard(part), pattern.parts))
    try:
        matching = sorted(fixed.glob(str(pattern.relative_to(fixed))))
    except (OSError, ValueError, NotImplementedError) as error:
        raise UserError(f"{pattern} is not a valid pattern ({first_line(error)})") from None
    inner = {
        path.relative_to(fixed).as_posix(): path
        for path in matching
        if path.is_file() and not any(map(is_hidden, path.relative_to(fixed).parts[:-1]))
    }
    say_passed_over(str(pattern), list(inner), _is_translatable, "pictures or videos")
    found = {name: path for name, path in inner.items() if _is_translatable(name)}
    if not found:
        raise UserError(f"no image matches {pattern}")
    files = [InputFile(str(path), name, path) for name, path in found.items()]
    return _without_results(files, fixed, out)


def _without_results(found: list[InputFile], root: Path, out: Path) -> list[InputFile]:
    """The files that do not lie in `out`, unless all do."""
    target, real = out.resolve(), cache(Path.resolve)  # a folder has many files
    if root.resolve().is_relative_to(target):
        return found
    others = [source for source in found if not real(source.path.parent).is_relative_to(target)]
    if not others:
        raise UserError(f"all images in {root} lie in {out}, where results are written")
    if len(others) < len(found):
        logger.warning("skipped %d files in %s: results of earlier runs", len(found) - len(others), out)
    return others


def _refuse(reason: str) -> bytes:
    raise UnreadableImage(reason)


def _has_wildcard(text: str) -> bool:
    return any(character in text for character in "*?[")


def _is_translatable(name: str) -> bool:
    return is_image(name) or is_video(name)
