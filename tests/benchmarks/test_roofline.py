"""What an operator computes and moves."""

import torch

from benchmarks.roofline import OPTIMISER, OTHERS, PRODUCTS, Operators, kind_of


def test_operators_are_counted_with_their_bytes():
    left, right, weight = torch.ones(4, 5), torch.ones(5, 6), torch.ones(7)
    with Operators() as operators:
        for _ in range(3):
            (left @ right).t().relu()
        torch._foreach_mul_([weight], 0.5)
    assert operators.work == {
        "aten.mm 4x5, 5x6": (2 * 4 * 5 * 6, 4 * (4 * 5 + 5 * 6 + 4 * 6)),
        "aten.relu 6x4": (0, 4 * 2 * 24),
        "aten._foreach_mul_ ": (0, 4 * 7),
    }
    assert [len(seconds) for seconds in operators.seconds.values()] == [3, 3, 1]
    kinds = [kind_of(key, flops) for key, (flops, _) in operators.work.items()]
    assert kinds == [PRODUCTS, OTHERS, OPTIMISER]
