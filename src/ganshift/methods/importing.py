"""What a method makes of a checkpoint that another tool wrote: its records say which ones it knows (`ImportFormat`).

`tools.importing` reads the files and asks all methods.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import UserError, printable

if TYPE_CHECKING:
    from torch import nn

MISFIT = "no published network has these shapes together"
"""What is said of weights that fit no network."""
NAMES_SHOWN = 10
"""Names in an error about what a checkpoint holds."""
Role = Literal["file", "backward", "critic_a", "critic_b"]
"""What a file is for: the one that is imported, or a further one that an option of the command names."""


@dataclass(frozen=True, kw_only=True)
class CheckpointFile:
    """A checkpoint that was read, without running a line of it."""

    path: Path
    container: Literal["tensorflow", "torch", "pickle"]
    """How it is packed: what its `content` is follows from that."""
    content: Any
    """Of TensorFlow: arrays by the full names of variables, without those of optimisers. Of torch: the containers,
    tensors, numbers and texts that were saved. Of a pickle: the same and records of objects."""
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What a checkpoint does not say, and the user does; each is None or False where nothing is said."""

    classes: Sequence[str] | None = None
    """Names of the classes in the order of their labels; numbers if left out."""
    keep_channel_order: bool = False
    """Leave a DualGAN with blue first."""
    image_statistics: bool = False
    """Batch norms of a translator take the statistics of each image."""
    rgba: bool = False
    """The four channels of pictures are red, green, blue and opacity."""
    size: int | None = None
    """Side in pixels of the images trained on."""
    names: str | None = None
    """What the domains of a translator are called, with a comma between."""

    def given(self) -> list[str]:
        """Names of the options that say something."""
        values = {option.name: getattr(self, option.name) for option in fields(self)}
        return [name for name, value in values.items() if value is not None and value is not False]


@dataclass(frozen=True, kw_only=True)
class ImportedRun:
    """A checkpoint as a run."""

    description: Mapping[str, Any]
    """What config.json says of its networks."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """What config.json says of how it was imported, beside the checkpoint's name and hash."""
    write: Callable[[Path], None]
    """Writes the weights into the run folder, which is held and described already; may take a while."""
    found: Sequence[str]
    """Lines that say what the checkpoint holds."""


@dataclass(frozen=True, kw_only=True)
class ImportFormat:
    """How checkpoints of one kind become networks, and runs of a method.

    What its functions raise is said to be the checkpoint's fault: a `UserError` by what it says, errors of shapes and
    types as shapes that do not belong together.
    """

    title: str
    """What the networks are called."""
    licence: str
    """What the licence of the tool that wrote such files allows, in a sentence."""
    recognises: Callable[[CheckpointFile], bool]
    """Whether a file is of this kind, by the names in it alone; no file may be of two."""
    networks: "Callable[[CheckpointFile], Mapping[str, nn.Module]]"
    """All networks of a file by name, with its weights."""
    run: Callable[[Mapping[Role, CheckpointFile], ImportOptions], ImportedRun]
    """The run of a file, and of the further ones that were given with it."""
    takes: frozenset[str] = frozenset()
    """Which options and which roles of further files say something of it; others are refused."""


def check_names(needed: Iterable[str], given: Iterable[str]) -> None:
    """Raise a `UserError` that lists what is missing or left over, unless the names are the same."""
    missing, left_over = sorted({*needed} - {*given}), sorted({*given} - {*needed})
    if missing or left_over:
        raise UserError(f"its tensors fit no network; missing: {listed(missing)}; left over: {listed(left_over)}")


def listed(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return (", ".join(map(printable, names[:NAMES_SHOWN])) or "none") + more
