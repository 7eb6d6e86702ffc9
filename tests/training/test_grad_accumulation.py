"""A batch computed in shares: the same update but for rounding, and draws that differ from share to share."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from ganshift.cli import main
from ganshift.errors import UserError
from ganshift.training.grad_accumulation import STEPS_TO_GROW, LossScale, Shares, seed_of
from ganshift.training.memory import LivePeak, memory_in_use
from ganshift.training.optim import NonFiniteLoss
from ganshift.training.precision import LOW, fast_arithmetic
from ganshift.training.run_folder import read_log


class Line(nn.Module):
    """Three weights, and a loss per image."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, images):
        return (images @ self.weight).square()


def update(shares, images, change=lambda images: images):
    line = Line()
    optimizer = torch.optim.SGD(line.parameters(), lr=0.1)

    def terms_of(part):
        share = change(images[part])
        return [{"square": line(share).mean()}, {"other": 2 * line(share + 1).sqrt().mean()}]

    terms = shares.descend(optimizer, len(images), terms_of)
    assert line.weight.grad is None
    return line.weight.detach(), terms


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 6, 7, 100])
def test_any_micro_batch_is_the_same_update(micro_batch):
    torch.manual_seed(0)
    images = torch.rand(7, 3)
    weight, terms = update(Shares(), images)
    in_shares, their_terms = update(Shares(micro_batch), images)
    assert_close(in_shares, weight)
    assert_close(their_terms, terms)
    assert not any(term.requires_grad for term in their_terms.values())


def test_draws_differ_between_shares_and_repeat():
    """Each share has a seed of its own, a step leaves the generator as it found it, and the next one draws others."""
    drawn = []

    def change(images):
        drawn.append(torch.rand(1).item())
        return images

    torch.manual_seed(5)
    update(Shares(2), torch.ones(4, 3), change)
    after = torch.rand(1)
    update(Shares(2), torch.ones(4, 3), change)
    assert len(set(drawn)) == 4
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), after)
    torch.manual_seed(5)
    update(Shares(2), torch.ones(4, 3), change)
    assert drawn[4:] == drawn[:2]


def test_nothing_moves_when_one_share_is_not_finite():
    images = torch.ones(4, 3)
    images[3, 0] = torch.nan
    line = Line()
    optimizer = torch.optim.Adam(line.parameters())
    with pytest.raises(NonFiniteLoss, match="square is nan"):
        Shares(1).descend(optimizer, 4, lambda part: [{"square": line(images[part]).mean(), "fine": torch.zeros(())}])
    assert_close(line.weight.detach(), torch.tensor([1.0, 2.0, 3.0]))
    assert not optimizer.state


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), MemoryError()])
def test_out_of_memory_halves_the_micro_batch_and_repeats_the_step(error, capsys):
    """The same update as without; here shares of more than two images do not fit."""
    shares = Shares()

    def change(images):
        if len(images) > 2:
            raise error
        return images

    torch.manual_seed(0)
    images = torch.rand(7, 3)
    assert_close(update(shares, images, change), update(Shares(), images))
    assert shares.micro_batch == 1
    said = capsys.readouterr().err
    assert "out of memory with 7 images at a time; the step is done again, from now on with 3 at a time" in said
    assert "out of memory with 3 images at a time; the step is done again, from now on with 1 at a time" in said


def test_one_image_that_does_not_fit():
    def change(images):
        raise torch.OutOfMemoryError("full")

    with pytest.raises(UserError, match="out of memory with 1 image at a time"):
        update(Shares(), torch.ones(4, 3), change)


def test_other_errors_are_not_taken_for_memory():
    def change(images):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        update(Shares(), torch.ones(4, 3), change)


SMALL_PROCESS = """
import resource, torch
from torch import nn
from ganshift.training.grad_accumulation import Shares

layer = nn.Conv2d(3, 16, 3)
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
images = torch.rand(8, 3, 512, 512)
terms_of = lambda part: [{"square": layer(images[part]).square().mean()}]
Shares(1).descend(optimizer, 8, terms_of)  # warm
extent = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (extent + 200_000_000,) * 2)
shares = Shares()
shares.descend(optimizer, 8, terms_of)
print(shares.micro_batch)
"""


def test_a_process_that_may_not_grow():
    """The processor's own error: one convolution of all 8 images would take 134 MB, and its derivative as much."""
    done = subprocess.run([sys.executable, "-c", SMALL_PROCESS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) in (1, 2, 4)
    assert "out of memory with 8 images at a time" in done.stderr


def test_a_memory_limit_chooses_the_micro_batch(capsys):
    """Each image of 2^20 numbers takes three or more times 4 MiB while it is squared and differentiated."""
    parameter = nn.Parameter(torch.ones(2**20))
    images = torch.rand(16, 2**20)

    def terms_of(part):
        return [{"square": (images[part] * parameter).square().mean()}]

    def chosen(room):
        shares = Shares(memory_limit=memory_in_use(torch.device("cpu")) + room)
        shares.descend(torch.optim.SGD([parameter], lr=0.1), 16, terms_of)
        return shares.micro_batch

    assert chosen(10e9) is None
    assert 2 <= chosen(0.15e9) <= 12
    assert "at a time" in capsys.readouterr().err
    with pytest.raises(UserError, match="memory_limit must be at least"):
        chosen(1e6)  # less than one image takes


def test_live_peak():
    """The product, its square and nothing else; what is freed counts no more."""
    with LivePeak() as live:
        for _ in range(3):
            first = torch.ones(1000)
            second = first * 2
            del first, second
    assert live.peak == 2 * 4000


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_step_that_is_not_finite_is_tried_again_in_float32(precision, capsys):
    """Numbers that fp16 does not have; in bf16 the first try is made to fail. What a try changed is put back."""
    line, statistic = nn.Linear(2, 1, bias=False), torch.zeros(1)
    start = line.weight.detach().clone()
    optimizer = torch.optim.SGD(line.parameters(), lr=1e-12)
    tries = []

    def terms_of(part):
        scores = line(torch.full((4, 2), 1e5)[part])
        tries.append(scores.dtype)
        statistic.add_(1)
        bad = torch.inf if scores.dtype != torch.float32 else 0.0
        return [{"mean": scores.float().mean() + bad}]

    shares = Shares(precision=precision, buffers=[statistic])
    with fast_arithmetic(torch.device("cpu"), fast=False, precision=precision):
        shares.descend(optimizer, 4, terms_of)
    assert tries == [LOW[precision], torch.float32]
    assert statistic.item() == 1
    assert_close(line.weight.detach(), start - 1e-12 * 1e5)
    assert f"in {precision}: trying this step again in fp32" in capsys.readouterr().err


def test_what_is_not_finite_in_float32_either_stops():
    parameter = nn.Parameter(torch.ones(1))
    calls = []

    def terms_of(part):
        calls.append(part)
        return [{"bad": parameter.sum() * torch.inf}]

    with pytest.raises(NonFiniteLoss, match="bad is inf"):
        Shares(precision="bf16").descend(torch.optim.SGD([parameter], lr=0.1), 2, terms_of)
    assert len(calls) == 2
    assert parameter.item() == 1


def test_the_loss_scale_keeps_small_gradients_and_follows_overflows():
    """1e-9 is 0 in fp16, and 65536 is infinite; the scale makes the first count and gives way to the second."""
    line = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(line.parameters(), lr=1.0)
    shares = Shares(precision="fp16")

    def slope(factor):
        nn.init.zeros_(line.weight)
        with fast_arithmetic(torch.device("cpu"), fast=False, precision="fp16"):
            shares.descend(optimizer, 1, lambda part: [{"score": line(torch.ones(1, 1)).float().sum() * factor}])
        return -line.weight.item()

    assert slope(2e-7 / 8) > 0
    before = shares.scale.factor
    assert slope(16.0) == pytest.approx(16, rel=1e-3)  # the first try overflows
    assert shares.scale.factor == before / 2
    restored = LossScale()
    restored.load_state_dict(shares.scale.state_dict())
    assert restored.factor == shares.scale.factor
    for _ in range(STEPS_TO_GROW):
        restored.overflowed(False)
    assert restored.factor == before


def test_seeds():
    seeds = {seed_of(first, second) for first in range(10) for second in range(10)}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_log_says_how_many_images_are_computed_at_a_time(tmp_path):
    settings = ["transfer", "--preset", "tiny", "--data", "bundled:digits", "--images", "16"]
    for name, more, expected in (("all", [], None), ("two", ["--micro-batch", "2"], 2)):
        assert main([*settings, "--out", str(tmp_path / name), *more]) == 0
        (line,) = read_log(tmp_path / name / "log.jsonl")
        assert line.get("micro_batch") == expected
