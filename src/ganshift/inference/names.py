"""What a trained model is called by: a run folder, the model file in one, a bundled model, one of the hub."""

import re
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import UserError, first_line, nearest
from ..files import nearest_path
from ..training import run_folder

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
"""What may be an owner and a model of the Hugging Face hub."""
PLACES = re.compile(r"(runs|~|\..*)/")
"""How names begin that are meant for places here, whether or not the folder is there."""
HUB_FILES = [run_folder.CONFIG, run_folder.MODEL, *run_folder.CRITICS, "cards/*.json", "copying.json"]
"""What is taken from there."""


def bundled_models(method: str | None = None) -> dict[str, Path]:
    """The models that ship with the package, by name: all, or those of one method."""
    root = Path(str(resources.files("ganshift") / "sources"))
    found = {path.name: path for path in sorted(root.iterdir()) if path.is_dir()} if root.is_dir() else {}
    if method is None:
        return found
    return {name: path for name, path in found.items() if run_folder.read_config(path)["method"] == method}


def find_model(name: str | Path, **hub: Any) -> Path:
    """The folder that a name stands for; a `UserError` says what can be named.

    A bundled model comes first (write ./NAME for a folder of that name), then what lies here, then the hub. The hub is
    asked only for names such as owner/model of which the first part is no folder here, nor called as one (runs, ~,
    or with a dot first), so that a misspelt path sends nothing anywhere. `hub` is what
    `huggingface_hub.snapshot_download` takes, such as revision, token and cache_dir.
    """
    text = str(name)
    bundled = bundled_models()
    if text in bundled:
        return bundled[text]
    path = Path(name)
    try:
        is_folder, is_file, beside = path.is_dir(), path.is_file(), path.parent.is_dir()
    except (OSError, ValueError) as error:  # too long, below a folder that may not be looked into, or no name at all
        raise UserError(f"{text} cannot be opened ({getattr(error, 'strerror', error)}): give another") from None
    if is_folder:
        return path
    if is_file:
        if path.name == run_folder.MODEL:
            return path.parent
        raise UserError(f"{text} is not a model: give a run folder, or the {run_folder.MODEL} in one")
    if HUB_NAME.fullmatch(text) and not PLACES.match(text) and not beside:
        from huggingface_hub import snapshot_download

        try:
            return Path(snapshot_download(text, allow_patterns=HUB_FILES, **hub))
        except Exception as error:  # of the hub, of the network, or of a name that the hub takes for none
            raise UserError(
                f"there is no run folder {text!r}, and the Hugging Face hub did not give a model of that name "
                f"({first_line(error)}): check the name and the network"
            ) from None
    if hint := nearest_path(path) or nearest(text, bundled, cutoff=0.75):
        raise UserError(f"there is no run folder {text!r}: {hint}")
    raise UserError(
        f"there is no run folder {text!r}: give a run folder, the {run_folder.MODEL} in one, an owner/model of the "
        f"Hugging Face hub, or a bundled model ({', '.join(bundled) or 'none'})"
    )


def lies_here(name: str | Path) -> bool:
    """Whether a model's folder is the user's: it is neither bundled nor of the hub."""
    return str(name) not in bundled_models() and Path(name).exists()


def short_name(name: str | Path) -> str:
    """What to call a model where it is shown: the last part of its name, and of the best of a run the run's before it.

    The folder of a model of the hub is named by a commit.
    """
    folder = find_model(name).resolve() if lies_here(name) else Path(name)
    return f"{folder.parent.name}-{folder.name}" if folder.name == run_folder.BEST else folder.name


def results_place(name: str | Path, out: str | Path | None) -> Path:
    """Where to write what is found out about a model: `out`, or else its own folder if that is the user's."""
    if out is not None:
        if Path(out).is_file():
            raise UserError(f"--out {out} is a file: name a folder")
        return Path(out)
    folder = find_model(name)
    if not lies_here(name):
        raise UserError(f"cannot write results into {name}, which is not a folder of yours: give --out")
    return folder
