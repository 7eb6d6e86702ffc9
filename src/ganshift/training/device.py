"""Where to compute."""

import torch

from ..errors import UserError


def choose_device(name: str = "auto") -> torch.device:
    """Resolve auto, cpu, or an accelerator such as cuda, cuda:1, npu or mps; a missing one names what there is."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if name == "auto":
        return accelerator or torch.device("cpu")
    available = {"cpu": torch.device("cpu")}
    if accelerator:
        available[accelerator.type] = accelerator
        for index in range(torch.accelerator.device_count()):
            available[f"{accelerator.type}:{index}"] = torch.device(accelerator.type, index)
    if name not in available:
        raise UserError(f"device {name!r} is not here; available: auto, {', '.join(available)}")
    return available[name]
