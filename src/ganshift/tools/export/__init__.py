"""Runs to files that other programs run, each checked against the PyTorch model before it is written."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal, final

from ...errors import UserError
from ...files import json_bytes, write_output
from ...inference.names import find_model, results_place, short_name
from ...methods.registry import method_in
from ...training import run_folder
from . import formats
from .graphs import graphs_of
from .page import page_of
from .parity import Parity
from .web_runtime import VERSION, web_runtime

__all__ = ["ExportSettings", "Exported", "export"]
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
        suits = {"opset": ONNX, "uint8": ("onnx",), "half": ("safetensors",), "onnxruntime_web": ("html",)}
        for name, wanted in suits.items():
            given = getattr(self, name) is not None and getattr(self, name) is not False
            if given and self.format not in wanted:
                option = "--" + name.replace("_", "-")
                raise UserError(f"{option} goes with --format {' or '.join(wanted)}, not with {self.format}")
        if self.opset is not None and self.opset not in formats.OPSETS:
            first, *_, last = formats.OPSETS
            raise UserError(f"--opset must be from {first} to {last}, got {self.opset}")


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
    folder, kind = find_model(run), settings.format
    out = results_place(run, None) / "export" / kind if out is None else Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists already: remove it, or name another folder as --out")
    if kind in ONNX:
        formats.need_onnx()
    method = method_in(folder)
    if kind not in method.exports:
        known = " or ".join(method.exports) or "nothing"
        raise UserError(f"models of {method.name} are exported to {known}, not to {kind}")
    model = method.model().from_folder(folder, device="cpu")

    facts, versions = {}, run_folder.versions()
    if kind == "safetensors":
        files, parities = formats.to_safetensors(model, folder, settings.half)
    else:
        runtime = web_runtime(settings.onnxruntime_web) if kind == "html" else None
        graphs = graphs_of(model, uint8=settings.uint8 or kind == "html")
        opset = formats.DEFAULT_OPSET if settings.opset is None else settings.opset
        files, parities = formats.to_onnx(graphs, opset)
        facts = {"opset": opset}
        versions |= {name: version(name) for name in ("onnx", "onnxscript", "onnxruntime")}
        if runtime is not None:
            files = {"index.html": page_of(short_name(run), model, graphs, files, parities, runtime)}
            versions["onnxruntime-web"] = VERSION
    files["parity.json"] = json_bytes(
        {
            "format": kind,
            **facts,
            "models": {name: asdict(parity) for name, parity in parities.items()},
            "files": {
                name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
                for name, content in files.items()
            },
            "versions": versions,
        }
    )
    return Exported([write_output(out / name, content) for name, content in files.items()], parities)
