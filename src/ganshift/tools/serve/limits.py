"""What one server takes on: sizes, rates, waiting requests and time."""

from dataclasses import dataclass
from math import isfinite

from ...training.config import require

MEGABYTE = 1_000_000
MAX_JSON_BYTES = 262_144
"""Of a request without an upload: all of its fields are short."""
FILES_AT_ONCE = 10
"""Of `max_upload_mb` each, which one upload of several files may hold."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a server, for its page and its HTTP API alike."""

    max_upload_mb: float = 20.0
    """Largest file that can be uploaded, in megabytes."""
    max_pixels: int = 16_000_000
    """Most pixels of an uploaded picture, and of all pictures that one request draws together."""
    requests_per_minute: int = 120
    """Most requests to upload, draw or translate in a minute from one address; also most wrong passwords."""
    queue: int = 32
    """Most requests that may wait while one is computed; others are refused (503)."""
    seconds: float = 60.0
    """Most seconds that a request may compute, per file if it has several."""

    def check(self) -> None:
        """Raise a `UserError` that names the first one that cannot be."""
        for name in ("max_upload_mb", "max_pixels", "requests_per_minute", "seconds"):
            value = getattr(self, name)
            require(value > 0 and isfinite(value), f"{name} must be more than 0 and finite, got {value}")
        require(self.queue >= 0, f"queue must be at least 0, got {self.queue}")

    @property
    def max_upload_bytes(self) -> int:
        """The same in bytes."""
        return int(self.max_upload_mb * MEGABYTE)
