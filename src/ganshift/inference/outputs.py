"""Where results are written, decided in one place: nothing that is written takes the place of a file that is read."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..data.images import UnreadableImage
from ..errors import UserError
from .input_files import InputFile
from .picture_files import STILL_FORMATS
from .video import ANIMATED_FORMATS, VIDEO_SUFFIXES, is_video

VIDEO_ENDING, PICTURE_ENDING = ".mp4", ".png"
ANIMATED_ENDINGS = frozenset(ANIMATED_FORMATS.values())
Identity = tuple[int, int]
"""What two names of one file have in common, through links of both kinds: a device and a number on it."""


class Outputs:
    """The files that the translations of `sources` become, by their numbers.

    They have the same relative names below the folders `kinds` of `out`; no kind is `out` itself. An `out` that is
    named like a picture or a video, and is no folder, is the one file that one source becomes. Raises a `UserError` if
    two results would have one name, and if one would replace, or come to lie among, what is read. With `overwrite`, a
    file may be replaced by its own translation, but never by that of another. `others` are read in the same command.
    """

    def __init__(
        self,
        sources: Sequence[InputFile],
        out: Path,
        kinds: Sequence[str] = ("",),
        overwrite: bool = False,
        others: Sequence[InputFile] = (),
    ):
        self.sources, self.kinds = sources, tuple(kinds)
        self._out, self._overwrite = out, overwrite
        names_a_file = out.suffix.lower() in {*STILL_FORMATS, *ANIMATED_ENDINGS, *VIDEO_SUFFIXES}
        self.is_file = names_a_file and not out.is_dir()
        self._names = _names(sources)
        self._read = {found: source for source in (*others, *sources) if (found := _identity(source.path))}
        if self.is_file:
            self._refuse_unfit_file()
        elif out.is_file():
            raise UserError(f"--out {out} is a file: name a folder, or for one picture a name that ends in .png")
        elif not overwrite:
            self._refuse_folders_that_are_read((*others, *sources))
        seen: dict[Path, int] = {}
        for number, source in enumerate(sources):
            places = [self._place(number, _ending(source), kind) for kind in self.kinds]
            if (other := seen.setdefault(places[0], number)) != number:
                both = f"{source.where} and {sources[other].where}"
                raise UserError(f"{both} would write one file: translate them into two --out")
            for place in places:
                self._refuse_replacing(number, place)

    def path(self, number: int, ending: str, kind: str = "") -> Path:
        """Where this result is written; `UnreadableImage` says why it is not."""
        source = self.sources[number]
        if PurePosixPath(source.name).is_absolute() or ".." in PurePosixPath(source.name).parts:  # of a zip
            raise UnreadableImage("its name leads out of the folder to write to")
        path = self._place(number, ending, kind)
        if self.is_file and path.suffix.lower() != ending:
            raise UnreadableImage(f"its translation is a {ending}, so that {path.name} would have to end so")
        try:
            self._refuse_replacing(number, path)
        except UserError as error:
            raise UnreadableImage(str(error)) from None
        return path

    def exist(self, number: int) -> bool:
        """Whether all results of a source are there; each was written whole or not at all."""
        source = self.sources[number]
        own = PurePosixPath(source.name).suffix.lower()
        endings = {_ending(source), own} if own in ANIMATED_ENDINGS else {_ending(source)}  # which, the file knows
        return all(
            any(os.path.isfile(self._place(number, ending, kind)) for ending in endings)  # noqa: PTH113 - never raises
            for kind in self.kinds
        )

    def picture_ending(self) -> str:
        """The ending of a picture's result, which says its format."""
        ending = self._out.suffix.lower()
        return ending if self.is_file and ending in STILL_FORMATS else PICTURE_ENDING

    def _place(self, number: int, ending: str, kind: str) -> Path:
        if self.is_file:
            return self._out
        name = self._names[number]
        has_ending = name == self.sources[number].name and name.endswith(ending)
        return self._out / kind / (name if has_ending else name + ending)

    def _refuse_unfit_file(self) -> None:
        count, out = len(self.sources), self._out
        if count != 1 or self.kinds != ("",):
            raise UserError(f"--out {out} names one file, but more are to be written: name a folder")
        if is_video(self.sources[0].name) != (out.suffix.lower() in VIDEO_SUFFIXES) or (
            is_video(out.name) and out.suffix.lower() != VIDEO_ENDING
        ):
            ending = _ending(self.sources[0])
            raise UserError(f"--out {out} does not fit {self.sources[0].where}: name it {out.with_suffix(ending)}")

    def _refuse_folders_that_are_read(self, read: Sequence[InputFile]) -> None:
        for root in {source.root for source in read if source.root is not None}:
            if _identity(root) in [_identity(self._out / kind) for kind in self.kinds]:
                raise UserError(
                    f"--out {self._out} would put translations among the originals in {root}: name another folder, or "
                    "--overwrite"
                )

    def _refuse_replacing(self, number: int, path: Path) -> None:
        found = _identity(path)
        other = None if found is None else self._read.get(found)
        if other is None or (self._overwrite and other is self.sources[number]):
            return
        own = "; --overwrite replaces it by its translation" if other is self.sources[number] else ""
        raise UserError(f"--out {self._out} would replace {other.where}, which is read: name another{own}")


def refuse_among_pictures(out: Path, read: Sequence[Path | None]) -> None:
    """Raise if the folder `out` is one of the folders of pictures that are read, or lies in one.

    The pictures that are written there would be read next time.
    """
    for folder in read:
        if folder is not None and folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"--out {out} lies among the pictures in {folder}, which are read: name a folder elsewhere")


def _names(sources: Sequence[InputFile]) -> list[str]:
    """Names without their ending, or with it where two differ in nothing else."""
    short = [PurePosixPath(source.name).with_suffix("").as_posix() for source in sources]
    counts = Counter(short)
    return [source.name if counts[name] > 1 else name for source, name in zip(sources, short, strict=True)]


def _ending(source: InputFile) -> str:
    """The usual ending of its result; an animation, which only its content tells from a picture, keeps its own."""
    return VIDEO_ENDING if is_video(source.name) else PICTURE_ENDING


def _identity(path: Path) -> Identity | None:
    try:
        status = path.stat()
    except (OSError, ValueError):  # it is not there, or no file can have this name
        return None
    return status.st_dev, status.st_ino
