"""How often each address may ask."""

import ipaddress
import math
import time
from collections.abc import Callable

MAX_CLIENTS = 10_000
"""Addresses remembered; those that have asked for nothing lately are forgotten first."""


class Rates:
    """A bucket of tokens for each address: full at first, refilled evenly, so many a minute."""

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic):
        self._per_minute, self._now = per_minute, now
        self._buckets: dict[str, tuple[float, float]] = {}
        """Tokens, and when that was; the one that asked last is last."""

    def take(self, client: str) -> int:
        """Take a token of this address: 0, or the seconds until there is one."""
        now, who = self._now(), network(client)
        tokens = self._tokens(who, now)
        self._buckets.pop(who, None)
        self._buckets[who] = (tokens - 1 if tokens >= 1 else tokens, now)
        if len(self._buckets) > MAX_CLIENTS:
            del self._buckets[next(iter(self._buckets))]
        return self._until_one(tokens)

    def wait(self, client: str) -> int:
        """The seconds until `take` would give this address a token: 0 if there is one."""
        return self._until_one(self._tokens(network(client), self._now()))

    def _tokens(self, who: str, now: float) -> float:
        tokens, then = self._buckets.get(who, (float(self._per_minute), now))
        return min(tokens + (now - then) * self._per_minute / 60, float(self._per_minute))

    def _until_one(self, tokens: float) -> int:
        return 0 if tokens >= 1 else math.ceil((1 - tokens) * 60 / self._per_minute)


def network(client: str) -> str:
    """An address; of IPv6 the network of 64 bits, since one machine has all of its addresses."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv4Address) or address.ipv4_mapped:
        return client
    return str(ipaddress.ip_network((address, 64), strict=False))
