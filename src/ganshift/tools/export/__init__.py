"""Runs to files that other programs run, each checked against the PyTorch model before it is written."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal, final

from torch import Tensor

from ...errors import UserError
from ...files import write_output
from ...inference.generator import ImageGenerator
from ...inference.names import find_model, results_place, short_name
from ...inference.translator import ImageTranslator
from ...methods.registry import method_in
from ...training import run_folder
from ...training.weights import load_weights
from . import formats
from .graphs import Graph, graphs_of
from .page import page_of
from .parity import TOLERANCE, TOLERANCE_HALF, Parity, check_parity
from .web_runtime import VERSION, web_runtime

__all__ = ["ExportSettings", "Exported", "export"]
Files = dict[str, bytes]
"""By name."""
PARITY = "parity.json"
PAGE = "index.html"
ONNX = ("onnx", "html")
"""Formats that are made of ONNX."""


@final
@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """What is asked for; a `UserError` if it does not go together."""

    format: Literal["onnx", "safetensors", "html"] = "onnx"
    opset: int | None = None
    """Version of the ONNX operators, for onnx and html; `formats.DEFAULT_OPSET` if left out."""
    uint8: bool = False
    """Images as uint8 [n, h, w, c] instead of float32 [n, c, h, w], for onnx."""
    half: bool = False
    """Weights in half precision, for safetensors."""
    onnxruntime_web: Path | None = None
    """The npm tarball of the runtime, for html; fetched with npm if left out."""

    def __post_init__(self) -> None:
        suits = {
            "opset": ONNX,
            "uint8": ("onnx",),
            "half": ("safetensors",),
            "onnxruntime_web": ("html",),
        }
        for name, wanted in suits.items():
            given = getattr(self, name) is not None and getattr(self, name) is not False
            if given and self.format not in wanted:
                option = "--" + name.replace("_", "-")
                raise UserError(f"{option} goes with --format {' or '.join(wanted)}, not with {self.format}")
        if self.format in ONNX:
            formats.check_opset(self.chosen_opset)

    @property
    def chosen_opset(self) -> int:
        """The one asked for, or the default."""
        return formats.DEFAULT_OPSET if self.opset is None else self.opset


@final
@dataclass(frozen=True)
class Exported:
    """What was written."""

    paths: Sequence[Path]
    parities: Mapping[str, Parity]
    """By model: generator, or a2b and b2a."""


def export(run: str | Path, out: str | Path | None = None, settings: ExportSettings | None = None) -> Exported:
    """Write a run's averaged model for other programs, with `parity.json` beside it.

    `run` is any name of a model (`inference.names.find_model`). `out` is a folder that is new or empty;
    RUN/export/FORMAT if left out. Raises a `UserError`, and writes nothing, if models of the run's method cannot be
    exported to the format, or the file does not give what the model gives in PyTorch.
    """
    settings = settings or ExportSettings()
    folder = find_model(run)
    out = results_place(run, None) / "export" / settings.format if out is None else Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists already: remove it, or name another folder as --out")
    if settings.format in ONNX:
        formats.need_onnx()
    method = method_in(folder)
    if settings.format not in method.exports:
        known = " or ".join(method.exports) or "nothing"
        raise UserError(f"models of {method.name} are exported to {known}, not to {settings.format}")
    model = method.model().from_folder(folder, device="cpu")

    runtime = web_runtime(settings.onnxruntime_web) if settings.format == "html" else None
    graphs = graphs_of(model, model.config, uint8=settings.uint8 or settings.format == "html")
    if settings.format == "safetensors":
        path = folder / run_folder.CRITIC
        critic = load_weights(path) if path.exists() else None
        files, parities = _safetensors(model, critic, graphs, settings.half)
    else:
        files, parities = _onnx(graphs, settings.chosen_opset)
    if runtime is not None:
        files = {PAGE: page_of(short_name(run), model, graphs, list(files.values()), list(parities.values()), runtime)}
    files[PARITY] = _record(settings, files, parities)
    for name, content in files.items():
        write_output(out / name, content)
    return Exported(tuple(out / name for name in files), parities)


def _onnx(graphs: Sequence[Graph], opset: int) -> tuple[Files, dict[str, Parity]]:
    """Every graph as a file, compared with the model."""
    files, parities = {}, {}
    for graph in graphs:
        name = f"{graph.name}.onnx"
        files[name] = formats.to_onnx(graph, opset)
        parities[graph.name] = check_parity(name, formats.run_onnx(files[name]), graph.reference, graph.cases)
    return files, parities


def _safetensors(
    model: ImageGenerator | ImageTranslator,
    critic: Mapping[str, Tensor] | None,
    graphs: Sequence[Graph],
    half: bool,
) -> tuple[Files, dict[str, Parity]]:
    """The weights as one file with their description, loaded again and compared with the model."""
    files = formats.to_safetensors(model, critic, model.config, half)
    again = graphs_of(formats.load_safetensors(type(model), files), model.config, uint8=False)
    tolerance = TOLERANCE_HALF if half else TOLERANCE
    return files, {
        graph.name: check_parity(run_folder.MODEL, loaded.reference, graph.reference, graph.cases, tolerance)
        for graph, loaded in zip(graphs, again, strict=True)
    }


def _record(settings: ExportSettings, files: Files, parities: Mapping[str, Parity]) -> bytes:
    versions = run_folder.versions()
    if settings.format in ONNX:
        versions |= {name: version(name) for name in ("onnx", "onnxscript", "onnxruntime")}
    if settings.format == "html":
        versions["onnxruntime-web"] = VERSION
    record = {
        "format": settings.format,
        **({"opset": settings.chosen_opset} if settings.format in ONNX else {}),
        "models": {name: parity.to_json() for name, parity in parities.items()},
        "files": {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
        },
        "versions": versions,
    }
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()
