"""ganshift moves GANs and images between domains.

The public names are resolved when they are first used, so that importing the package imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import UserError
    from .methods.dual.config import DualConfig
    from .methods.dual.model import Translator
    from .methods.dual.trainer import train as train_dual
    from .methods.transfer.config import TransferConfig
    from .methods.transfer.model import Generator
    from .methods.transfer.trainer import train as train_transfer
    from .tools.importing import import_checkpoint

__version__ = "0.2.0"

_PUBLIC = {
    "DualConfig": ("methods.dual.config", "DualConfig"),
    "Generator": ("methods.transfer.model", "Generator"),
    "TransferConfig": ("methods.transfer.config", "TransferConfig"),
    "Translator": ("methods.dual.model", "Translator"),
    "UserError": ("errors", "UserError"),
    "import_checkpoint": ("tools.importing", "import_checkpoint"),
    "train_dual": ("methods.dual.trainer", "train"),
    "train_transfer": ("methods.transfer.trainer", "train"),
}
__all__ = [
    "DualConfig",
    "Generator",
    "TransferConfig",
    "Translator",
    "UserError",
    "import_checkpoint",
    "train_dual",
    "train_transfer",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'ganshift' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    return getattr(import_module(f".{module}", __name__), attribute)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
