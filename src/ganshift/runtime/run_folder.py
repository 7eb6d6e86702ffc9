"""The run folder as an interface: what is where, and whose it is."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..errors import UserError
from .checkpoint import write_atomically
from .config import FREE_TO_CHANGE

CONFIG = "config.json"
MODEL = "model.safetensors"
LOG = "log.jsonl"
EVALUATIONS = "evaluations.jsonl"
EVALUATION = "evaluation.json"
HEALTH = "health.json"
BEST = "best"
LEFT_OUT = "left-out.txt"
SAMPLES = "samples"
CHECKPOINTS = "checkpoints"


def claim(out: Path, config: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> None:
    """Make the folder this run's, or check that it already is.

    `config` holds method, networks, data and the settings under "training". A setting that the folder's run did not
    know, because it was begun before there was one, had the default that `defaults` says. Raises a
    `UserError` that lists every difference if the folder holds a run of other settings.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file: name a folder")
    path = out / CONFIG
    if path.exists():
        held = read_config(out)
        if isinstance(held.get("training"), dict):
            held["training"] = {**(defaults or {}), **held["training"]}
        differences = _differences(held, config)
        if differences:
            raise UserError(
                f"{out} holds a run of another configuration: {'; '.join(differences)}. "
                "Give the same settings to resume it, or another --out"
            )
    elif out.is_dir() and any(out.iterdir()):
        raise UserError(f"--out {out} is not empty and holds no run: name a new folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, config)
    except OSError as error:
        raise UserError(f"cannot write to --out {out}: {error.strerror}") from error


def read_config(run: Path) -> dict[str, Any]:
    """The run's or model's description; a `UserError` if there is none or it is not JSON."""
    path = run / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{run} is not a run folder: there is no {CONFIG} in it") from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path} does not hold a JSON object")
    return config


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people and programs, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text, whole or not at all."""
    write_atomically(path, lambda beside: _write_text(beside, text))


def left_out_text(left_out: Sequence[tuple[str, str]]) -> str:
    """A list of the files that could not be used, one a line, with the reason."""
    return "".join(f"{name!r}: {reason}\n" for name, reason in left_out)


def versions() -> dict[str, str]:
    """What a run was made with."""
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
    """The log's lines; a last line cut short by a crash is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    if "content" in old and "content" in new:
        if old != new:
            then, now = (f"{data.get('images')} {data['content'][:8]}" for data in (old, new))
            found.append(f"the images of {prefix.removesuffix('.')} were others ({then} then, {now} now)")
        return found
    for name in sorted({*old, *new} - (FREE_TO_CHANGE if prefix == "training." else {"versions"})):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += _differences(before, after, f"{prefix}{name}.")
        elif before != after:
            found.append(f"{prefix.removeprefix('training.')}{name} was {before!r}, is {after!r}")
    return found
