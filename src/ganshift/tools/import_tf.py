"""Published TensorFlow checkpoints, read and turned into run folders. The only room that needs TensorFlow.

Nothing is guessed: method, variant, widths, classes and norms are read off the variables, and whatever is missing or
left over is listed in an error. Training does not go on from here: the state of the optimisers is left out.
"""

import glob
import hashlib
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import UserError, first_line
from ..files import read_text
from ..methods.registry import methods
from ..training import run_folder

OPTIMIZER_STATE = re.compile(r"/(Adam|RMSProp)(_\d+)?$|(^|/)(beta[12]_power|global_step)(_\d+)?$")
"""Variables that only the training of the published code needs."""
PART_OF_CHECKPOINT = re.compile(r"(?<=.)\.(index|meta|data-\d{5}-of-\d{5})$")
"""What TensorFlow adds to a checkpoint's name for each of its files."""
NAMES_SHOWN = 10
"""Names in an error about a checkpoint that is of no method."""


def read_checkpoint(prefix: Path) -> dict[str, np.ndarray]:
    """All variables of a checkpoint by name, but for those of the optimisers.

    `prefix` is the checkpoint's name without the ending of a file, one of its files, or a folder that names or holds
    one checkpoint.
    """
    prefix = find_checkpoint(prefix)
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
        if claimed > sum(path.stat().st_size for path in _data_files(prefix)):
            raise ValueError("its variables are larger than its files")
        return {name: np.asarray(reader.get_tensor(name)) for name in names}
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError, OSError) as error:
        raise UserError(f"checkpoint {prefix} is damaged or cut short: {first_line(error)}") from None


def find_checkpoint(checkpoint: Path) -> Path:
    """The checkpoint's name without the ending of a file; a `UserError` unless its files are all there."""
    if checkpoint.is_dir():
        prefix = _only_checkpoint(checkpoint)
    else:
        prefix = checkpoint.with_name(PART_OF_CHECKPOINT.sub("", checkpoint.name))
    index = prefix.with_name(f"{prefix.name}.index")
    if not index.is_file():
        raise UserError(f"there is no TensorFlow checkpoint {checkpoint}: {index} is missing")
    parts = _data_files(prefix)
    if not parts or not all(part.is_file() for part in parts) or len(parts) != int(parts[0].name[-5:]):
        raise UserError(f"checkpoint {prefix} is not whole: of its .data files {len(parts)} are there")
    return prefix


def import_tf(
    checkpoint: Path, out: Path, classes: Sequence[str] | None = None, keep_channel_order: bool = False
) -> list[str]:
    """Write the run folder of a published checkpoint and return lines that say what was found.

    `classes` names the classes in the order of the published labels; without it they are called by their numbers.
    Networks that read images as BGR, as the published DualGAN does, are made to take and give RGB, unless
    `keep_channel_order`. Which method a checkpoint is of is seen from the names of its variables.
    """
    prefix = find_checkpoint(checkpoint)
    variables = read_checkpoint(prefix)
    known = {name: method.tensorflow() for name, method in methods().items() if method.tensorflow}
    named = [name for name, each in known.items() if any(map(each.variable.search, variables))]
    if len(named) != 1:
        shown = ", ".join([*variables][:NAMES_SHOWN]) or "none"
        more = f" and {len(variables) - NAMES_SHOWN} more" if len(variables) > NAMES_SHOWN else ""
        raise UserError(
            f"checkpoint {prefix} is not one of the published {' or '.join(each.title for each in known.values())} "
            f"networks; its variables: {shown}{more}"
        )
    (name,) = named
    try:
        imported = known[name].convert(variables, classes, keep_channel_order)
    except UserError as error:
        raise UserError(f"checkpoint {prefix}: {error}") from None
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, ZeroDivisionError) as error:
        raise UserError(
            f"checkpoint {prefix} has variables of shapes that no published network has: {first_line(error)}"
        ) from None
    provenance = {"checkpoint": prefix.name, "sha256": _hash(prefix), "variables": len(variables)}
    config = {
        "method": name,
        **imported.description,
        "imported": {**provenance, **imported.provenance},
        "versions": run_folder.versions(),
    }
    with run_folder.held(out):
        run_folder.claim(out, config)  # before the weights, which may take long, so that a folder in use is refused
        with run_folder.writing_to(out):
            imported.write(out)
    return list(imported.found)


def _only_checkpoint(folder: Path) -> Path:
    """The checkpoint that the folder's state file names, else the only one in it."""
    state = folder / "checkpoint"
    if state.is_file() and (named := re.match(r'model_checkpoint_path: "(.+)"', read_text(state))):
        # By its last part, because the state file may name a folder of the machine that it was trained on.
        return folder / Path(named[1]).name
    there = sorted(path.with_suffix("") for path in folder.glob("*.index"))
    if len(there) != 1:
        listed = f": name one of {', '.join(str(path) for path in there)}" if there else ""
        raise UserError(f"there are {len(there)} TensorFlow checkpoints in {folder}{listed}")
    return there[0]


def _data_files(prefix: Path) -> list[Path]:
    digits = "[0-9]" * 5
    return sorted(prefix.parent.glob(f"{glob.escape(prefix.name)}.data-{digits}-of-{digits}"))


def _hash(prefix: Path) -> str:
    """SHA-256 of the data file, or of all of them in order."""
    digest = hashlib.sha256()
    for path in _data_files(prefix):
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()
