"""Checkpoints of other tools, as networks and as run folders.

Nothing is guessed, and no line of a file is run: method, widths, classes and norms are read off the names and shapes of
tensors and off plain arguments, and whatever is missing or left over is listed in an error.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from torch import nn

from ...data.domain_names import names_to_json, parse_names
from ...errors import UserError, first_line
from ...methods.importing import CheckpointFile, ImportFormat, ImportOptions, Role, listed
from ...methods.registry import methods
from ...training import run_folder
from .containers import read_checkpoint

WRONG_SHAPES = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, ZeroDivisionError)
"""What building a network from tensors of any shape may raise."""
Made = TypeVar("Made")


def import_checkpoint(path: str | Path) -> dict[str, nn.Module]:
    """The networks of a checkpoint of another tool by name, with its weights, on the CPU in evaluation mode.

    | file | names | take | give |
    |---|---|---|---|
    | of a translator | `generator` or `critic` | images [n, c, h, w] in [-1, 1] | images; raw scores [n, 1, h', w'] |
    | of a generator | `generator` (averaged), `raw_generator` | latents [n, z], class numbers [n] | images |
    | | `critic` | images | scores [n] and nothing |

    docs/import.md lists the formats. Raises a `UserError` for a file that is damaged, unknown, or does not fit.
    """
    file = read_checkpoint(Path(path))
    _, known = _format_of(file)
    networks = _of_file(file, known, lambda: known.networks(file))
    return {name: network.eval().requires_grad_(False) for name, network in networks.items()}


def import_run(
    path: Path, out: Path, options: ImportOptions | None = None, further: Mapping[Role, Path] | None = None
) -> list[str]:
    """Write the run folder of a checkpoint and return lines that say what was found.

    `further` are other files of the same model by what they are for. Raises a `UserError`, and writes no run, if a file
    is damaged or unknown, if files or options do not go together, or if `out` is in use.
    """
    options = options or ImportOptions()
    file = read_checkpoint(path)
    method, known = _format_of(file)
    for name in (*(further or {}), *options.given()):
        if name not in known.takes:
            raise UserError(f"--{name.replace('_', '-')} does not apply to {known.title} checkpoints: leave it out")
    files: dict[Role, CheckpointFile] = {"file": file}
    for role, place in (further or {}).items():
        files[role] = read_checkpoint(place)
        _check_further(files[role], known)
    names = {} if options.names is None else names_to_json(parse_names(options.names))
    imported = _of_file(file, known, lambda: known.run(files, options))
    provenance = {"checkpoint": file.path.name, "sha256": file.sha256}
    others: dict[str, str] = {}
    for role, each in files.items():
        if role != "file":
            others |= {role: each.path.name, f"{role}_sha256": each.sha256}
    config = {
        "method": method,
        **imported.description,
        **names,
        "imported": {**provenance, **imported.provenance, **others},
        "versions": run_folder.versions(),
    }
    with run_folder.held(out):
        run_folder.claim(out, config)  # before the weights, which may take long, so that a folder in use is refused
        with run_folder.writing_to(out):
            imported.write(out)
    return [*imported.found, known.licence]


def _format_of(file: CheckpointFile) -> tuple[str, ImportFormat]:
    """The format of a file, with the name of the method that it belongs to."""
    every = [(name, known) for name, method in methods().items() for known in method.imports()]
    fitting = [each for each in every if each[1].recognises(file)]
    if len(fitting) != 1:
        titles = " or ".join(known.title for _, known in every)
        raise UserError(f"{file.path} is not one of the published {titles} networks; it holds: {_names_in(file)}")
    return fitting[0]


def _check_further(file: CheckpointFile, known: ImportFormat) -> None:
    """Raise a `UserError` about this very file if it has no network of the format."""
    if not known.recognises(file):
        raise UserError(f"{file.path} is not a {known.title} network; it holds: {_names_in(file)}")
    _of_file(file, known, lambda: known.networks(file))


def _of_file(file: CheckpointFile, known: ImportFormat, make: Callable[[], Made]) -> Made:
    """What is made of a file, with what goes wrong said of the file."""
    try:
        return make()
    except UserError as error:
        raise UserError(f"{file.path}: {error}") from None
    except WRONG_SHAPES as error:
        raise UserError(f"{file.path} has shapes that no {known.title} network has: {first_line(error)}") from None


def _names_in(file: CheckpointFile) -> str:
    """Some names of what a file holds."""
    if not isinstance(file.content, Mapping):
        return f"a {type(file.content).__name__}"
    return listed([*map(str, file.content)])
