"""Checkpoints of other tools that are damaged or mean ill: one line says so, and nothing is run, opened or used up."""

import pytest
from checkpoint_corpus import good, harmful, mutated, read_watched

MOST_BYTES = 600e6
"""What reading any of them may take: the largest has a million empty sets."""


def numbered(name, files):
    return {f"{number:04d}-{name}": data for number, data in enumerate(files)}


def assert_harmless(found, count):
    assert found["read"] == count
    assert found["wrong"] == []
    assert found["seen"] == []
    assert found["grew"] < MOST_BYTES


@pytest.mark.parametrize("name", sorted(good()))
def test_damaged_checkpoints(name, tmp_path):
    found = read_watched(tmp_path, numbered(name, mutated(name, 30)))
    assert_harmless(found, 30)
    assert len(found["taken"]) < 25


@pytest.mark.ring_two
@pytest.mark.parametrize("name", sorted(good()))
@pytest.mark.parametrize("quarter", range(4))
def test_a_thousand_damaged_checkpoints(name, quarter, tmp_path):
    found = read_watched(tmp_path, numbered(name, mutated(name, 250, seed=quarter)))
    assert_harmless(found, 250)
    assert len(found["taken"]) < 200


def test_harmful_checkpoints(tmp_path):
    """Every one is refused, in every container."""
    canary = tmp_path / "canary"
    bad = harmful(canary)
    for container in ("zip.pth", "old.pth", "modules.pkl", "persistent.pkl", "within.pkl"):
        assert sum(name.endswith(container) for name in bad) >= 20
    found = read_watched(tmp_path / "files", bad)
    assert_harmless(found, len(bad))
    assert found["taken"] == []
    assert not canary.exists()
