"""Images in arrays: NumPy's .npy and .npz, and MNIST's idx files; each image becomes a small file when it is read.

Nothing pickled is ever loaded. What an archive unpacks to is bounded before it is unpacked.
"""

import gzip
import io
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from ..errors import UserError, first_line
from .endings import logger
from .folders import split_word
from .images import MAX_FILE_BYTES
from .storage import Storage

ArraySet = tuple[np.ndarray, np.ndarray | None]
"""Images, n h w or n h w c, and a label of each."""
MAX_RATIO = 64
"""Files that unpack to more times their size, and to more than `MAX_FILE_BYTES`, are refused."""
IDX = re.compile(r"idx\d-ubyte(\.gz)?$")
"""How the names of MNIST's files end."""
_LABELS = frozenset({"label", "labels", "y", "target", "targets", "class", "classes"})
_KEPT = ("uint8", "uint16", "int16", "float32")  # other numbers become float32


class Arrays(Storage):
    """Images under numbers as names, in a folder for each split. PNM where that can be, else TIFF."""

    def __init__(self, path: Path, load: Callable[[], Mapping[str, np.ndarray]]):
        self._load = load
        self._loaded: dict[str, ArraySet] | None = None
        super().__init__(path)
        self.classes = {
            name: str(labels[int(Path(name).stem)])
            for name in self.names
            if (labels := self._sets()[name.rpartition("/")[0]][1]) is not None
        } or None

    def _list(self) -> Mapping[str, tuple[int, ...]]:
        names = []
        for folder, (images, _) in self._sets().items():
            ending = _ending(images[0])
            names += [f"{folder}/{index:07d}{ending}".lstrip("/") for index in range(len(images))]
        return dict.fromkeys(names, ())

    def num_bytes(self, name: str) -> int:
        """See `Storage`."""
        return len(self.read_bytes(name, MAX_FILE_BYTES))

    def read_bytes(self, name: str, limit: int) -> bytes:
        """See `Storage`."""
        folder, _, file = f"{self.prefix}{name}".rpartition("/")
        return _as_file(self._sets()[folder][0][int(Path(file).stem)])[:limit]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None}

    def _sets(self) -> dict[str, ArraySet]:
        if self._loaded is None:
            try:
                self._loaded = _find_sets(self._load())
            except Exception as error:  # damaged bytes make NumPy raise anything
                raise UserError(f"{self.path} cannot be read as images ({first_line(error)}); save it again") from error
        return self._loaded


def load_npy(path: Path) -> dict[str, np.ndarray]:
    """The array, left on disk."""
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    is_one = found.ndim == 3 and found.shape[2] in (3, 4)  # h w c
    return {"images": found[None] if is_one else found}


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays by their names, but those of Python objects."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    _check_unpacked(path, sum(member.file_size for member in members))
    arrays = {}
    with np.load(path, allow_pickle=False) as found:
        for key in found.files:
            try:
                arrays[key] = found[key]
            except ValueError as error:
                logger.warning("%s: %s is set aside (%s)", path, key, first_line(error))
    return arrays


def load_idx(paths: Sequence[Path]) -> dict[str, np.ndarray]:
    """The array of each file, by the name of the file."""
    return {path.name: _read_idx(path) for path in paths}


def idx_files(path: Path) -> list[Path]:
    """A file of MNIST's with its labels beside it, or all of a folder."""
    if path.is_dir():
        return sorted(file for file in path.iterdir() if IDX.search(file.name))
    labels = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    return [path, labels] if labels != path and labels.is_file() else [path]


def _read_idx(path: Path) -> np.ndarray:
    """Two zeros, 8 for bytes, the number of sides, the sides in four bytes each, the values."""
    limit = max(MAX_FILE_BYTES, MAX_RATIO * path.stat().st_size)
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        found = file.read(limit + 1)
    _check_unpacked(path, len(found))
    if found[:3] != b"\0\0\x08":
        raise ValueError(f"{path.name} is no idx file of bytes")
    begin = 4 + 4 * found[3]
    shape = np.frombuffer(found[4:begin], ">u4").tolist()
    if len(found) != begin + prod(shape):
        raise ValueError(f"{path.name} has {len(found) - begin:,} values, not those of the shape {shape}")
    return np.frombuffer(found, np.uint8, offset=begin).reshape(shape)


def _check_unpacked(path: Path, num_bytes: int) -> None:
    if num_bytes > max(MAX_FILE_BYTES, MAX_RATIO * path.stat().st_size):
        raise ValueError(f"{path.name} unpacks to more than {MAX_RATIO} times its size")


def _find_sets(arrays: Mapping[str, np.ndarray]) -> dict[str, ArraySet]:
    """The arrays of images with those of their labels, by the split that their names say."""
    folders: dict[str, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        folders.setdefault(split_word(key), {})[key] = array
    sets = {}
    for folder, found in folders.items():
        images = {key: _as_images(array) for key, array in found.items() if array.ndim in (3, 4)}
        if len(images) > 1:
            raise ValueError(f"{', '.join(images)} are all images; give a file, or a folder, with one of them")
        for array in images.values():
            sets[folder] = (array, _find_labels(found, len(array)))
    if not sets:
        shapes = ", ".join(f"{key}: {array.dtype} {list(array.shape)}" for key, array in arrays.items())
        raise ValueError(f"no array of images, n h w or n h w c, among {shapes[:200] or 'none'}")
    return sets


def _as_images(array: np.ndarray) -> np.ndarray:
    """The same as n h w c, or n h w; n c h w is taken for what it is where c is 1, 3 or 4 and the last side is not."""
    if array.dtype.kind not in "buif" or 0 in array.shape:
        raise ValueError(f"images cannot be {array.dtype} values of shape {list(array.shape)}")
    if array.ndim == 4 and array.shape[3] not in (1, 3, 4) and array.shape[1] in (1, 3, 4):
        return array.transpose(0, 2, 3, 1)
    return array


def _find_labels(arrays: Mapping[str, np.ndarray], count: int) -> np.ndarray | None:
    """The array that is named as labels are and has a whole number, or a word, for each of so many images."""
    for key, array in arrays.items():
        if array.ndim < 3 and (_LABELS.intersection(_words(key)) or key == "arr_1"):
            if array.size == len(array) == count and array.dtype.kind in "buiU":
                return array.reshape(count)
            logger.warning(
                "%s is ignored: %s of shape %s is not one label per picture", key, array.dtype, list(array.shape)
            )
    return None


def _words(key: str) -> list[str]:
    """x_train and trainX are train and x."""
    return re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower())


def _ending(image: np.ndarray) -> str:
    """Of the file that `_as_file` makes."""
    if image.dtype not in (np.uint8, np.bool_):
        return ".tif"
    channels = 1 if image.ndim == 2 else image.shape[2]
    return {1: ".pgm", 3: ".ppm"}.get(channels, ".tif")


def _as_file(image: np.ndarray) -> bytes:
    """The same bytes on every machine, since the hash of a set is made of them."""
    ending = _ending(image)
    if image.dtype == np.bool_:
        image = image * np.uint8(255)
    if ending != ".tif":
        return f"P{5 if ending == '.pgm' else 6} {image.shape[1]} {image.shape[0]} 255\n".encode() + image.tobytes()
    image = np.ascontiguousarray(image if image.dtype in _KEPT else image.astype(np.float32))
    colour = image.ndim == 3 and image.shape[2] in (3, 4)
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image,
        photometric="rgb" if colour else "minisblack",
        planarconfig="contig" if image.ndim == 3 and image.shape[2] > 1 else None,
        extrasamples=["unassalpha"] if colour and image.shape[2] == 4 else None,
        metadata=None,
        software=False,
    )
    return buffer.getvalue()
