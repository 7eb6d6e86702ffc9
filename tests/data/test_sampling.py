"""Order and flips are functions of seed and position; batches are the same however they are read."""

import logging
import multiprocessing
import signal
import subprocess
import sys
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from builders import levels, many, write
from hypothesis import given, settings
from hypothesis import strategies as st

from ganshift.data.datasets import open_array
from ganshift.data.open import open_images
from ganshift.data.sampling import batches, flips, order, permute
from ganshift.errors import UserError

seeds = st.integers(min_value=-(2**70), max_value=2**70)


@settings(max_examples=50, deadline=None)
@given(num=st.integers(1, 50), seed=seeds, epoch=st.integers(0, 10**9))
def test_each_epoch_is_a_permutation(num, seed, epoch):
    shown = order(np.arange(num) + epoch * num, num, seed)
    assert sorted(shown.tolist()) == list(range(num))


@settings(max_examples=50, deadline=None)
@given(num=st.integers(1, 30), seed=seeds, start=st.integers(0, 500), length=st.integers(0, 100))
def test_order_and_flips_do_not_depend_on_where_one_starts(num, seed, start, length):
    positions = np.arange(start + length)
    np.testing.assert_array_equal(order(positions, num, seed)[start:], order(positions[start:], num, seed))
    np.testing.assert_array_equal(flips(positions, seed)[start:], flips(positions[start:], seed))


def test_order_is_pinned():
    """A change here would show resumed runs other images: it needs a line in the changelog."""
    assert order(np.arange(10), 5, 0).tolist() == [2, 1, 0, 4, 3, 2, 3, 1, 4, 0]
    assert flips(np.arange(10), 0).astype(int).tolist() == [1, 0, 1, 1, 0, 0, 1, 0, 0, 0]


def test_the_computed_order_is_pinned():
    """As above; 2^17 is the number of images from which on it is used."""
    assert order(np.arange(6), 2**17, 0).tolist() == [70845, 22866, 38088, 2605, 3307, 122788]
    assert order(np.arange(6), 2**17, 0, "sorted").tolist() == [20283, 93181, 108862, 20134, 92719, 34394]
    assert order(np.arange(6), 2**17 - 1, 0).tolist() == order(np.arange(6), 2**17 - 1, 0, "sorted").tolist()
    assert permute(np.arange(8), 8, 0).tolist() == [2, 6, 5, 4, 0, 7, 3, 1]


@pytest.mark.parametrize("total", [*range(1, 40), 2**17, 362**2, 363**2 + 1])
def test_the_computed_order_is_a_permutation(total):
    every = np.arange(total)
    permuted = permute(every, total, 2**64 - total)
    np.testing.assert_array_equal(np.sort(permuted), every)
    np.testing.assert_array_equal(permute(every[::-7], total, 2**64 - total), permuted[::-7])


def test_all_permutations_are_equally_frequent():
    """Chi-square of the 24 permutations of four, 0.999 quantile of 23 degrees of freedom."""
    keys = np.random.default_rng(0).integers(0, 2**63, 2400).tolist()
    found = Counter(tuple(permute(np.arange(4), 4, key).tolist()) for key in keys)
    assert len(found) == 24
    assert sum((count - 100) ** 2 / 100 for count in found.values()) < 49.7


def test_places_and_neighbours_of_a_large_set_are_fair():
    """Chi-square of where the first images of many epochs come from, and of the steps between them, in 100 parts each;
    0.999 quantile of 99 degrees of freedom."""
    total = 2**20
    shown = np.array([order(np.arange(20) + epoch * total, total, 3) for epoch in range(300)])
    for values in (shown, np.diff(shown) % total):
        counts = np.bincount(values.ravel() * 100 // total, minlength=100)
        expected = values.size / 100
        assert ((counts - expected) ** 2 / expected).sum() < 148.2


def test_epochs_and_seeds_differ_and_are_fair():
    epochs = order(np.arange(2000), 20, 7).reshape(100, 20)
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 100
    assert not np.array_equal(epochs, order(np.arange(2000), 20, 8).reshape(100, 20))
    assert abs(epochs.mean(axis=0) - 9.5).max() < 3  # mean of each place, five standard errors of 0.58
    coins = flips(np.arange(10_000), 7)
    assert abs(coins.mean() - 0.5) < 0.02
    assert abs((coins[1:] == coins[:-1]).mean() - 0.5) < 0.02


def numbered(num: int, channels: int = 1, labelled: bool = False):
    """Images whose corner is their number, with a light left edge."""
    pixels = np.zeros((num, channels, 8, 8), dtype=np.uint8) + np.arange(num, dtype=np.uint8)[:, None, None, None]
    pixels[:, :, :, 0] = 255
    labels = np.arange(num) % 2 if labelled else None
    return open_array(pixels, labels, ("even", "odd") if labelled else ())


def test_batches_show_every_image_once_per_epoch():
    taken = islice(batches({"a": numbered(6, labelled=True)}, batch=4, start=0, seed=1, flip=True, workers=0), 3)
    shown, labels, mirrored = [], [], []
    for found in taken:
        shown += levels(found["a"].images)
        labels += found["a"].labels.tolist()
        mirrored += (found["a"].images[:, 0, 0, 7] == 255).tolist()
    assert sorted(shown[:6]) == sorted(shown[6:]) == list(range(6))
    assert labels == [number % 2 for number in shown]
    assert 0 < sum(mirrored) < 12


def test_a_batch_may_be_larger_than_the_set():
    found = next(batches({"a": numbered(3)}, batch=7, start=0, seed=0, flip=False, workers=0))["a"]
    assert sorted(levels(found.images)[:6]) == [0, 0, 1, 1, 2, 2]
    assert found.labels is None


def test_sets_have_orders_of_their_own():
    found = next(batches({"a": numbered(50), "b": numbered(50)}, batch=50, start=0, seed=0, flip=True, workers=0))
    assert levels(found["a"].images) != levels(found["b"].images)


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        for name in one:
            torch.testing.assert_close(one[name].images, other[name].images, rtol=0, atol=0)
            assert (one[name].labels is None) == (other[name].labels is None)
            if one[name].labels is not None:
                torch.testing.assert_close(one[name].labels, other[name].labels)


def test_starting_at_640_equals_coming_from_0():
    sets = {"a": numbered(60), "b": numbered(7, 3, labelled=True)}
    from_start = list(islice(batches(sets, batch=64, start=0, seed=3, flip=True, workers=0), 13))
    later = islice(batches(sets, batch=64, start=640, seed=3, flip=True, workers=0), 3)
    assert_same(from_start[10:], later)


# Python 3.12 warns of every fork in a process that has threads, and torch always has some.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["set", "set.zip"])
def test_streaming_equals_memory(kind, workers, tmp_path):
    path = write(tmp_path / kind, {**many(5, "x/"), **many(4, "y/")})
    small = numbered(5)
    memory, streaming = ({"a": open_images(path, 8, memory_budget_bytes=budget), "b": small} for budget in (2e9, 0))
    before = set(multiprocessing.active_children())
    reading = batches(streaming, batch=4, start=8, seed=3, flip=True, workers=workers)
    assert_same(
        list(islice(reading, 6)), list(islice(batches(memory, batch=4, start=8, seed=3, flip=True, workers=0), 6))
    )
    assert len(set(multiprocessing.active_children()) - before) == workers
    reading.close()
    assert set(multiprocessing.active_children()) == before


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_the_parent_learns_what_a_worker_found_broken(workers, tmp_path, caplog):
    images = open_images(write(tmp_path / "set", many(4)), 8, memory_budget_bytes=0)
    (tmp_path / "set" / "002.png").write_bytes(b"")
    reading = batches({"a": images}, batch=4, start=0, seed=0, flip=False, workers=workers)
    with caplog.at_level(logging.WARNING, "ganshift"):
        shown = [sorted(levels(found["a"].images)) for found in islice(reading, 3)]
    reading.close()
    assert shown == [[0, 1, 3, 3]] * 3
    assert images.quarantined == [("002.png", "empty file")]
    assert len(caplog.records) == 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_worker_that_is_killed_ends_in_one_line(tmp_path):
    images = open_images(write(tmp_path / "set", many(4)), 8, memory_budget_bytes=0)
    before, handler = set(multiprocessing.active_children()), signal.getsignal(signal.SIGCHLD)
    reading = batches({"a": images}, batch=2, start=0, seed=0, flip=False, workers=1)
    next(reading)
    assert signal.getsignal(signal.SIGCHLD) == handler
    (worker,) = set(multiprocessing.active_children()) - before
    worker.kill()
    with pytest.raises(UserError, match=r"they ended \(DataLoader worker.*\).*--workers 0 reads"):
        list(reading)


KILLED = """
import os, signal, sys, time
from pathlib import Path
from ganshift.data.open import open_images
from ganshift.data.sampling import batches
images = open_images(Path(sys.argv[1]), 128, memory_budget_bytes=0)
reading = batches({"a": images}, batch=8, start=0, seed=0, flip=False, workers=2)
for _ in range(5):
    next(reading)
time.sleep(1)  # until the pipe is full
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_when_their_parent_is_killed(tmp_path):
    """Though nobody reads their batches, which do not fit into a pipe. They hold the output open for as long."""
    place = write(tmp_path / "set", many(8))
    done = subprocess.run([sys.executable, "-c", KILLED, str(place)], capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_left_is_one_line_and_the_global_generator_is_not_used(workers, tmp_path):
    images = open_images(write(tmp_path / "set", many(1)), 8, memory_budget_bytes=0)
    state = torch.get_rng_state()
    next(reading := batches({"a": images}, batch=1, start=0, seed=0, flip=True, workers=workers))
    reading.close()
    assert torch.equal(torch.get_rng_state(), state)
    (tmp_path / "set" / "000.png").unlink()
    with pytest.raises(UserError, match=r"no readable image is left to replace 000.png; restore it$"):
        next(batches({"a": images}, batch=1, start=0, seed=0, flip=True, workers=workers))
