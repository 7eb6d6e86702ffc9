"""Which signals ask a run to stop: training heeds them, and processes that decode images leave them to it."""

import signal

STOP_SIGNALS = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
    if name in signal.Signals.__members__  # Windows has the first two
)
"""Ctrl-C, the system's or a container's request, a connection that dropped, and a batch system's warning that its time
is nearly up."""
