"""Exceptions whose message is a sentence for whoever sent a request, and what status it has."""

from ...data.images import UnreadableImage
from ...errors import UserError


class TooLarge(UserError):  # noqa: N818 - it names what is wrong with a request, not a failure
    """More is asked for than the limits allow."""


class NotServed(UserError):  # noqa: N818
    """A model is named that is not here."""


class Busy(Exception):  # noqa: N818 - it names a state, not a failure
    """Too many requests wait already."""


class TooSlow(Exception):  # noqa: N818
    """The request would take more than its time."""


class Abandoned(Exception):  # noqa: N818
    """Nobody waits for the answer any more: the client has gone, or the server ends."""


STATUS: dict[type[Exception], int] = {
    NotServed: 404,
    TooLarge: 413,
    UnreadableImage: 400,
    UserError: 400,
    Busy: 503,
    TooSlow: 503,
    Abandoned: 503,
}
"""HTTP status of each; a class before its parents."""
