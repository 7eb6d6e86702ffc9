"""The run folder as an interface: what is where, and whose it is.

- `config.json`: method, architecture, networks, data, settings, versions; runs of 0.1.0 name no architecture
- `model.safetensors`: averaged weights for inference; `critic.safetensors`: the critic of a run that can be a source
- `checkpoints/000000064000.pt`: complete states, named by images shown; the newest `--keep-checkpoints`
- `best/`: the best model as a run folder of its own, with its checkpoint
- `log.jsonl`, `tensorboard/`, `trackers.json`: means of the loss terms, and where else they are shown
- `samples/`: sample grids, named by images shown
- `evaluations.jsonl`, `health.json`: scores on the way, signs of collapse
- `cards/`, `copying.json`, `copying.png`, `report.html`: what `evaluate` and `report` write
- `left-out.txt`: files that could not be read, with reasons
- `.lock`: held by the process that trains
"""

import errno
import json
import logging
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .. import __version__
from ..data.domain_names import STORED_NAMES
from ..errors import UserError
from ..files import json_bytes, read_text, write_atomically
from .config import FREE_TO_CHANGE

CONFIG = "config.json"
TRAINED_BY = "trained_by"
"""Entry of config.json: extractors whose features the losses used."""
MODEL = "model.safetensors"
CRITIC = "critic.safetensors"
"""The critic's weights, beside the model of a transfer run, so that the run can be a source."""
FEATURE_CRITIC = "feature_critic.safetensors"
"""Those of its second critic, which judges features, where the run has one."""
DOMAIN_CRITICS = "critics.safetensors"
"""Those of a translator's critics, of an imported run with some and of one that was trained further."""
CRITICS = (CRITIC, FEATURE_CRITIC, DOMAIN_CRITICS)
LOG = "log.jsonl"
EVALUATIONS = "evaluations.jsonl"
EVALUATION = "evaluation.json"
HEALTH = "health.json"
BEST = "best"
LEFT_OUT = "left-out.txt"
SAMPLES = "samples"
CHECKPOINTS = "checkpoints"
LOCK = ".lock"
"""Held by the process that trains in the folder; it stays behind, and the system lets go of it when a process ends."""
NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
"""What file systems answer that know no locks."""

logger = logging.getLogger("ganshift")


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Make a `UserError` of what keeps the block from writing into the folder."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror or error}") from error


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Keep other processes from training in the folder; a `UserError` if one does.

    The lock is the system's and ends with the process, however that ends. Where the file system knows no locks, a
    warning says so. To read a run, no lock is needed.
    """
    _refuse_foreign(out)
    lock = FileLock(out / LOCK, timeout=0, fallback_to_soft=False)
    with writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
            (out / LOCK).write_text(f"process {os.getpid()} on {platform.node()}\n")
        except Timeout:
            holder = read_text(out / LOCK)[:80].strip() or "it has just started"
            raise UserError(
                f"another process is training in {out} ({holder}): wait until it has ended, or give another --out"
            ) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            logger.warning("%s cannot be locked (%s): make sure that only one process trains in it", out, error)
    try:
        yield
    finally:
        lock.release()


def claim(
    out: Path,
    config: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
    unnamed_architecture: str | None = None,
) -> None:
    """Make the folder this run's, or check that it already is.

    `config` holds method, networks, data and the settings under "training". A setting that the folder's run did not
    know, because it was begun before there was one, had the default that `defaults` says, and networks without a name
    are of `unnamed_architecture`. Raises a `UserError` that lists every difference if the folder holds a run of other
    settings.
    """
    _refuse_foreign(out)
    path = out / CONFIG
    if path.exists():
        held = read_config(out)
        if isinstance(held.get("training"), dict):
            held["training"] = {**(defaults or {}), **held["training"]}
        if unnamed_architecture is not None:
            held.setdefault("architecture", unnamed_architecture)
        differences = dict.fromkeys(_differences(_without_widths(held), _without_widths(config)))
        if differences:
            raise UserError(
                f"{out} holds a run of another configuration: {'; '.join(differences)}. "
                "Give the same settings to resume it, or another --out"
            )
    with writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, config)


def read_config(run: Path) -> dict[str, Any]:
    """The run's or model's description; a `UserError` if there is none or it is not JSON."""
    path = run / CONFIG
    try:
        config = json.loads(read_text(path))
    except FileNotFoundError:
        why = f"there is no {CONFIG} in it" if run.is_dir() else "there is no such folder"
        raise UserError(f"{run} is not a run folder: {why}. A run folder is what training wrote to --out") from None
    except RecursionError:
        raise UserError(f"cannot read {path}: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path} does not hold a JSON object")
    return config


def has_begun(run: Path) -> bool:
    """Whether a run folder has a checkpoint."""
    return (run / CONFIG).exists() and any((run / CHECKPOINTS).glob("[0-9]*.pt"))


def section(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A part of a description, such as "training"; empty if there is none, or something else stands in its place."""
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def trained_by(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the extractors that trained a run or model of this description, none of which can judge it."""
    names = config.get(TRAINED_BY)
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people and programs, whole or not at all."""
    content = json_bytes(value)
    write_atomically(path, lambda beside: beside.write_bytes(content))


def write_text(path: Path, text: str) -> None:
    """Write a text, whole or not at all; what of a file's name is no text becomes \\udc80 and the like."""
    write_atomically(path, lambda beside: beside.write_text(text, encoding="utf-8", errors="backslashreplace"))


def left_out_text(left_out: Sequence[tuple[str, str]]) -> str:
    """A list of the files that could not be used, one a line, with the reason."""
    return "".join(f"{name!r}: {reason}\n" for name, reason in left_out)


def versions() -> dict[str, str]:
    """What a run was made with."""
    import numpy as np
    import torch

    return {
        "ganshift": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def rewind_log(path: Path, images: int) -> None:
    """Drop the lines past a checkpoint, so that a resumed run repeats none."""
    if path.exists():
        kept = [line for line in read_log(path) if line["images"] <= images]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))


def read_log(path: Path) -> list[dict[str, Any]]:
    """The log's lines; those that are damaged are left out, such as a last one cut short by a crash."""
    lines = []
    for text in read_text(path).splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if _is_line(line):
            lines.append(line)
    return lines


def _is_line(line: Any) -> bool:
    """Whether it is what `log.RunLog` writes."""
    if not isinstance(line, dict) or not isinstance(line.setdefault("terms", {}), dict):
        return False
    counts, seconds = (line.get("images"), line.get("iteration", 0)), line.get("seconds", 0.0)
    return (
        all(type(count) is int and 0 <= count < 2**63 for count in counts)
        and all(isinstance(number, float) or type(number) is int for number in (seconds, *line["terms"].values()))
        and 0 <= seconds < float("inf")
    )


def _refuse_foreign(out: Path) -> None:
    """Raise if the folder is a file, or holds something else than a run."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file: name a folder")
    if out.is_dir() and not (out / CONFIG).exists() and {path.name for path in out.iterdir()} - {LOCK}:
        raise UserError(f"--out {out} is not empty and holds no run: name a new folder")


def _without_widths(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without the settings of widths where the networks are described: presets have given the same ones in two ways."""
    training = config.get("training")
    if "critic" not in config or not isinstance(training, Mapping):
        return config
    left_out = ("width", "generator_width", "critic_width")
    return {**config, "training": {name: value for name, value in training.items() if name not in left_out}}


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    if "content" in old and "content" in new:
        if old != new:
            then, now = (f"{data.get('images')} {data['content'][:8]}" for data in (old, new))
            found.append(f"the images of {prefix.removesuffix('.')} were others ({then} then, {now} now)")
        return found
    for name in sorted({*old, *new} - (FREE_TO_CHANGE if prefix == "training." else {"versions", STORED_NAMES})):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += _differences(before, after, f"{prefix}{name}.")
        elif before != after:
            found.append(f"{prefix.removeprefix('training.')}{name} was {before!r}, is {after!r}")
    return found
