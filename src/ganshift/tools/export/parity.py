"""Whether an exported model gives what the PyTorch model gives; one that does not is not written."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from ...errors import UserError

Run = Callable[..., Tensor]
"""Inputs in their order to the output."""
TOLERANCE = 1e-3
"""Largest difference of values in [-1, 1]; a level of 256 is 0.0078."""
TOLERANCE_HALF = 0.03
"""The same for weights in half precision: four levels, ten times what rounding has changed in trained models."""


@final
@dataclass(frozen=True)
class Parity:
    """All comparisons of one file, as parity.json has them."""

    max_abs_error: float
    """The largest difference of all."""
    tolerance: float
    unit: str
    cases: Sequence[Mapping[str, Any]]
    """The shapes of the inputs and the largest difference of each comparison."""


@torch.no_grad()
def check_parity(
    name: str, exported: Run, reference: Run, cases: Iterable[tuple[Tensor, ...]], tolerance: float = TOLERANCE
) -> Parity:
    """Compare both on every case; a `UserError` if they differ by more than is tolerated, in shape or in type."""
    done: list[dict[str, Any]] = []
    for inputs in cases:
        ours, wanted = exported(*inputs), reference(*inputs)
        if ours.shape != wanted.shape or ours.dtype != wanted.dtype:
            found, needed = (f"{value.dtype} {list(value.shape)}" for value in (ours, wanted))
            raise UserError(f"{name} is not written: it gives {found} where the PyTorch model gives {needed}")
        if not wanted.is_floating_point():
            tolerance = 1.0  # a level: of a value on the edge of two, rounding may go either way
        error, shapes = (ours.double() - wanted.double()).abs().max().item(), [list(value.shape) for value in inputs]
        if not error <= tolerance:  # so written, nan fails too
            raise UserError(
                f"{name} is not written: its values differ by {error:.3g} from the PyTorch model's for inputs of "
                f"{shapes}, and {tolerance:g} is tolerated; try another --format"
            )
        done.append({"shapes": shapes, "max_abs_error": error})
    unit = "values in [-1, 1]" if wanted.is_floating_point() else "levels of 0 to 255"
    return Parity(max(case["max_abs_error"] for case in done), tolerance, unit, done)
