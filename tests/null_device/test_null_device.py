"""What both methods do on CUDA, without a GPU: a stand-in runs PyTorch's whole way to the device and computes nothing.

A wrong device or type, an operator that CUDA has not in this layout, or one that a graph or deterministic arithmetic
refuses raises here as it does there. Numbers are not looked at.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import null_cuda

pytestmark = pytest.mark.ring_two
MOST_LAUNCHES = 10
"""By the host, of an iteration that is replayed: the batch's place, learning rates, seeds, terms and averages."""
KERNELS = {"transfer": 873, "transfer 64": 3_020, "dual": 1_684}
"""Most launches of an iteration kernel by kernel, at the preset `tiny`: they were 2% fewer when this was written."""

GRAPHS = {
    "transfer": ("transfer", {}),
    "transfer, acgan": ("transfer", {"conditioning": "acgan"}),
    "transfer 64": ("transfer", {"size": 64}),
    "transfer 128, norms by class": ("transfer", {"size": 128, "conditioning": "norm"}),
    "transfer, augmented": ("transfer", {"augment": "color,translation,cutout"}),
    "transfer, without norms": ("transfer", {"generator_norm": False, "critic_norm": False}),
    "transfer, as published": ("transfer", {"as_published": True, "ema_images": 0}),
    "transfer, IEEE float32": ("transfer", {"precision": "fp32"}),
    "transfer, bf16": ("transfer", {"precision": "bf16", "conditioning": "acgan"}),
    "transfer 64, bf16": ("transfer", {"precision": "bf16", "size": 64}),
    "dual": ("dual", {}),
    "dual, bf16": ("dual", {"precision": "bf16", "batch": 2, "critic_steps": 2}),
    "dual, weights clipped, patches": ("dual", {"loss": "wgan", "critic": "patch", "receptive_field": 17}),
    "dual, classic, adam, dropout": ("dual", {"loss": "classic", "optimizer": "adam", "dropout": 0.5}),
    "dual, as published": ("dual", {"as_published": True}),
    "dual, oblong": ("dual", {"aspect": "3:2"}),
    "transfer, deterministic": (
        "transfer",
        {"deterministic": True, "conditioning": "acgan", "augment": "color,translation,cutout"},
    ),
    "transfer 64, deterministic": ("transfer", {"deterministic": True, "conditioning": "norm", "size": 64}),
    "dual, deterministic": ("dual", {"deterministic": True, "dropout": 0.5, "optimizer": "adam"}),
    "on the second device": ("transfer", {"device": "cuda:1"}),
    "transfer32": ("transfer32", {}),
    "transfer64": ("transfer64", {}),
    "dual256": ("dual256", {}),
}
PUBLISHED = {"transfer32": 2_874, "transfer64": 8_302, "dual256": 2_656}
"""Kernels and library calls that the host starts for an iteration as published; `training/cuda_graph.py` shows them."""
TWO_GRAPHS = {
    "transfer, feature critic": ("transfer", {"feature_critic": 1.0}),
    "transfer, feature critic, deterministic": (
        "transfer",
        {"feature_critic": 1.0, "conditioning": "acgan", "deterministic": True},
    ),
}
NO_GRAPH = {
    "transfer, micro-batches": ("transfer", {"micro_batch": 2}),
    "transfer, fp16": ("transfer", {"precision": "fp16"}),
    "transfer 64, fp16": ("transfer", {"precision": "fp16", "size": 64}),
    "dual, micro-batches": ("dual", {"batch": 2, "micro_batch": 1}),
    "dual, fp16": ("dual", {"precision": "fp16"}),
}


@pytest.fixture(scope="module")
def null(tmp_path_factory):
    """The environment of programs that have the stand-in."""
    return os.environ | null_cuda.environment(tmp_path_factory.mktemp("null"))


@pytest.fixture(scope="module")
def counted(null):
    """What some iterations of each case count."""
    cases = GRAPHS | TWO_GRAPHS | NO_GRAPH
    lines = "\n".join(json.dumps((*case, 13 if name in TWO_GRAPHS else 5)) for name, case in cases.items())
    command = [sys.executable, str(Path(__file__).with_name("iterations.py"))]
    done = subprocess.run(command, input=lines, env=null, capture_output=True, text=True, timeout=1200, check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(answers) == len(cases), f"{list(cases)[len(answers)]}: {done.stderr[-2000:]}"
    return dict(zip(cases, answers, strict=True))


@pytest.mark.parametrize("case", GRAPHS)
def test_an_iteration_is_one_graph(case, counted):
    _, warm, recorded, *replayed = counted[case]
    assert_graph(warm, recorded, replayed)
    assert all(counts["refused"] == 0 for counts in counted[case])


@pytest.mark.parametrize("case", TWO_GRAPHS)
def test_iterations_with_and_without_the_feature_critic_are_a_graph_each(case, counted):
    """It takes part in every fourth, and both kinds are recorded at their third."""
    _, second, third, *replayed = counted[case][::4]
    assert_graph(second, third, replayed)
    _, warm, recorded, *replayed = [counts for number, counts in enumerate(counted[case]) if number % 4]
    assert_graph(warm, recorded, replayed)
    assert third["launches"] > recorded["launches"]
    assert all(counts["refused"] == 0 for counts in counted[case])


def assert_graph(warm, recorded, replayed):
    assert warm["graphs"] == 0
    assert warm["waits"] == 0  # kernel by kernel, too, once everything is there
    assert recorded["graphs"] == 1
    assert replayed
    for counts in replayed:
        assert (counts["graphs"], counts["library calls"], counts["waits"], counts["copies out"]) == (1, 0, 0, 0)
        assert counts["launches"] <= MOST_LAUNCHES


@pytest.mark.parametrize("case", NO_GRAPH)
def test_an_iteration_kernel_by_kernel(case, counted):
    assert all(counts["graphs"] == 0 and counts["launches"] > MOST_LAUNCHES for counts in counted[case])


@pytest.mark.parametrize("case", KERNELS)
def test_how_many_kernels_an_iteration_has(case, counted):
    """A guard: whatever adds kernels adds time on a device that is otherwise idle."""
    assert 0.8 * KERNELS[case] < counted[case][1]["launches"] <= KERNELS[case]


@pytest.mark.parametrize("case", PUBLISHED)
def test_the_counts_of_the_documents(case, counted):
    warm = counted[case][1]
    assert warm["launches"] + warm["library calls"] == pytest.approx(PUBLISHED[case], rel=0.02)


def test_a_run_keeps_to_its_device(counted):
    for counts in counted["on the second device"]:
        assert counts["on second device"] == counts["launches"] > 0
    assert all(counts["on second device"] == 0 for counts in counted["transfer"])


COMMAND = (
    "import null_cuda; null_cuda.install(); from ganshift.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture
def ganshift(null, tmp_path):
    def run(*arguments):
        command = [sys.executable, "-c", COMMAND, *map(str, arguments)]
        done = subprocess.run(command, env=null, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr + done.stdout

    return run


def test_commands_of_transfer(ganshift, tmp_path):
    """Begun on a processor, gone on with on CUDA and back; scored on the way; drawn from and scored."""
    train = ("transfer", "--preset", "tiny", "--data", "bundled:digits", "--out", "run", "--evaluate-every", 64)
    ganshift(*train, "--images", 64, "--device", "cpu")
    assert "resuming run at 64 images" in ganshift(*train, "--images", 160, "--device", "cuda")
    ganshift(*train, "--images", 176, "--device", "cpu")
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["images"] == 176
    assert np.isfinite(list(lines[-1]["terms"].values())).all()
    ganshift("generate", "run", "-n", 4, "-o", "drawn", "--device", "cuda:1")
    assert len(list((tmp_path / "drawn").glob("*.png"))) == 4
    ganshift("evaluate", "run", "--reference", "bundled:digits", "--num-images", 64, "--device", "cuda")


def test_commands_of_dual(ganshift, tmp_path):
    train = ("dual", "--preset", "tiny", "--data", "bundled:photo-sketch", "--out", "run", "--device", "cuda")
    ganshift(*train, "--images", 20, "--evaluate-every", 10, "--evaluate-images", 8)
    assert "resuming run at 20 images" in ganshift(*train, "--images", 30, "--evaluate-every", 10)
    Image.new("RGB", (70, 50)).save(tmp_path / "one.png")
    ganshift("translate", "run", "one.png", "--to", "b", "-o", "two.png", "--device", "cuda")
    with Image.open(tmp_path / "two.png") as picture:
        assert picture.size == (70, 50)


def test_the_log_says_why_there_is_no_graph(ganshift):
    shared = ("transfer", "--preset", "tiny", "--data", "bundled:digits", "--images", 32, "--device", "cuda")
    said = ganshift(*shared, "--out", "parts", "--micro-batch", 2)
    assert "iterations run kernel by kernel, not as a CUDA graph: a batch is computed in parts" in said
    assert "CUDA graph" not in ganshift(*shared, "--out", "whole")


def test_float64_stays_on_the_processor(null):
    """Not every accelerator has it: large pictures are translated in bands, whose statistics need it."""
    program = """
import null_cuda; null_cuda.install()
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from ganshift import Translator
class Watch(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in tree_iter(result):
            double = isinstance(value, torch.Tensor) and value.dtype == torch.float64
            assert not double or value.device.type == "cpu", function
        return result
translator = Translator.from_pretrained("photo-sketch").to("cuda")
with Watch():
    for sides in ((64, 64), (2048, 1536)):
        translator.translate(torch.zeros(1, 3, *sides), "b")
"""
    done = subprocess.run([sys.executable, "-c", program], env=null, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_features_stay_on_the_device(null):
    """To extract and to sum them copies nothing back; what comes back are means and covariances, and one KID."""
    program = """
import null_cuda; null_cuda.install()
import json, sys, torch
from ganshift.metrics import scores
from ganshift.metrics.measuring import EvaluationSettings, Extraction
network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 8)).cuda()
class Extractor(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = network
    def forward(self, images):
        return self.network(images.float()), None
extraction = Extraction(Extractor(), "", EvaluationSettings(progress=False, device="cuda"))
batches = [lambda: torch.zeros(64, 3, 4, 4, dtype=torch.uint8)] * 10
null_cuda.reset()
(features,) = extraction.extract(batches, 640, "generate")
extracted = null_cuda.counts()
whole, *without = scores.jackknife(features, 10)
summed = null_cuda.counts()
scores.kid(features, features, 20, 100)
for counts in (extracted, summed, null_cuda.counts()):
    print(json.dumps([counts[name] for name in ("copies in", "copies out", "waits")]))
assert {each.device.type for each in (features, whole.mean, whole.covariance)} == {"cuda"}
"""
    done = subprocess.run([sys.executable, "-c", program], env=null, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    extracted, summed, compared = map(json.loads, done.stdout.splitlines())
    assert extracted == [10, 0, 10]  # the batches
    assert summed == extracted
    assert compared == [11, 1, 12]  # which images each subset has; the value of each


STUDY = """
method = "transfer"
[settings]
preset = "tiny"
data = "bundled:digits"
images = 16
[grid]
seed = [0, 1]
[evaluation]
metrics = ["kid"]
num_images = 64
"""
COUNTING = """
import atexit, json, sys
if any("study.worker" in argument for argument in sys.orig_argv):
    import null_cuda
    null_cuda.install()
    atexit.register(lambda: open(f"counts-{null_cuda.os.getpid()}", "w").write(json.dumps(null_cuda.counts())))
"""


def test_each_cell_of_a_study_has_a_device_of_its_own(null, tmp_path):
    """Two at once, and no cell starts anything on the device of the other."""
    (tmp_path / "two.toml").write_text(STUDY)
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "sitecustomize.py").write_text(COUNTING)
    packages = f"{tmp_path / 'packages'}:{null['PYTHONPATH']}"
    command = [sys.executable, "-m", "ganshift", "study", "two.toml", "--processes", "2", "--out", "study"]
    done = subprocess.run(
        command,
        env=null | {"PYTHONPATH": packages},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counts = [json.loads(path.read_text()) for path in tmp_path.glob("counts-*")]
    shares = sorted(each["on second device"] / each["launches"] for each in counts)
    assert shares == [0, 1]
    devices = [json.loads(path.read_text())["training"]["device"] for path in tmp_path.glob("study/**/config.json")]
    assert sorted(devices) == ["cuda:0", "cuda:1"]


def test_the_script_for_a_real_one(null, tmp_path):
    """Every part of it works."""
    program = (
        "import null_cuda, sys; null_cuda.install(); sys.argv[0] = 'accelerator'; "
        "import runpy; runpy.run_module('benchmarks.accelerator', run_name='__main__')"
    )
    command = [sys.executable, "-c", program, "--quick", "--json", str(tmp_path / "found.json")]
    done = subprocess.run(command, env=null, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    parts = json.loads((tmp_path / "found.json").read_text())["parts"]
    assert len(parts) == 19
    assert not [name for name, part in parts.items() if "error" in part or "left out" in part]
