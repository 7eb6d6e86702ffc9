"""Tables of images in Parquet, as Hugging Face keeps data sets: a column of images, and one of labels."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from ..errors import UserError, first_line
from .folders import split_word
from .images import MAX_FILE_BYTES, UnreadableImage
from .storage import Listing, Storage

MAX_GROUP_BYTES = 1 << 30
"""Larger row groups are not read: for one image, its whole row group is decoded."""
_IMAGES = ("image", "img", "images", "picture", "jpg", "png", "bytes")
_LABELS = ("label", "labels", "fine_label", "target", "class")
_one_at_a_time = Lock()


class Tables(Storage):
    """Images of one or more files, under numbers as names, in a folder for each split."""

    def __init__(self, path: Path, files: Sequence[Path], listing: Listing | None = None, prefix: str = ""):
        self.files = files
        self._labels: dict[str, str] = {}
        super().__init__(path, listing, prefix)
        self.classes = self._labels or None

    def _list(self) -> Mapping[str, tuple[int, ...]]:
        """The number of the file, of the row group in it, and of the row in that."""
        spans: dict[str, tuple[int, ...]] = {}
        rows: Counter[str] = Counter()
        for file_number, file in enumerate(self.files):
            folder = split_word(file.stem)
            try:
                groups, labels = _look(file)
            except ImportError as error:
                raise UserError(f'{file} is a Parquet table; to read it, pip install "ganshift[parquet]"') from error
            except Exception as error:  # damaged bytes make pyarrow raise anything
                reason = first_line(error)[:200]
                raise UserError(f"{file} cannot be read as a table of images ({reason}); download it again") from error
            new = [(file_number, group, row) for group, num_rows in enumerate(groups) for row in range(num_rows)]
            names = [f"{folder}/{rows[folder] + row:08d}.png".lstrip("/") for row in range(len(new))]
            rows[folder] += len(new)
            spans.update(zip(names, new, strict=True))
            self._labels.update(zip(names, labels, strict=bool(labels)))
        if len(self._labels) < len(spans):
            self._labels.clear()
        return spans

    def num_bytes(self, name: str) -> int:
        """See `Storage`."""
        return len(self.read_bytes(name, MAX_FILE_BYTES))

    def read_bytes(self, name: str, limit: int) -> bytes:
        """See `Storage`."""
        file, group, row = self.span(name)
        with _one_at_a_time:
            found = _images_of(self.files[file], self.files[file].stat().st_mtime_ns, group)[row].as_py()
        content = found["bytes"] if isinstance(found, dict) else found
        if content is None:
            raise UnreadableImage("no picture in this row")
        return content[:limit]


def _look(file: Path) -> tuple[list[int], list[str]]:
    """How many rows each row group has; the label of each row, if any."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(file) as table:
        if table.metadata.num_rows > file.stat().st_size:
            raise ValueError(f"it claims to have {table.metadata.num_rows:,} rows")
        _image_column(table)
        rows = [table.metadata.row_group(number).num_rows for number in range(table.num_row_groups)]
        names = table.schema_arrow.names
        column = next((name for name in _LABELS if name in names), None)
        if column is None:
            return rows, []
        labels = table.read(columns=[column], use_threads=False).column(0).to_pylist()
        metadata = (table.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    features = json.loads(metadata).get("info", {}).get("features", {})
    words = features.get(column, {}).get("names")
    if not all(isinstance(label, int | str) for label in labels):
        return rows, []
    return rows, [
        words[label] if words and isinstance(label, int) and 0 <= label < len(words) else str(label) for label in labels
    ]


def _image_column(table: Any) -> str:
    """The first column that holds files: a struct with bytes, or bytes under a name that images have."""
    from pyarrow.types import is_binary, is_large_binary, is_struct

    for field in table.schema_arrow:
        kind = field.type
        if is_struct(kind) and kind.get_field_index("bytes") >= 0:
            kind = kind.field("bytes").type
        elif field.name not in _IMAGES:
            continue
        if is_binary(kind) or is_large_binary(kind):
            return field.name
    raise ValueError(f"no column of images among {', '.join(table.schema_arrow.names)}")


@lru_cache(maxsize=4)
def _images_of(file: Path, changed: int, number: int) -> Any:
    """The images of a row group of the file of this age; neighbours are mostly read one after the other."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(file) as table:
        if (size := table.metadata.row_group(number).total_byte_size) > MAX_GROUP_BYTES:
            raise UnreadableImage(f"its row group of {size:,} bytes is too large; write the table in smaller ones")
        return table.read_row_group(number, columns=[_image_column(table)], use_threads=False).column(0)
