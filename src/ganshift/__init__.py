"""ganshift moves GANs and images between domains.

The public names are resolved when they are first used, so that importing the package imports no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dual.config import DualConfig
    from .dual.train import train as train_dual
    from .errors import UserError
    from .models import Generator, Translator
    from .transfer.config import TransferConfig
    from .transfer.train import train as train_transfer

__version__ = "0.1.0"

_PUBLIC = {
    "DualConfig": ("dual.config", "DualConfig"),
    "Generator": ("models", "Generator"),
    "TransferConfig": ("transfer.config", "TransferConfig"),
    "Translator": ("models", "Translator"),
    "UserError": ("errors", "UserError"),
    "train_dual": ("dual.train", "train"),
    "train_transfer": ("transfer.train", "train"),
}
__all__ = [
    "DualConfig",
    "Generator",
    "TransferConfig",
    "Translator",
    "UserError",
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
