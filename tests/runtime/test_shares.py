"""A batch computed in shares: the same update but for rounding, and draws that differ from share to share."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from ganshift.runtime.optim import NonFiniteLoss
from ganshift.runtime.shares import Shares, seed_of


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


def test_seeds():
    seeds = {seed_of(first, second) for first in range(10) for second in range(10)}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)
