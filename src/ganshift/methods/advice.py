"""What `ganshift doctor` advises: a run to start with, and what a method is told of the images it is advised for."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ..training.config import RunConfig


@runtime_checkable
class PictureFacts(Protocol):
    """What is known of the training images of one domain."""

    @property
    def pictures(self) -> Sequence[Any]:
        """One entry for each image that can be read."""
        ...

    @property
    def classes(self) -> Mapping[str, int]:
        """Images of each class; empty if there are none."""
        ...

    @property
    def aspects(self) -> Mapping[str, int]:
        """How many images have which width to height, such as 3:2, the most frequent first."""
        ...

    @property
    def usual_channels(self) -> int:
        """1 gray, 3 colour, 4 with transparency: what training would take."""
        ...

    @property
    def shorter_side(self) -> float:
        """Median, in pixels."""
        ...

    def cropped(self, ratio: float = 1.0) -> float:
        """Mean share of pixels outside the largest box of this width to height."""
        ...


@dataclass(frozen=True, kw_only=True)
class Advice:
    """A run to start with."""

    config: RunConfig
    command: str
    """The same, to be typed."""
    preset: str
    size: tuple[int, int]
    """Height and width of the training images."""
    num_images: int
    """Training images, of the smaller domain if there are two: those of an epoch."""
    why: Sequence[str]
    """Reasons, and ways to do better, a sentence or two each."""
    published: Sequence[str]
    """What published runs on about as many images came to."""

    @property
    def budget(self) -> int:
        """Images that the run will show."""
        return self.config.budget(self.config.images_per_iteration, self.num_images)

    def to_json(self) -> dict[str, Any]:
        """What is advised as JSON values."""
        return {
            "command": self.command,
            "preset": self.preset,
            "size": list(self.size),
            "budget": self.budget,
            "epochs": round(self.budget / self.num_images, 2),
            "why": self.why,
            "published": self.published,
        }


def command_line(method: str, preset: str, settings: Mapping[str, Any], where: Mapping[str, Path], out: Path) -> str:
    """The command that trains a method from a preset, with settings over it, on what `where` names."""
    words = ["ganshift", method]
    for name, value in {**where, "preset": preset, **settings, "out": out}.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
