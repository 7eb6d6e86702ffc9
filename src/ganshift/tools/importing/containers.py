"""How a checkpoint is packed, seen from its first bytes, and its content as plain data: nothing in it is run."""

from pathlib import Path
from typing import Literal

from ...errors import UserError, first_line, printable
from ...files import nearest_path, open_regular
from ...methods.importing import CheckpointFile
from ...training.pickles import MOST_CHARACTERS, RefusedError
from ...training.torch_files import OLD_START, ZIP_START, read_pickled_modules, read_torch
from ...training.weights import hash_of_file
from .tensorflow import data_files, find_checkpoint, is_tensorflow, read_variables

PICKLE_START = b"\x80"
"""How pickles begin since their second protocol."""


def read_checkpoint(path: Path) -> CheckpointFile:
    """Read a checkpoint of any known container; a `UserError` if it is none, or damaged."""
    if is_tensorflow(path):
        prefix = find_checkpoint(path)
        return CheckpointFile(
            path=prefix,
            container="tensorflow",
            content=read_variables(prefix),
            sha256=hash_of_file(*data_files(prefix)),
        )
    try:
        with open_regular(path) as file:
            start = file.read(len(OLD_START))
    except FileNotFoundError:
        nearest = nearest_path(path) or f"nor {path}.index, which a TensorFlow checkpoint would have"
        raise UserError(f"there is no checkpoint {path}; {nearest}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    is_torch = start.startswith((ZIP_START, OLD_START))
    if not is_torch and not start.startswith(PICKLE_START):
        raise UserError(f"{path} is not a checkpoint that ganshift reads: docs/import.md lists them")
    try:
        content = read_torch(path) if is_torch else read_pickled_modules(path)
    except RefusedError as error:
        raise UserError(f"{path} is not read: it {printable(first_line(error))}") from None
    except Exception as error:  # hostile or damaged bytes make a reader raise anything
        reason = printable(first_line(error))[:MOST_CHARACTERS]
        raise UserError(f"{path} is damaged, or holds more than tensors: {reason}") from None
    container: Literal["torch", "pickle"] = "torch" if is_torch else "pickle"
    return CheckpointFile(path=path, container=container, content=content, sha256=hash_of_file(path))
