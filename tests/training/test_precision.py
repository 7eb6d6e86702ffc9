"""What --fast turns on, checked on the CPU: the same results within the rounding of bfloat16, and float32 where due."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ganshift.methods.dual.config import PRESETS as DUAL_PRESETS
from ganshift.methods.dual.config import DualConfig
from ganshift.methods.dual.trainer import DualTrainer
from ganshift.methods.losses import gradient_penalty
from ganshift.methods.transfer.config import PRESETS as TRANSFER_PRESETS
from ganshift.methods.transfer.config import TransferConfig
from ganshift.methods.transfer.networks import ResNetCritic
from ganshift.methods.transfer.trainer import TransferTrainer
from ganshift.training import precision
from ganshift.training.grad_accumulation import Updates
from ganshift.training.loop import arithmetic
from ganshift.training.precision import computing_in

CPU = torch.device("cpu")


@pytest.fixture
def imitated(monkeypatch):
    """Let a processor imitate what it lacks: the same rounding, in more time."""
    monkeypatch.setattr(precision, "computes", lambda device, precision: True)


def trainer_of(method, fast):
    out = Path("unused")
    if method == "dual":
        config = DualConfig(
            **DUAL_PRESETS["tiny"],
            optimizer="adam",
            data=Path("bundled:photo-sketch"),
            out=out,
            fast=fast,
            device="cpu",
        )
        return DualTrainer.from_config(config)
    preset = {**TRANSFER_PRESETS["tiny"], "conditioning": "acgan"}
    config = TransferConfig(**preset, data=Path("bundled:digits"), out=out, fast=fast, device="cpu")
    return TransferTrainer.from_config(config)


@pytest.mark.parametrize("method", ["transfer", "dual"])
@pytest.mark.usefixtures("imitated")
def test_an_iteration_is_the_same_within_rounding(method, caplog):
    terms = {}
    for fast in (False, True):
        trainer = trainer_of(method, fast)
        trainer.seen = trainer.images_per_iteration
        with computing_in(trainer.precision, CPU):
            terms[fast] = trainer.iteration(next(trainer.batches(0)))
        for name, part in trainer.parts().items():
            tensors = [value for value in part.state_dict().values() if isinstance(value, torch.Tensor)]
            assert all(tensor.dtype == torch.float32 for tensor in tensors if tensor.is_floating_point()), name
    assert caplog.text.count("made for accelerators") == 1
    assert terms[True] != terms[False]  # something was rounded
    for name, exact in terms[False].items():
        assert terms[True][name].dtype == torch.float32
        torch.testing.assert_close(terms[True][name], exact, rtol=0.03, atol=3e-3)


@pytest.mark.parametrize("method", ["transfer", "dual"])
def test_a_processor_without_the_arithmetic_computes_in_float32(method, monkeypatch, caplog):
    monkeypatch.setattr(precision, "computes", lambda device, precision: precision == "fp32")
    terms = []
    for fast in (False, True):
        trainer = trainer_of(method, fast)
        with arithmetic(trainer):
            terms.append(trainer.iteration(next(trainer.batches(0))))
    assert trainer.precision == trainer.update.precision == "fp32"
    assert caplog.text.count("this processor has no bf16 arithmetic") == 1
    torch.testing.assert_close(*terms, rtol=1e-4, atol=1e-5)  # layouts and Adam's kernel round in another order


def test_processors_say_what_they_have():
    """Float32 always; and what an accelerator has is not asked of the processor."""
    assert precision.computes(CPU, "fp32")
    assert precision.computes(torch.device("cuda"), "bf16")
    has = {"bf16": torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()}
    has["fp16"] = torch.ops.mkldnn._is_mkldnn_fp16_supported()
    if platform.machine() == "x86_64":
        assert {name: precision.computes(CPU, name) for name in has} == has


@pytest.mark.parametrize("norm", [False, True])
def test_the_penalty_is_not_rounded(norm):
    critic = ResNetCritic(size=32, width=8, norm=norm)
    real, fake, alpha = torch.rand(3, 3, 32, 32), torch.rand(3, 3, 32, 32), torch.rand(3)

    def penalty():
        return gradient_penalty(lambda images: critic(images)[0], real, fake, alpha)

    exact = penalty()
    with computing_in("bf16", CPU):
        torch.testing.assert_close(penalty(), exact, rtol=0, atol=0)
        assert critic(real)[0].dtype == torch.float32


def test_the_penalty_of_an_update_has_gradients_in_float32():
    """Its second derivative, too: autocast is for forward passes."""
    real, fake, alpha = torch.rand(3, 3, 32, 32), torch.rand(3, 3, 32, 32), torch.rand(3)

    def moved(precision):
        torch.manual_seed(0)
        critic = ResNetCritic(size=32, width=8)
        update = Updates({critic: torch.optim.SGD(critic.parameters(), 1.0)}, precision=precision)

        def loss(real, fake, alpha):
            return {"penalty": gradient_penalty(lambda images: critic(images)[0], real, fake, alpha)}

        with computing_in(precision, CPU):
            update(critic, loss, real, fake, alpha)
        return list(critic.parameters())

    for exact, low in zip(moved("fp32"), moved("bf16"), strict=True):
        assert torch.equal(exact, low)


def test_arithmetic_is_left_as_it_was():
    with computing_in("fp32", CPU):
        assert not torch.is_autocast_enabled("cpu")
    with computing_in("bf16", CPU):
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("chosen", ["ieee", "tf32", "none"])
def test_tf32_is_what_the_settings_say(chosen):
    """Whatever the program has chosen before, by torch's newer settings: these it finds again."""
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = matmul.fp32_precision
    matmul.fp32_precision = chosen
    try:
        for wanted, found in {"fp32": "ieee", "tf32": "tf32"}.items():
            with computing_in(wanted, torch.device("cuda")):
                assert (matmul.fp32_precision, conv.fp32_precision) == (found, found)
            assert (matmul.fp32_precision, conv.fp32_precision) == (chosen, "tf32")
        with computing_in("tf32", CPU):
            assert matmul.fp32_precision == chosen
    finally:
        matmul.fp32_precision = before


def test_deterministic_operators_are_used_within_a_run():
    trainer = trainer_of("dual", False)
    object.__setattr__(trainer.config, "deterministic", True)
    with arithmetic(trainer):
        assert torch.are_deterministic_algorithms_enabled()
        trainer.iteration(next(trainer.batches(0)))
    assert not torch.are_deterministic_algorithms_enabled()


def test_tf32_is_for_cuda():
    assert {name: precision.precision_on(torch.device(name), "tf32") for name in ("cpu", "cuda", "mps")} == {
        "cpu": "fp32",
        "cuda": "tf32",
        "mps": "fp32",
    }


def test_weights_changed_within_the_block_are_seen():
    """Autocast's cache would hand out casts from before an update."""
    layer, images = torch.nn.Linear(4, 4), torch.ones(1, 4)
    with computing_in("bf16", CPU):
        before = layer(images)
        with torch.no_grad():
            layer.weight.add_(1)
        torch.testing.assert_close(layer(images), before + 4, rtol=0.02, atol=0.02)


COMPARE = """
import torch
from torch.testing import assert_close
from ganshift.training.precision import prepare_networks
from ganshift.methods.transfer.networks import ResNetCritic, ResNetGenerator

torch.manual_seed(0)
generator, twin = ResNetGenerator(size=32, width=8), ResNetGenerator(size=32, width=8)
twin.load_state_dict(generator.state_dict())
prepare_networks([twin], [], torch.device("cpu"), fast=True, backend="aot_eager")
assert twin.state_dict().keys() == generator.state_dict().keys()
assert twin.to_image.weight.is_contiguous(memory_format=torch.channels_last)
latents = torch.randn(4, 128)
for network in (generator, twin):
    network(latents).square().mean().backward()
assert_close(twin(latents), generator(latents), rtol=1e-4, atol=1e-5)
for ours, theirs in zip(twin.parameters(), generator.parameters(), strict=True):
    assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)
assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
assert not torch._dynamo.utils.counters["graph_break"]
critic = ResNetCritic(size=64, width=8)
torch.compile(critic, backend="eager", fullgraph=True)(torch.rand(2, 3, 64, 64))
"""
"""Without the tests' checks of annotations, which torch.compile cannot trace."""


@pytest.mark.ring_two
def test_compiled_networks_compute_the_same():
    done = subprocess.run([sys.executable, "-c", COMPARE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
