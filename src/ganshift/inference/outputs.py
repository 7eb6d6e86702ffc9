"""Where results are written, decided in one place: nothing that is written takes the place of a file that is read."""

import os
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path, PurePosixPath

from ..data.images import UnreadableImage
from ..errors import UserError
from .input_files import InputFile
from .picture_files import STILL_ENDINGS
from .video import ANIMATED_FORMATS, VIDEO_SUFFIXES, is_video

VIDEO_ENDING, PICTURE_ENDING = ".mp4", ".png"
FILE_ENDINGS = frozenset({*STILL_ENDINGS, *ANIMATED_FORMATS.values(), *VIDEO_SUFFIXES})
"""An `out` that ends so is a file."""


class Outputs:
    """The files that the translations of `sources` become, by their numbers.

    They have the same relative names below the folders `kinds` of `out`; no kind is `out` itself. An `out` that is
    named like a picture or a video, and is no folder, is the one file that one source becomes. Raises a `UserError` if
    two results would have one name, and if one would replace, or come to lie among, what is read. With `overwrite`, a
    file may be replaced by its own translation, but never by that of another. All
    files that the command reads are in `read`; results of pictures have one of `picture_endings`.
    """

    def __init__(
        self,
        sources: Sequence[InputFile],
        out: Path,
        kinds: Sequence[str],
        overwrite: bool,
        read: Sequence[InputFile],
        picture_endings: Sequence[str] = (PICTURE_ENDING,),
    ):
        self.sources, self.kinds = sources, tuple(kinds)
        self._out, self._overwrite, self._picture_endings = out, overwrite, picture_endings
        self._is_file = out.suffix.lower() in FILE_ENDINGS and not out.is_dir()
        short = [PurePosixPath(source.name).with_suffix("").as_posix() for source in sources]
        counts = Counter(short)  # names keep their ending where two differ in nothing else
        self._names = [source.name if counts[name] > 1 else name for source, name in zip(sources, short, strict=True)]
        self._read = {found: source for source in read if (found := _identity(source.path))}
        if self._is_file and (len(sources) != 1 or self.kinds != ("",)):
            raise UserError(f"--out {out} names one file, but more are to be written: name a folder")
        if out.is_file() and not self._is_file:
            raise UserError(f"--out {out} is a file: name a folder, or for one picture a name that ends in .png")
        roots = {source.root for source in read if source.root is not None}
        written = [_identity(out / kind) for kind in self.kinds]
        if among := [root for root in roots if _identity(root) in written and not overwrite]:
            raise UserError(
                f"--out {out} would put translations among the originals in {among[0]}: name another folder, or "
                "--overwrite"
            )
        self._usual = seen = dict[Path, int]()
        for number, source in enumerate(sources):
            usual = self._place(number, self._endings(source)[0], self.kinds[0])
            if (other := seen.setdefault(usual, number)) != number:
                both = f"{source.where} and {sources[other].where}"
                raise UserError(f"{both} would write the same file: translate them into different --out folders")
            for ending, kind in product(self._endings(source), self.kinds):
                self._refuse_replacing(number, self._place(number, ending, kind))

    def path(self, number: int, ending: str, kind: str, page: int = 1) -> Path:
        """Where this result is written; `UnreadableImage` if `out` names a file of another ending.

        Pages after the first get their number into the name.
        """
        path = self._place(number, ending, kind)
        if page > 1:
            path = path.with_name(f"{path.stem}-page{page}{path.suffix}")
            if path in self._usual:
                raise UnreadableImage(f"its page {page} and another file would both be written as {path.name}")
            self._refuse_replacing(number, path)
        if self._is_file and path.suffix.lower() != ending:
            raise UnreadableImage(f"its translation is a {ending}, so that {path.name} would have to end so")
        return path

    def exist(self, number: int) -> bool:
        """Whether all results of a source are there; each was written whole or not at all."""
        endings = self._endings(self.sources[number])
        return all(
            any(os.path.isfile(self._place(number, ending, kind)) for ending in endings)  # noqa: PTH113 - never raises
            for kind in self.kinds
        )

    @property
    def picture_ending(self) -> str | None:
        """The ending of a picture's result, which says its format; None if any will do."""
        ending = self._out.suffix.lower()
        return ending if self._is_file and ending in STILL_ENDINGS else None

    def _place(self, number: int, ending: str, kind: str) -> Path:
        if self._is_file:
            return self._out
        name = self._names[number]
        has_ending = name == self.sources[number].name and name.endswith(ending)
        return self._out / kind / (name if has_ending else name + ending)

    def _endings(self, source: InputFile) -> list[str]:
        """The usual endings of its results, and that of an animation, which only its content tells from a picture."""
        own = PurePosixPath(source.name).suffix.lower()
        usual = [VIDEO_ENDING] if is_video(source.name) else [*self._picture_endings]
        return [*usual, own] if own in ANIMATED_FORMATS.values() and own not in usual else usual

    def _refuse_replacing(self, number: int, path: Path) -> None:
        found = _identity(path)
        other = None if found is None else self._read.get(found)
        if other is None or (self._overwrite and other is self.sources[number]):
            return
        own = "; --overwrite replaces it with its translation" if other is self.sources[number] else ""
        raise UserError(f"--out {self._out} would replace the input {other.where}: name another{own}")


def refuse_among_pictures(out: Path, read: Sequence[Path | None]) -> None:
    """Raise if the folder `out` is one of the folders of pictures that are read, or lies in one.

    The pictures that are written there would be read next time.
    """
    for folder in read:
        if folder is not None and folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"--out {out} lies among the input pictures in {folder}: name a folder elsewhere")


def _identity(path: Path) -> tuple[int, int] | None:
    """What all names of a file have in common, through links of both kinds: a device and a number on it."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # it is not there, or no file can have this name
        return None
    return status.st_dev, status.st_ino
