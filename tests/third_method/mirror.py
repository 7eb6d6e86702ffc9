"""A method of another package: it learns to turn images into their mirror images, and back.

The mirroring is built into its network, which learns that colours stay.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ganshift.data.open import open_images
from ganshift.data.sampling import batches
from ganshift.inference.translator import ImageTranslator, round_trip_grid
from ganshift.methods.method import Help, Method
from ganshift.tensors import from_uint8
from ganshift.training.config import RunConfig
from ganshift.training.grad_accumulation import Updates
from ganshift.training.monitor.best import Evaluation
from ganshift.training.run_folder import MODEL, versions
from ganshift.training.trainer import Trainer
from ganshift.training.weights import save_weights


@dataclass(frozen=True, kw_only=True)
class MirrorConfig(RunConfig):
    """Learn to mirror the images of a folder."""

    data: Path
    """Images to mirror."""
    batch: int = 4
    learning_rate: float = 0.05
    log_every: int = 8
    sample_every: int = 16
    checkpoint_every: int = 8
    ema_images: int = 0

    @property
    def images_per_iteration(self) -> int:
        """One batch."""
        return self.batch


class Mirror(nn.Module):
    """Mirrors images, then mixes their channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.colours = nn.Conv2d(channels, channels, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Mirror images."""
        return self.colours(images.flip(3))


class MirrorModel(ImageTranslator):
    """The mirror, which is its own way back."""

    method = "mirror"
    package = "mirror"
    tags = ("toy",)
    papers = "Mirrors are not published."
    step = 1

    def __init__(self, channels: int) -> None:
        super().__init__({"mirror": {"channels": channels}})
        self.mirror, self.size, self.channels = Mirror(channels), 32, {"a": channels, "b": channels}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "MirrorModel":
        """As a config.json describes it."""
        return cls(**config["mirror"])

    def network(self, to: str) -> nn.Module:
        """The same both ways."""
        return self.mirror

    @torch.no_grad()
    def translate(self, images: torch.Tensor, to: str = "b") -> torch.Tensor:
        """Mirror images."""
        return self.mirror(images.to(self.mirror.colours.weight.device)).to(images.device)


class MirrorTrainer(Trainer):
    """One network, one optimiser, one folder."""

    def __init__(self, config: MirrorConfig) -> None:
        self.data = open_images(config.data, 32, None, config.memory_budget * 1e9)
        super().__init__(config, torch.device("cpu"), len(self.data))
        torch.manual_seed(config.seed)
        self.model = MirrorModel(self.data.channels)
        self.optimizer = torch.optim.Adam(self.model.parameters(), config.learning_rate)
        self.update = Updates({self.model.mirror: self.optimizer}, config.micro_batch)
        about = {"images": len(self.data), "content": self.data.content_hash}
        self.description = self.model.config | {"data": about, "training": config.to_json(), "versions": versions()}

    from_config = classmethod(lambda cls, config: cls(config))

    def batches(self, position: int) -> Any:
        """Images in the order that follows the seed."""
        seed, batch = self.config.seed, self.config.batch
        return batches({"real": self.data}, start=position, batch=batch, seed=seed, flip=True, workers=0)

    def run_iteration(self, batch: Any) -> dict[str, torch.Tensor]:
        """A step towards the mirror images, from images with a little noise."""
        real = from_uint8(batch["real"].images)
        noisy = real + 0.1 * torch.randn_like(real)
        return self.update(self.model.mirror, self.loss, noisy, real.flip(3))

    def loss(self, images: torch.Tensor, mirrored: torch.Tensor) -> dict[str, torch.Tensor]:
        """Mean squared difference."""
        return {"mirror/distance": nn.functional.mse_loss(self.model.mirror(images), mirrored)}

    def parts(self) -> dict[str, Any]:
        """What changes."""
        return {"mirror": self.model.mirror, "optimizer": self.optimizer}

    def sample_grids(self) -> dict[str, Any]:
        """There and back."""
        return {"there-and-back": round_trip_grid(from_uint8(self.data.read([0, 1])), *[self.model.translate] * 2)}

    def save_model(self, folder: Path) -> None:
        """The weights."""
        save_weights(folder / MODEL, self.model)

    def evaluate(self) -> Evaluation:
        """How far the first images are from their mirror images."""
        real = from_uint8(self.data.read([0, 1]))
        value = (self.model.translate(real) - real.flip(3)).abs().mean().item()
        return Evaluation(name="L1", value=value, error=0.01, protocol="two images", records=[])


METHOD = Method(
    name="mirror",
    kind="translator",
    domains=1,
    summary="turn images into their mirror images",
    config=MirrorConfig,
    presets={"tiny": {"images": 32}},
    default_preset="tiny",
    help=Help(examples="ganshift mirror --data pics/ --out runs/mirror", presets="tiny.", groups={}),
    networks=("mirror",),
    trainer=lambda: MirrorTrainer,
    model=lambda: MirrorModel,
)
