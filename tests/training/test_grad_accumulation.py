"""A batch computed in parts: the same update but for rounding, and draws that differ from part to part."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from ganshift.cli import main
from ganshift.errors import UserError
from ganshift.training.draws import seed_of
from ganshift.training.grad_accumulation import LossScale, Updates
from ganshift.training.optim import NonFiniteLoss, TensorFlowRMSprop
from ganshift.training.precision import LOW, computing_in
from ganshift.training.run_folder import read_log
from ganshift.training.update import PlainUpdate


class Line(nn.Module):
    """Three weights, and a loss per image."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, images):
        return (images @ self.weight).square()


def new_updates(network, lr=0.1, **settings):
    return Updates({network: torch.optim.SGD(network.parameters(), lr=lr)}, **settings)


def moved(images, change=lambda images: images, **settings):
    """Weights and terms after one update, and how many images were computed at a time in the end."""
    line = Line()
    updates = new_updates(line, **settings)

    def loss(part):
        part = change(part)
        return {"square": line(part).mean(), "other": 2 * line(part + 1).sqrt().mean()}

    terms = updates(line, loss, images)
    assert line.weight.grad is None
    return line.weight.detach(), terms, updates.micro_batch


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 6, 7, 100])
def test_any_micro_batch_is_the_same_update(micro_batch):
    torch.manual_seed(0)
    images = torch.rand(7, 3)
    weight, terms, _ = moved(images)
    in_parts, their_terms, _ = moved(images, micro_batch=micro_batch)
    assert_close(in_parts, weight)
    assert_close(their_terms, terms)
    assert not any(term.requires_grad for term in their_terms.values())


class Number(nn.Module):
    """One weight."""

    def __init__(self, value):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value))


@pytest.mark.parametrize("kind", [Updates, PlainUpdate])
def test_an_update_steps_down_the_sum(kind):
    number = Number(3.0)
    number.weight.grad = torch.tensor(100.0)  # left over, to be dropped
    update = kind({number: torch.optim.SGD(number.parameters(), lr=0.1)})
    terms = update(number, lambda _: {"square": number.weight**2, "twice": 2 * number.weight}, torch.zeros(1))
    assert_close(number.weight.detach(), torch.tensor(3 - 0.1 * (2 * 3 + 2)))
    assert {name: term.item() for name, term in terms.items()} == {"square": 9.0, "twice": 6.0}
    assert not any(term.requires_grad for term in terms.values())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_update_raises_before_anything_moves(bad):
    number = Number(3.0)
    optimizer = TensorFlowRMSprop(number.parameters(), lr=0.1)
    with pytest.raises(NonFiniteLoss, match="penalty is") as caught:
        Updates({number: optimizer})(
            number, lambda _: {"fine": number.weight**2, "penalty": number.weight * bad}, torch.zeros(1)
        )
    assert "fine is" not in str(caught.value)
    assert isinstance(caught.value, UserError)
    assert number.weight.item() == 3.0
    assert number.weight.grad is None
    assert not optimizer.state


def test_an_overflowing_sum_is_named():
    number = Number(3e38)
    with pytest.raises(NonFiniteLoss, match="overflows"):
        new_updates(number)(number, lambda _: {"one": number.weight * 1, "two": number.weight * 1}, torch.zeros(1))


def test_an_input_with_a_graph_gets_its_gradient_back_through_it():
    """As fakes that several updates use: in parts or at once, the weights that made them move alike."""
    torch.manual_seed(0)
    latents, found = torch.randn(5, 3), []
    for micro_batch in (None, 2):
        generator, line = nn.Linear(3, 3), Line()
        with torch.no_grad():
            generator.weight.copy_(torch.eye(3))
            generator.bias.zero_()
        fake = generator(latents)
        updates = new_updates(generator, micro_batch=micro_batch)
        updates(generator, lambda fake, line=line: {"square": line(fake).mean()}, fake)
        found.append(generator.weight.detach())
    assert not torch.equal(found[0], torch.eye(3))
    assert_close(*found)


def test_draws_differ_between_parts_and_repeat():
    """Each part has a seed of its own, an update leaves the generator as it found it, and the next one draws others."""
    drawn = []

    def change(images):
        drawn.append(torch.rand(1).item())
        return images

    torch.manual_seed(5)
    moved(torch.ones(4, 3), change, micro_batch=2)
    after = torch.rand(1)
    moved(torch.ones(4, 3), change, micro_batch=2)
    assert len(set(drawn)) == 4
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), after)
    torch.manual_seed(5)
    moved(torch.ones(4, 3), change, micro_batch=2)
    assert drawn[4:] == drawn[:2]


def test_nothing_moves_when_one_part_is_not_finite():
    images = torch.ones(4, 3)
    images[3, 0] = torch.nan
    line = Line()
    optimizer = torch.optim.Adam(line.parameters())
    with pytest.raises(NonFiniteLoss, match="square is nan"):
        Updates({line: optimizer}, 1)(line, lambda part: {"square": line(part).mean(), "fine": torch.zeros(())}, images)
    assert_close(line.weight.detach(), torch.tensor([1.0, 2.0, 3.0]))
    assert not optimizer.state


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), MemoryError()])
def test_out_of_memory_halves_the_micro_batch_and_repeats_the_step(error, capsys):
    """The same update as without; here parts of more than two images do not fit."""

    def change(images):
        if len(images) > 2:
            raise error
        return images

    torch.manual_seed(0)
    images = torch.rand(7, 3)
    *found, micro_batch = moved(images, change)
    assert_close(found, list(moved(images)[:2]))
    assert micro_batch == 1
    said = capsys.readouterr().err
    assert "out of memory with 7 images at a time; the step is done again, from now on with 3 at a time" in said
    assert "out of memory with 3 images at a time; the step is done again, from now on with 1 at a time" in said


def test_one_image_that_does_not_fit():
    def change(images):
        raise torch.OutOfMemoryError("full")

    with pytest.raises(UserError, match="out of memory with 1 image at a time"):
        moved(torch.ones(4, 3), change)


def test_other_errors_are_not_taken_for_memory():
    def change(images):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        moved(torch.ones(4, 3), change)


SMALL_PROCESS = """
import resource, torch
from torch import nn
from ganshift.training.grad_accumulation import Updates

layer = nn.Conv2d(3, 16, 3)
optimizers = {layer: torch.optim.SGD(layer.parameters(), lr=0.1)}
images = torch.rand(8, 3, 512, 512)
loss = lambda part: {"square": layer(part).square().mean()}
Updates(optimizers, 1)(layer, loss, images)  # warm
extent = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (extent + 200_000_000,) * 2)
updates = Updates(optimizers)
updates(layer, loss, images)
print(updates.micro_batch)
"""


@pytest.mark.ring_two
def test_a_process_that_may_not_grow():
    """The processor's own error: one convolution of all 8 images would take 134 MB, and its derivative as much."""
    done = subprocess.run([sys.executable, "-c", SMALL_PROCESS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) in (1, 2, 4)
    assert "out of memory with 8 images at a time" in done.stderr


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_loss_that_is_not_finite_is_computed_again_in_float32(precision, capsys):
    """Numbers that fp16 does not have; in bf16 the first try is made to fail. What a try changed is put back."""
    line = nn.Linear(2, 1, bias=False)
    line.register_buffer("statistic", torch.zeros(1))
    start = line.weight.detach().clone()
    tries = []

    def loss(images):
        scores = line(images)
        tries.append(scores.dtype)
        line.statistic.add_(1)
        bad = torch.inf if scores.dtype != torch.float32 else 0.0
        return {"mean": scores.float().mean() + bad}

    updates = new_updates(line, lr=1e-12, precision=precision)
    with computing_in(precision, torch.device("cpu")):
        updates(line, loss, torch.full((4, 2), 1e5))
    assert tries == [LOW[precision], torch.float32]
    assert line.statistic.item() == 1
    assert_close(line.weight.detach(), start - 1e-12 * 1e5)
    assert f"a loss is not finite in {precision}: computing it again in fp32" in capsys.readouterr().err


def test_what_is_not_finite_in_float32_either_stops():
    network = nn.ParameterList([torch.ones(1)])
    calls = []

    def loss(images):
        calls.append(len(images))
        return {"bad": network[0].sum() * torch.inf}

    with pytest.raises(NonFiniteLoss, match="bad is inf"):
        new_updates(network, precision="bf16")(network, loss, torch.ones(2, 1))
    assert len(calls) == 2
    assert network[0].item() == 1


def test_the_loss_scale_keeps_small_gradients_and_follows_overflows():
    """1e-9 is 0 in fp16, and 65536 is infinite; the scale makes the first count and gives way to the second."""
    line = nn.Linear(1, 1, bias=False)
    updates = new_updates(line, lr=1.0, precision="fp16")

    def slope(factor):
        nn.init.zeros_(line.weight)
        with computing_in("fp16", torch.device("cpu")):
            updates(line, lambda images: {"score": line(images).float().sum() * factor}, torch.ones(1, 1))
        return -line.weight.item()

    assert slope(2e-7 / 8) > 0
    before = updates.scale.state_dict()
    assert slope(16.0) == 0  # the gradient overflows: nothing moves, and the scale is halved
    assert updates.scale.state_dict() == {"factor": before["factor"] / 2, "good": 0}
    assert slope(1.0) == pytest.approx(1, rel=1e-3)
    restored = LossScale(torch.device("cpu"))
    restored.load_state_dict(updates.scale.state_dict())
    assert restored.state_dict() == updates.scale.state_dict() == {"factor": before["factor"] / 2, "good": 1}


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
