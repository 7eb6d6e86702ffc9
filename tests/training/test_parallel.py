import threading
from pathlib import Path

import pytest
import torch

from ganshift.methods.dual.algorithm import training_step
from ganshift.methods.dual.config import DualConfig
from ganshift.methods.dual.trainer import new_state
from ganshift.training.parallel import side_by_side

CPU = torch.device("cpu")


@pytest.fixture(params=[2, 4])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_both_run_at_once_on_half_of_the_threads(threads):
    meeting = threading.Barrier(2, timeout=30)

    def meet():
        meeting.wait()  # breaks unless the other is there too
        return threading.current_thread().name, torch.get_num_threads()

    for _ in range(3):
        (first, half), (second, other_half) = side_by_side(meet, meet, CPU)
        assert first != second
        assert half == other_half == threads // 2
        assert torch.get_num_threads() == threads


def test_gradients_are_recorded_as_outside(threads):
    assert side_by_side(torch.is_grad_enabled, torch.is_grad_enabled, CPU) == [True, True]
    with torch.no_grad():
        assert side_by_side(torch.is_grad_enabled, torch.is_grad_enabled, CPU) == [False, False]


def test_an_error_comes_when_both_are_done(threads):
    done = []
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda: 1 / 0, lambda: done.append(1), CPU)
    assert done == [1]


def test_one_after_the_other_where_threads_do_not_help(threads):
    def name():
        return threading.current_thread().name

    main = threading.current_thread().name
    with torch.autocast("cpu"):
        assert side_by_side(name, name, CPU) == [main, main]
    assert side_by_side(name, name, torch.device("meta")) == [main, main]
    torch.set_num_threads(1)
    assert side_by_side(name, name, CPU) == [main, main]


@pytest.mark.parametrize("loss", ["wgan-gp", "wgan", "classic"])
def test_a_training_step_is_the_same_every_time(threads, loss):
    """With the squared distance: where rounding changes the sign of a pixel's error, the gradient of l1 jumps."""
    small = {"size": 32, "generator_width": 4, "critic_width": 4, "reconstruction": "l2"}
    config = DualConfig(data=Path("x"), out=Path("x"), images=1, loss=loss, **small)

    def trained(num_threads):
        torch.set_num_threads(num_threads)
        torch.manual_seed(0)
        state = new_state(config, 3, 1)
        a, b = torch.rand(2, 3, 32, 32), torch.rand(2, 1, 32, 32)
        for _ in range(3):
            terms = training_step(state, [(a, b)], config)
        networks = (state.gen_ab, state.gen_ba, state.critic_a, state.critic_b)
        return terms, [parameter.detach() for network in networks for parameter in network.parameters()]

    (terms, weights), (again, same), (serial, close) = trained(threads), trained(threads), trained(1)
    assert terms == again
    assert all(torch.equal(one, other) for one, other in zip(weights, same, strict=True))
    torch.testing.assert_close(terms, serial, rtol=1e-3, atol=1e-5)
    for one, other in zip(weights, close, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
