"""Graphs to the bytes of files, and such bytes back to what can be run."""

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jaxtyping
import torch
from safetensors.torch import save
from torch import Tensor, nn

from ... import __version__
from ...errors import UserError
from ...inference.generator import ImageGenerator
from ...inference.translator import MAX_SIDE, ImageTranslator
from ...training import run_folder
from .graphs import Axes, Graph
from .parity import Run

OPSETS = range(18, 24)
"""Versions of the ONNX operators that can be asked for: those that both the exporter and the runtime know."""
DEFAULT_OPSET = 18
"""The lowest, which the most runtimes read; a newer one changes nothing in these graphs."""


def check_opset(opset: int) -> None:
    """Raise unless it can be asked for."""
    if opset not in OPSETS:
        raise UserError(f"--opset must be from {OPSETS[0]} to {OPSETS[-1]}, got {opset}")


def need_onnx() -> None:
    """Raise unless the packages are there that ONNX needs."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"ONNX needs more packages: pip install 'ganshift[export]' ({error})") from error


@torch.no_grad()
def to_onnx(graph: Graph, opset: int) -> bytes:
    """An ONNX file, with the facts as its metadata."""
    import onnx

    batch = torch.export.Dim("n")
    axes = tuple(_dimensions(varying, batch) for varying in graph.inputs.values())
    with _tracing():
        program = torch.onnx.export(
            graph.module,
            _example(graph),
            dynamo=True,
            input_names=list(graph.inputs),
            output_names=[graph.output],
            dynamic_shapes=axes,
            opset_version=opset,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for thing in (model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del thing.metadata_props[:]  # where on this machine each line of ours lies
        thing.doc_string = ""
    model.producer_name, model.producer_version = "ganshift", __version__
    facts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in graph.facts.items()}
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def run_onnx(content: bytes) -> Run:
    """An ONNX file in onnxruntime, on the processor."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]

    def run(*inputs: Tensor) -> Tensor:
        feeds = {name: value.contiguous().numpy() for name, value in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, feeds)[0])

    return run


def to_safetensors(
    model: nn.Module, critic: Mapping[str, Tensor] | None, config: Mapping[str, Any], half: bool
) -> dict[str, bytes]:
    """The files that `from_pretrained` and, with a critic, `--source` load: weights, and the run's description."""
    facts = {"format": "pt", "method": str(config["method"])}

    def file_of(weights: Mapping[str, Tensor]) -> bytes:
        return save({name: (each.half() if half else each).cpu().contiguous() for name, each in weights.items()}, facts)

    description = json.dumps(dict(config), indent=2, ensure_ascii=False) + "\n"
    files = {run_folder.MODEL: file_of(model.state_dict()), run_folder.CONFIG: description.encode()}
    return files if critic is None else files | {run_folder.CRITIC: file_of(critic)}


def load_safetensors(
    kind: type[ImageGenerator] | type[ImageTranslator], files: Mapping[str, bytes]
) -> ImageGenerator | ImageTranslator:
    """The model that `from_pretrained` makes of these files."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        return kind.from_folder(Path(folder), device="cpu")


def _example(graph: Graph) -> tuple[Tensor, ...]:
    """Inputs of which no axis that may vary is a single step: on the way it would be 1, which is taken as constant."""
    example = []
    for axes, value in zip(graph.inputs.values(), graph.cases[0], strict=True):
        shape = list(value.shape)
        for number, (axis, step) in enumerate(axes.items()):
            shape[axis] = max(2, number + 1) * step
        example.append(value.new_zeros(shape))
    return tuple(example)


def _dimensions(axes: Axes, batch: Any) -> dict[int, Any]:
    """The varying axes of an input as torch.export names them."""
    dimensions = {}
    for number, (axis, step) in enumerate(axes.items()):
        side = torch.export.Dim(f"steps_{number}", min=1, max=MAX_SIDE // step) if axis else None
        dimensions[axis] = batch if side is None else step * side
    return dimensions


@contextmanager
def _tracing() -> Iterator[None]:
    """Keep to ourselves what exporters say to developers, and check no types, since sizes are symbols then."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level, jaxtyping.config.jaxtyping_disable
    logger.setLevel(logging.ERROR)
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before[0])
        jaxtyping.config.update("jaxtyping_disable", before[1])
