"""Nothing that we are handed may make us wait for ever."""

import signal

import pytest

MOST_SECONDS = 100


@pytest.fixture(autouse=True)
def _never_hangs():
    def stop(number, frame):
        raise TimeoutError(f"still at it after {MOST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(MOST_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
