"""Signals that ask to stop: which are collected, which stay ignored, and what stands afterwards."""

import signal

import pytest

from ganshift.data.stop_signals import STOP_SIGNALS
from ganshift.training.loop import _tell_of_stop
from ganshift.training.signals import collected_signals


def test_each_is_collected_and_given_back():
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with collected_signals(lambda received: None) as received:
        for number in STOP_SIGNALS:
            signal.raise_signal(number)
    assert received == list(STOP_SIGNALS)
    assert {"SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"} == {number.name for number in received}
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with collected_signals(lambda received: None) as received:
            signal.raise_signal(signal.SIGHUP)
        assert received == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_only_a_second_ctrl_c_stops_at_once():
    """Slurm warns by SIGUSR1 and then sends SIGTERM; systemd sends SIGTERM and SIGHUP together."""
    with collected_signals(_tell_of_stop) as received:
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert len(received) == 6
