"""How long an exported model takes in onnxruntime beside the same model in PyTorch, on one thread each.

python -m benchmarks.exported RUN exports the run and alternates the two on the same inputs, in one process. What is
printed is the median time of onnxruntime over that of PyTorch: a ratio below 1 says that the exported model is faster.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnxruntime
import torch

from ganshift.inference.latents import draw_latents
from ganshift.inference.translator import ImageTranslator
from ganshift.methods.registry import open_model
from ganshift.tensors import height_and_width
from ganshift.tools.export import export

BATCHES = (1, 16)


def median_ratio(first: Callable[[], object], second: Callable[[], object], repeats: int) -> float:
    """Median time of the first over that of the second, which take turns; the first turns are not counted."""
    times: list[list[float]] = [[], []]
    for _ in range(repeats + 1):
        for took, action in zip(times, (first, second), strict=True):
            start = time.perf_counter()
            action()
            took.append(time.perf_counter() - start)
    return statistics.median(times[0][1:]) / statistics.median(times[1][1:])


def main() -> None:
    """Print one line a batch size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    one_thread = onnxruntime.SessionOptions()
    one_thread.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as out:
        path = export(options.run, out)[0][0]
        session = onnxruntime.InferenceSession(path, one_thread)
    model = open_model(options.run, "cpu")
    for batch in BATCHES:
        if isinstance(model, ImageTranslator):
            inputs = {"images": 2 * torch.rand(batch, model.channels["a"], *height_and_width(model.size)) - 1}
            in_torch = model.translate
        else:
            inputs = {"latents": draw_latents(batch, 0, dim=model.latent_dim)}
            if model.classes:
                inputs["labels"] = torch.arange(batch) % len(model.classes)
            in_torch = model.generate
        feeds = {name: value.numpy() for name, value in inputs.items()}
        ratio = median_ratio(partial(session.run, None, feeds), partial(in_torch, *inputs.values()), options.repeats)
        print(f"batch {batch}: onnxruntime takes {ratio:.2f} of PyTorch's time")  # noqa: T201


if __name__ == "__main__":
    main()
