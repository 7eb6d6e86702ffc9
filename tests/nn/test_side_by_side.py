"""Halves at once compute what halves in turn compute, in values, gradients and faults."""

import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from ganshift.methods.dual.config import PRESETS, DualConfig
from ganshift.methods.dual.trainer import new_algorithm, new_optimizer
from ganshift.nn.side_by_side import side_by_side
from ganshift.training.draws import Draws
from ganshift.training.grad_accumulation import Updates
from ganshift.training.update import PlainUpdate

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2], ids=["in turn", "at once"])
def threads(request):
    with number_of_threads(request.param):
        yield request.param


@contextmanager
def number_of_threads(number):
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    yield
    torch.set_num_threads(before)


class DoubleDraws(Draws):
    def uniform(self, *shape):
        return super().uniform(*shape).double()


def trained(threads, update, **settings):
    """Terms and weights after two iterations of dual in double precision."""
    config = DualConfig(**(PRESETS["tiny"] | {"data": Path("data"), "out": Path("out"), "batch": 3} | settings))
    torch.manual_seed(0)
    algorithm = new_algorithm(config, channels_a=1, channels_b=3)
    networks = (algorithm.generators.double(), algorithm.critics.double())
    step = update({network: new_optimizer(config, network) for network in networks})
    a, b = torch.rand(3, 1, 32, 32).double(), torch.rand(3, 3, 32, 32).double()
    with number_of_threads(threads):
        found = [algorithm.iteration([(a, b)], step, DoubleDraws(CPU)) for _ in range(2)]
    parameters = [parameter.detach() for network in networks for parameter in network.parameters()]
    return found[-1], torch.cat([parameter.flatten() for parameter in parameters])


@pytest.mark.parametrize("loss", ["wgan-gp", "wgan"])
@pytest.mark.parametrize("update", [Updates, PlainUpdate])
def test_an_iteration_of_dual_is_the_same(update, loss):
    expected, weights = trained(1, update, loss=loss)
    terms, found = trained(2, update, loss=loss)
    torch.testing.assert_close(terms, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found, weights, rtol=0, atol=1e-12)


def test_halves_that_drop_values_draw_them_in_order():
    expected, weights = trained(1, Updates, dropout=0.5)
    terms, found = trained(2, Updates, dropout=0.5)
    torch.testing.assert_close(terms, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found, weights, rtol=0, atol=1e-12)


def test_halves_run_in_threads_of_their_own_with_half_of_the_threads(threads):
    """Both wait for each other, which only threads of their own can."""
    if threads == 1:
        here = side_by_side(lambda: {"a": torch.tensor(threading.get_ident())}, dict, CPU)
        assert here["a"] == threading.get_ident()
        return
    meeting = threading.Barrier(2, timeout=30)

    def half(name):
        meeting.wait()
        return {name: torch.tensor(torch.get_num_threads())}

    assert side_by_side(lambda: half("a"), lambda: half("b"), CPU) == {"a": 1, "b": 1}
    assert torch.get_num_threads() == 2


def test_one_half_alone_may_be_asked_for(threads):
    """As a critic of one domain alone does, whose fake came from both directions."""
    one, other = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.tensor(3.0))
    found = side_by_side(lambda: {"one": one**2, "not learned": torch.ones(())}, lambda: {"other": other**2}, CPU)
    found["one"].mul(10).backward()
    assert one.grad == 40
    assert other.grad is None


def test_halves_within_halves(threads):
    """The graphs of two halves that were computed at once are walked from two halves that are."""
    one, other = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.tensor(3.0))
    inner = side_by_side(lambda: {"one": one**2}, lambda: {"other": other**2}, CPU)
    outer = side_by_side(lambda: {"a": inner["one"] ** 2}, lambda: {"b": inner["other"] ** 2}, CPU)
    (outer["a"] + outer["b"]).backward()
    assert one.grad == 4 * 2**3
    assert other.grad == 4 * 3**3


def test_without_gradients(threads):
    weight = nn.Parameter(torch.tensor(2.0))
    with torch.no_grad():
        found = side_by_side(lambda: {"a": weight * 1}, lambda: {"b": weight * 2}, CPU)
    assert found == {"a": 2, "b": 4}
    assert not any(value.requires_grad for value in found.values())


@pytest.mark.parametrize("broken", ["first", "second"])
def test_a_half_that_fails_fails_the_whole_and_leaves_the_next_alone(threads, broken):
    def fail():
        raise MemoryError("no more")

    def works():
        return {"a": torch.ones(())}

    with pytest.raises(MemoryError, match="no more"):
        side_by_side(*((fail, works) if broken == "first" else (works, fail)), CPU)
    assert side_by_side(works, dict, CPU) == {"a": 1}


def test_under_autocast_both_are_computed_in_its_type(threads):
    weight = nn.Parameter(torch.ones(2, 2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = side_by_side(lambda: {"a": weight @ weight}, lambda: {"b": weight @ weight}, CPU)
    assert [value.dtype for value in found.values()] == [torch.bfloat16] * 2
