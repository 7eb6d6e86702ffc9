"""Is a training run healthy? Signs that every method has, what counts as a collapse, and what was said about it.

A sign is compared with the run's own past, since critics and gradients have scales of their own. What is random at the
start must not count as a collapse, so a run has to have had something before it can lose it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any, final

import torch

from ..optim import gradient_norm

FEWEST_LINES = 5
"""Lines of the log before a sign has a past to be compared with."""
SURGE = 10.0
"""A critic's gap so many times the largest before it. In 50 logs of our own, of both methods, at most 2.6 times."""
GRADIENT_SURGE = 100.0
"""Likewise of gradient norms, which are those of single steps and vary more."""
STILL = 1e-3
"""A gradient norm of so small a part of the largest before it: the network no longer learns. In 6 healthy logs of our
own at least 0.018; where a critic with the hinge loss gave all images one score, it fell to 0.0004."""
ALIKE = 0.25
"""Diversity of so small a part of the largest before it. More than that of real images counts as theirs, since noise
differs much."""
GRADIENT = "gradient/"
"""Before an optimiser's name: its gradient norm in the log."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    kind: str
    """gap, gradient, still, alike or unchanged: for which a method has advice."""
    seen: str
    """What was seen, in words."""
    lasting: int = 1
    """In how many evaluations in a row it has to be seen before it counts."""
    going_back_helps: bool = True
    """Whether an earlier checkpoint is without it."""


class Remembered:
    """What a checkpoint holds of an object: its attributes, all of them plain values."""

    def state_dict(self) -> dict[str, Any]:
        """A copy of all attributes."""
        return deepcopy(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore all of them."""
        for name in vars(self):
            setattr(self, name, deepcopy(state[name]))


@final
class Health(Remembered):
    """What a run has had, what it has lost, and what was said; all of it is in its checkpoints.

    Signs of collapse are compared with the run's own past. Each gives one warning, with settings to try:

    - the gap of the critic, its distance term: 10 times the largest before, after the fifth line of the log. In 50 logs
      of our own it was at most 2.6 times
    - gradient norms: likewise 100 times, or less than 1/1,000, or infinite
    - diversity, the RMS distance of two generated images' features over that of two real ones: less than a quarter of
      the largest before, which counts as at most 1
    - translations that are their images, where both domains have the same channels: in 3 evaluations in a row they
      differ by less than 15% of what both domains' images do, and at most twice as much as round trips
    """

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        """Lines of the log that had a term."""
        self.largest: dict[str, float] = {}
        """What terms and diversity were at most, by name."""
        self.rows: dict[str, int] = {}
        """In how many evaluations in a row each kind was found."""
        self.standing: dict[str, list[str]] = {}
        """Kinds that each source showed last."""
        self.healthy_at = 0
        """Images shown when nothing was wrong last; checkpoints up to there are healthy."""
        self.messages: list[dict[str, Any]] = []
        """Everything that was said, as images, kind and message."""
        self.rollbacks = 0
        """How often the run has gone back after a collapse."""

    def of_line(self, terms: Mapping[str, float], gaps: Sequence[str]) -> list[Finding]:
        """What a line of the log shows: a gap between scores or a gradient that surges, or one that is no more."""
        found = []
        for name, value in terms.items():
            if name in gaps:
                kind, surge, what = "gap", SURGE, f"the critic's gap {name}"
            elif name.startswith(GRADIENT):
                kind, surge, what = "gradient", GRADIENT_SURGE, f"the {name.removeprefix(GRADIENT)}'s gradient norm"
            else:
                continue
            size, largest = abs(value), self.largest.get(name, 0.0)
            known = self.lines.get(name, 0) >= FEWEST_LINES and largest > 0
            if not isfinite(size):
                found.append(Finding(kind, f"{what} is {value}"))
            elif known and size > surge * largest:
                found.append(Finding(kind, f"{what} is {size:.3g}, and was at most {largest:.3g} before"))
            elif known and kind == "gradient" and size < STILL * largest:
                found.append(Finding("still", f"{what} is {size:.3g}, and was up to {largest:.3g} before"))
            else:  # what is wrong is nothing to be compared with
                self.lines[name] = self.lines.get(name, 0) + 1
                self.largest[name] = max(largest, size)
        return found

    def of_evaluation(self, diversity: Mapping[str, float], seen: Sequence[Finding]) -> list[Finding]:
        """What an evaluation shows: images that have become alike, and what the method has seen for long enough.

        Diversity is relative to that of real images.
        """
        self.rows = {finding.kind: self.rows.get(finding.kind, 0) + 1 for finding in seen}
        found = [finding for finding in seen if self.rows[finding.kind] >= finding.lasting]
        for what, value in diversity.items():
            largest = self.largest.get(what, 0.0)
            if value < ALIKE * largest:
                words = (
                    f"{what} images have become alike: they differ {value:.2f} times as much as real ones do, and "
                    f"differed {largest:.2f} times as much before"
                )
                found.append(Finding("alike", words))
            self.largest[what] = max(largest, min(value, 1.0))
        return found

    def assess(
        self, images: int, findings: Sequence[Finding], source: str, advice: Mapping[str, str], *, decides: bool
    ) -> list[tuple[Finding, str]]:
        """What to say of what a source, such as the log, shows: findings that did not stand before, with advice.

        `decides` says whether the run is healthy if nothing is found and nothing stands from another source.
        """
        before = self.standing.get(source, [])
        self.standing[source] = [finding.kind for finding in findings]
        if decides and not any(self.standing.values()):
            self.healthy_at = images
        return [
            (finding, self.say(images, finding.kind, f"{finding.seen}. {advice.get(finding.kind, '')}"))
            for finding in findings
            if finding.kind not in before
        ]

    def say(self, images: int, kind: str, message: str) -> str:
        """Keep a message and return it, with where it belongs."""
        self.messages.append({"images": images, "kind": kind, "message": message.strip()})
        return f"at {images:,} images: {message.strip()}"


@contextmanager
def gradient_norms(optimizers: Mapping[str, torch.optim.Optimizer]) -> Iterator[dict[str, torch.Tensor]]:
    """Within the context, the norm of all gradients of each optimiser in its last step, by name, is put down.

    It is taken as the step begins, since gradients are not kept after it.
    """
    found: dict[str, torch.Tensor] = {}

    def put_down(name: str, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if (norm := gradient_norm(optimizer)) is not None:
            found[GRADIENT + name.removesuffix("_optimizer")] = norm

    hooks = [optimizer.register_step_pre_hook(partial(put_down, name)) for name, optimizer in optimizers.items()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
