"""Where to compute."""

import torch

from ..errors import UserError


def choose_device(name: str = "auto") -> torch.device:
    """Resolve auto, cpu, or an accelerator such as cuda, cuda:1, npu or mps; a missing one names what there is."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if name == "auto":
        return accelerator or torch.device("cpu")
    available = ["cpu"]
    if accelerator:
        available += [f"{accelerator.type}:{index}" for index in range(torch.accelerator.device_count())]
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    known = device is not None and (device.type in {entry.partition(":")[0] for entry in available})
    if device is None or not known or (device.index or 0) >= max(1, len(available) - 1):
        raise UserError(f"device {name!r} is not here; available: auto, {', '.join(available)}")
    return device
