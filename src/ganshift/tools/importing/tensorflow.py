"""TensorFlow checkpoints as arrays, without the state of the optimisers. The only file that needs TensorFlow."""

import glob
import math
import os
import re
from pathlib import Path

import numpy as np

from ...errors import UserError, first_line
from ...files import read_text

OPTIMIZER_STATE = re.compile(r"/(Adam|RMSProp)(_\d+)?$|(^|/)(beta[12]_power|global_step)(_\d+)?$")
"""Variables that only the training of the published code needs."""
PART_OF_CHECKPOINT = re.compile(r"(?<=.)\.(index|meta|data-\d{5}-of-\d{5})$")
"""What TensorFlow adds to a checkpoint's name for each of its files."""


def is_tensorflow(path: Path) -> bool:
    """Whether a path is a folder, one of the files of a TensorFlow checkpoint, or their common name."""
    return path.is_dir() or bool(PART_OF_CHECKPOINT.search(path.name)) or path.with_name(f"{path.name}.index").exists()


def read_variables(prefix: Path) -> dict[str, np.ndarray]:
    """All variables of a checkpoint by name, but for those of the optimisers; `find_checkpoint` gives its name."""
    # TensorFlow reads these when it is imported, and would talk of processors and libraries that do no work here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise UserError(
            f"reading a TensorFlow checkpoint needs TensorFlow: pip install 'ganshift[tensorflow]' ({error})"
        ) from error
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
        names = sorted(name for name in shapes if not OPTIMIZER_STATE.search(name))
        claimed = sum(math.prod(shapes[name]) * types[name].size for name in names)
        if claimed > sum(path.stat().st_size for path in data_files(prefix)):
            raise ValueError("its variables are larger than its files")
        return {name: np.asarray(reader.get_tensor(name)) for name in names}
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError, OSError) as error:
        raise UserError(f"checkpoint {prefix} is damaged or cut short: {first_line(error)}") from None


def find_checkpoint(checkpoint: Path) -> Path:
    """The checkpoint's name without the ending of a file; a `UserError` unless its files are all there.

    `checkpoint` is that name, one of its files, or a folder that names or holds one checkpoint.
    """
    if checkpoint.is_dir():
        prefix = _only_checkpoint(checkpoint)
    else:
        prefix = checkpoint.with_name(PART_OF_CHECKPOINT.sub("", checkpoint.name))
    index = prefix.with_name(f"{prefix.name}.index")
    if not index.is_file():
        raise UserError(f"there is no TensorFlow checkpoint {checkpoint}: {index} is missing")
    parts = data_files(prefix)
    if not parts or not all(part.is_file() for part in parts) or len(parts) != int(parts[0].name[-5:]):
        raise UserError(f"checkpoint {prefix} is not whole: of its .data files {len(parts)} are there")
    return prefix


def _only_checkpoint(folder: Path) -> Path:
    """The checkpoint that the folder's state file names, else the only one in it."""
    state = folder / "checkpoint"
    if state.is_file() and (named := re.match(r'model_checkpoint_path: "(.+)"', read_text(state))):
        # By its last part, because the state file may name a folder of the machine that it was trained on.
        return folder / Path(named[1]).name
    there = sorted(path.with_suffix("") for path in folder.glob("*.index"))
    if len(there) != 1:
        hint = f"name one of {', '.join(map(str, there))}" if there else "of another tool, name the file itself"
        raise UserError(f"there are {len(there)} TensorFlow checkpoints in {folder}: {hint}")
    return there[0]


def data_files(prefix: Path) -> list[Path]:
    """The files of a checkpoint's values, in order."""
    digits = "[0-9]" * 5
    return sorted(prefix.parent.glob(f"{glob.escape(prefix.name)}.data-{digits}-of-{digits}"))
