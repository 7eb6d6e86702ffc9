"""Whether an exported model gives what the PyTorch model gives; one that does not is not written."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ...errors import UserError

Run = Callable[..., Tensor]
"""Inputs in their order to the output."""
Parities = dict[str, dict[str, Any]]
"""What `check_parity` found, by the name of the model's graph."""
TOLERANCE = 1e-3
"""Largest difference of values in [-1, 1]; a level of 256 is 0.0078."""
TOLERANCE_HALF = 0.03
"""The same for weights in half precision: four levels, ten times what rounding has changed in trained models."""


@torch.no_grad()
def check_parity(
    name: str, exported: Run, reference: Run, cases: Iterable[tuple[Tensor, ...]], tolerance: float = TOLERANCE
) -> dict[str, Any]:
    """Compare both on every case; a `UserError` if they differ by more than is tolerated, in shape or in type.

    Returns what parity.json has: the largest difference of all (`max_abs_error`), the `tolerance`, their `unit`, and
    the `cases`, each with the shapes of its inputs and its largest difference.
    """
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
    worst = max(case["max_abs_error"] for case in done)
    return {"max_abs_error": worst, "tolerance": tolerance, "unit": unit, "cases": done}
