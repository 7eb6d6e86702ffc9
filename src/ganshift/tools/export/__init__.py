"""Runs to files that other programs run, each checked against the PyTorch model before it is written."""

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from ...errors import UserError
from ...files import json_bytes, write_output
from ...inference.names import find_model, results_place, short_name
from ...methods.registry import method_in
from ...tensors import Side
from ...training import run_folder
from . import formats
from .graphs import graphs_of
from .page import page_of
from .parity import Parities
from .space import write_space
from .web_runtime import VERSION, web_runtime


def export(
    run: str | Path,
    out: str | Path | None = None,
    *,
    format: Literal["onnx", "safetensors", "html", "space"] = "onnx",
    uint8: bool = False,
    half: bool = False,
    size: Side | None = None,
    onnxruntime_web: Path | None = None,
) -> tuple[list[Path], Parities]:
    """Write a run's averaged model for other programs, with `parity.json` beside it; returns files and differences.

    `run` is any name of a model (`inference.names.find_model`). `out` is a folder that is new or empty;
    RUN/export/FORMAT if left out. `half` stores the weights of safetensors in half precision; `onnxruntime_web` is the
    npm tarball of the runtime for html, fetched with npm if left out. Differences are given by model: generator, or
    a2b and b2a; a Space has the model itself, and none. Raises a `UserError`, and writes nothing, if the options do not
    go together, models of the run's method cannot be exported to the format, or the file does not give what the model
    gives in PyTorch.

    What ONNX models take and give:

    | model | inputs | output |
    |---|---|---|
    | generator | `latents`: float32 [n, 128], standard normal; with classes `labels`: int64 [n] from 0 | `images` |
    | translator | `images` | `translated`, of the same height and width |

    Images are float32 [n, c, h, w] in [-1, 1], with `uint8` uint8 [n, h, w, c] from 0 to 255; n is free. Sides of a
    translator's images are multiples of its step, 2 to the number of its levels: 64 for 6 levels, 256 for the published
    8. `size` fixes them for readers that need it. Operators are of version 18, the oldest that PyTorch exports. The
    metadata name method, range and layout of images, size, channels, step, direction, names of the domains, classes in
    order, hashes of the training images and the version of ganshift.
    """
    for option, given, wanted in (
        ("--uint8", uint8, "onnx"),
        ("--half", half, "safetensors"),
        ("--size", size, "onnx"),
        ("--onnxruntime-web", onnxruntime_web, "html"),
    ):
        if given and format != wanted:
            raise UserError(f"{option} goes with --format {wanted}, not with {format}")
    folder = find_model(run)
    out = results_place(run, None) / "export" / format if out is None else Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists already: remove it, or name another folder as --out")
    if format in ("onnx", "html"):
        formats.need_onnx()
    method = method_in(folder)
    if format == "space":
        return write_space(method.model().from_folder(folder, device="cpu"), short_name(run), out), {}
    if format not in method.exports:
        known = " or ".join(method.exports) or "nothing"
        raise UserError(f"models of {method.name} are exported to {known}, not to {format}")
    model = method.model().from_folder(folder, device="cpu")

    facts, versions = {}, run_folder.versions()
    if format == "safetensors":
        files, parities = formats.to_safetensors(model, folder, half)
    else:
        runtime = web_runtime(onnxruntime_web) if format == "html" else None
        graphs = graphs_of(model, uint8=uint8 or format == "html", size=size)
        files, parities = formats.to_onnx(graphs)
        facts = {"opset": formats.OPSET}
        versions |= {name: version(name) for name in ("onnx", "onnxscript", "onnxruntime")}
        if runtime is not None:
            files = {"index.html": page_of(short_name(run), model, graphs, files, parities, runtime)}
            versions["onnxruntime-web"] = VERSION
    files["parity.json"] = json_bytes(
        {
            "format": format,
            **facts,
            "models": parities,
            "files": {
                name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
                for name, content in files.items()
            },
            "versions": versions,
        }
    )
    return [write_output(out / name, content) for name, content in files.items()], parities
