"""Models as the bytes of files, each loaded again as another program would, and compared with the model."""

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import jaxtyping
import torch
from safetensors.torch import save
from torch import Tensor

from ... import __version__
from ...errors import UserError
from ...files import json_bytes
from ...inference.generator import ImageGenerator
from ...inference.translator import MAX_SIDE, ImageTranslator
from ...training import run_folder
from ...training.weights import load_weights
from .graphs import Axes, Graph, graphs_of
from .parity import TOLERANCE, TOLERANCE_HALF, Parities, Run, check_parity

OPSET = 18
"""The oldest version of the ONNX operators that the exporter knows, which the most runtimes read."""


def need_onnx() -> None:
    """Raise unless the packages are there that ONNX needs."""
    try:
        for package in ("onnx", "onnxruntime", "onnxscript"):
            import_module(package)
    except ImportError as error:
        raise UserError(f"ONNX needs more packages: pip install 'ganshift[export]' ({error})") from error


def to_onnx(graphs: Sequence[Graph]) -> tuple[dict[str, bytes], Parities]:
    """Every graph as a file, run by onnxruntime and compared with the model."""
    files, parities = {}, {}
    for graph in graphs:
        name = f"{graph.name}.onnx"
        files[name] = onnx_file(graph)
        parities[graph.name] = check_parity(name, run_onnx(files[name]), graph.reference, graph.cases)
    return files, parities


def to_safetensors(
    model: ImageGenerator | ImageTranslator, folder: Path, half: bool
) -> tuple[dict[str, bytes], Parities]:
    """What `from_pretrained` and, with the critics of the model's folder, `--source` load: weights and the description.

    They are loaded again and compared with the model.
    """
    weights = {run_folder.MODEL: model.state_dict()}
    for name in run_folder.CRITICS:
        if (folder / name).exists():
            weights[name] = load_weights(folder / name)
    files = {run_folder.CONFIG: json_bytes(model.config)}
    for name, tensors in weights.items():
        stored = {key: (value.half() if half else value).cpu().contiguous() for key, value in tensors.items()}
        files[name] = save(stored, {"format": "pt", "method": model.method})
    with tempfile.TemporaryDirectory() as again:
        for name, content in files.items():
            (Path(again) / name).write_bytes(content)
        loaded = graphs_of(type(model).from_folder(Path(again), device="cpu"), uint8=False)
    tolerance = TOLERANCE_HALF if half else TOLERANCE
    return files, {
        graph.name: check_parity(run_folder.MODEL, other.reference, graph.reference, graph.cases, tolerance)
        for graph, other in zip(graphs_of(model, uint8=False), loaded, strict=True)
    }


@torch.no_grad()
def onnx_file(graph: Graph) -> bytes:
    """An ONNX file, with the facts as its metadata."""
    import onnx

    batch = torch.export.Dim("n")
    with _tracing():
        program = torch.onnx.export(
            graph.module,
            _example(graph),
            dynamo=True,
            input_names=list(graph.inputs),
            output_names=[graph.output],
            dynamic_shapes=tuple(_dimensions(varying, batch) for varying in graph.inputs.values()),
            opset_version=OPSET,
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
    sides = {
        axis: step * torch.export.Dim(f"steps_{axis}", min=1, max=MAX_SIDE // step)
        for axis, step in axes.items()
        if axis != 0
    }
    return {0: batch, **sides}


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
