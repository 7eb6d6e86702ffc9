"""Iterations of both methods on the null device: started by the tests, it answers each case with a line of JSON."""

import json
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import null_cuda

null_cuda.install()

import torch  # noqa: E402 - after the stand-in

from benchmarks import cases  # noqa: E402
from benchmarks.cases import CASES  # noqa: E402
from ganshift.methods.dual.config import PRESETS as DUAL  # noqa: E402
from ganshift.methods.dual.config import DualConfig  # noqa: E402
from ganshift.methods.dual.trainer import DualTrainer  # noqa: E402
from ganshift.methods.transfer.config import PRESETS as TRANSFER  # noqa: E402
from ganshift.methods.transfer.config import TransferConfig  # noqa: E402
from ganshift.methods.transfer.trainer import TransferTrainer  # noqa: E402
from ganshift.tools.bench import write_pictures  # noqa: E402
from ganshift.training.loop import arithmetic  # noqa: E402


def trainer_of(method, settings):
    if method in CASES:
        folder = Path(tempfile.mkdtemp())
        write_pictures(folder)
        return cases.trainer_of(CASES[method].config(folder, quick=False, device="cuda"))
    out = Path(tempfile.gettempdir()) / "never-written"
    if method == "dual":
        shared = {**DUAL["tiny"], "data": Path("bundled:photo-sketch"), "out": out, "device": "cuda"}
        return DualTrainer.from_config(DualConfig(**{**shared, **settings}))
    shared = {**TRANSFER["tiny"], "data": Path("bundled:digits"), "out": out, "device": "cuda"}
    return TransferTrainer.from_config(TransferConfig(**{**shared, **settings}))


def counts_of(trainer, number):
    """Of so many iterations, one after the other."""
    found = []
    with closing(trainer.batches(0)) as batches, arithmetic(trainer):
        for _ in range(number):
            batch = next(batches)
            null_cuda.reset()
            trainer.iteration(batch)
            found.append(null_cuda.counts())
    for name, part in trainer.parts().items():
        tensors = [value for value in part.state_dict().values() if isinstance(value, torch.Tensor)]
        assert all(value.device.type == "cuda" for value in tensors), name
    return found


for line in sys.stdin:
    method, settings, number = json.loads(line)
    sys.stdout.write(json.dumps(counts_of(trainer_of(method, settings), number)) + "\n")
