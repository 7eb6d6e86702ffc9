"""What the ending of a name says: an image, or something else that is counted and, where we know it, called by name."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from posixpath import basename, splitext

from .images import SUFFIXES
from .storage import Storage

logger = logging.getLogger("ganshift")

DATASET_JSON = "dataset.json"
"""Where StyleGAN's `dataset_tool` writes the classes; it is read, so it is not counted as passed over."""
_SUFFIXES = tuple(SUFFIXES)
SHOWN_ENDINGS = 20
"""So many endings of files that are passed over are named."""
_TABLE = "export its images as files, or as one .npz"
_CAMERA = "a camera's raw file; develop it to JPEG or TIFF, for example with darktable or rawpy"
_FOREIGN = {
    ".7z": "a 7-Zip archive; unpack it with 7z x",
    ".rar": "a RAR archive; unpack it with unrar x",
    ".zst": "packed by Zstandard; unpack it with zstd -d",
    ".bz2": "packed by bzip2; unpack it with bunzip2",
    ".xz": "packed by XZ; unpack it with unxz",
    ".gz": "packed by gzip; unpack it with gunzip",
    ".mdb": "an LMDB database; export its images as files (LSUN: data.py export)",
    ".tfrecord": "TensorFlow's records; write their images as files with tf.data.TFRecordDataset",
    ".tfrecords": "TensorFlow's records; write their images as files with tf.data.TFRecordDataset",
    ".mat": "a MATLAB file; load it with scipy.io.loadmat and save its images with numpy.savez",
    ".h5": f"an HDF5 file; open it with h5py and {_TABLE}",
    ".hdf5": f"an HDF5 file; open it with h5py and {_TABLE}",
    ".arrow": "an Arrow table; load it with datasets.load_from_disk and save it with to_parquet",
    ".csv": f"a table; {_TABLE}",
    ".pkl": f"a Python pickle, which can run programs and is never opened; {_TABLE}",
    ".pickle": f"a Python pickle, which can run programs and is never opened; {_TABLE}",
    ".pt": f"a file of PyTorch; {_TABLE}",
    ".pth": f"a file of PyTorch; {_TABLE}",
    ".dcm": "a DICOM file; convert it to 16-bit PNG or TIFF, for example with dcm2pnm or pydicom",
    ".nii": "a NIfTI volume; write its slices as 16-bit PNG or TIFF, for example with nibabel",
    ".jp2": "a JPEG 2000 picture; convert it to PNG with opj_decompress",
    ".jxl": "a JPEG XL picture; convert it to PNG with djxl",
    ".exr": "an OpenEXR picture; convert it to float TIFF",
    ".svg": "a vector drawing; convert it to PNG",
    ".psd": "a Photoshop document; export it as PNG",
    ".tga": "a Targa picture; convert it to PNG",
    ".pdf": "a PDF document; write its pages as PNG with pdftoppm -png",
    **dict.fromkeys((".npz", ".npy", ".parquet", ".tar", ".tgz", ".zip"), "read alone; give that file itself"),
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2", ".orf"), _CAMERA),
    **dict.fromkeys((".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm"), "a video; write its frames as PNG with ffmpeg"),
}


def ending_of(name: str) -> str:
    """The ending in lower case; what an address of the web has behind a question mark is no part of it."""
    ending = splitext(name)[1].lower()
    if "?" in name and ending not in SUFFIXES:
        ending = splitext(name.partition("?")[0])[1].lower()
    return ending.rstrip(".")


def is_image(name: str) -> bool:
    """Whether the ending of the name is that of an image."""
    return name.lower().endswith(_SUFFIXES) or ("?" in name and ending_of(name) in SUFFIXES)


def passed_over(names: Iterable[str], is_taken: Callable[[str], bool] = is_image) -> Counter[str]:
    """How many files of which ending are not taken."""
    others = (name for name in names if not is_taken(name) and basename(name) != DATASET_JSON)
    return Counter(ending_of(name) or "no ending" for name in others)


def say_passed_over(
    where: str, names: Sequence[str], is_taken: Callable[[str], bool] = is_image, what: str = "pictures"
) -> None:
    """Warn of them in one line, if there are any."""
    if others := passed_over(names, is_taken):
        logger.warning(
            "skipped %d of %d files in %s that are not %s by their endings: %s",
            *(others.total(), len(names), where, what, shown(others)),
        )


def shown(endings: Counter[str]) -> str:
    """The most frequent endings with their numbers."""
    most = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(SHOWN_ENDINGS))
    return most + ", ..." * (len(endings) > SHOWN_ENDINGS)


def mix_of(names: Iterable[str]) -> str:
    """The endings of images with their numbers, in brackets, if there are several."""
    endings = Counter(map(ending_of, names))
    return f" ({shown(endings)})" if len(endings) > 1 else ""


def what_it_is(name: str) -> str:
    """What a file of this ending is and how to unpack it, as "an archive; unpack it with ..."; nothing if unknown."""
    return _FOREIGN.get(ending_of(name).partition("-")[0], "")  # x.tfrecord-00000-of-00010


def nothing_found(place: Storage) -> str:
    """The message for a place without a single image file."""
    known = " ".join(sorted(SUFFIXES))
    if not place.names:
        return f"{place.where} is empty; put images there ({known})"
    others = passed_over(place.names)
    found = f"{place.where} holds no images, only {len(place.names)} other files ({shown(others)})"
    for ending, _ in others.most_common():
        if what := what_it_is(f"x{ending}"):
            return f"{found}: {ending} is {what}"
    return f"{found}; put images there ({known})"
