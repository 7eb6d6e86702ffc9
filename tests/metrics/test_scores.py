"""Scores: known values, torch-fidelity's numbers, batch sizes, directions, the cache."""

import numpy as np
import pytest
import torch
from stand_in import StandIn, batches, random_images
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric

from ganshift import UserError
from ganshift.metrics import scores


def gaussian(count, dim, seed, mean=0.0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=generator) * scale + mean


def moments(features, batch=64, groups=1):
    found = scores.Moments(len(features), groups)
    for part in features.split(batch):
        found.update(part)
    return found


def test_frechet_distance_of_gaussians():
    """Between N(m, s² I) and N(0, I): |m|² + d (s - 1)²."""
    dim = 5
    first = scores.Statistics(torch.full((dim,), 2.0).double(), 9 * torch.eye(dim).double())
    second = scores.Statistics(torch.zeros(dim).double(), torch.eye(dim).double())
    assert scores.frechet_distance(first, second) == pytest.approx(4 * dim + 4 * dim)


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_moments_of_a_stream(batch):
    features = gaussian(100, 4, seed=1, mean=50.0)
    statistics = moments(features, batch, groups=3).statistics()
    values = features.double().numpy()
    np.testing.assert_allclose(statistics.mean.numpy(), values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(statistics.covariance.numpy(), np.cov(values, rowvar=False), rtol=1e-9, atol=1e-12)
    left = moments(features, batch, groups=3).statistics(without=1)
    values = np.concatenate([values[:33], values[66:]])
    np.testing.assert_allclose(left.covariance.numpy(), np.cov(values, rowvar=False), rtol=1e-9, atol=1e-12)


def test_fid_is_torch_fidelitys():
    ours, theirs = gaussian(300, 6, 1), gaussian(400, 6, 2, mean=0.3)
    found = scores.fid(moments(ours, groups=10), moments(theirs).statistics())
    pair = [fid_features_to_statistics(features) for features in (ours, theirs)]
    expected = fid_statistics_to_metric(*pair, verbose=False)["frechet_inception_distance"]
    assert found.value == pytest.approx(expected, rel=1e-5)


def test_jackknife_spread_is_that_of_repeated_draws():
    reference = moments(gaussian(5000, 4, 0)).statistics()
    found = [scores.fid(moments(gaussian(500, 4, seed, 0.5), groups=10), reference) for seed in range(1, 61)]
    actual = np.std([score.value for score in found])
    assert np.mean([score.spread for score in found]) == pytest.approx(actual, rel=0.25)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_inception_score_by_split(batch):
    logits = gaussian(95, 5, 3, scale=2.0)
    found = scores.InceptionScore(len(logits))
    for part in logits.split(batch):
        found.update(part)
    expected = isc_features_to_metric(logits, splits=10, shuffle=False)
    assert found.score().value == pytest.approx(expected["inception_score_mean"])
    assert found.score().spread == pytest.approx(expected["inception_score_std"])


def test_inception_score_of_certain_and_even_classes():
    logits = 100 * torch.eye(4).repeat(20, 1)
    found = scores.InceptionScore(80)
    found.update(logits)
    assert found.score().value == pytest.approx(4)
    assert found.score().spread == pytest.approx(0, abs=1e-9)


def test_kid_and_precision_of_the_same_distribution():
    ours, theirs, far = gaussian(400, 4, 1), gaussian(400, 4, 2), gaussian(400, 4, 3, mean=20.0)
    assert abs(scores.kid(ours, theirs, 50, 100).value) < 0.1 < scores.kid(far, theirs, 50, 100).value
    precision, recall = scores.precision_recall(ours, theirs)
    assert precision.value > 0.8
    assert recall.value > 0.8
    assert precision.spread == pytest.approx((precision.value * (1 - precision.value) / 400) ** 0.5)
    assert [score.value for score in scores.precision_recall(far, theirs)] == [0, 0]


def all_scores(generated, reference, batch):
    """Every score by name, as evaluation computes it."""
    network = StandIn()
    taken = scores.InceptionScore(len(generated)), scores.Moments(len(generated), 10), scores.Kept(len(generated))
    for layers in scores.extract(network, batches(generated, batch)):
        taken[0].update(layers["logits"])
        taken[1].update(layers["features"])
        taken[2].update(layers["features"])
    known = scores.reference_features(network, "features", batches(reference, batch), len(reference), f"{batch}")
    precision, recall = scores.precision_recall(taken[2].values, known.features)
    return {
        "is": taken[0].score().value,
        "fid": scores.fid(taken[1], known.statistics).value,
        "kid": scores.kid(taken[2].values, known.features, 20, 50).value,
        "precision": precision.value,
        "recall": recall.value,
    }


def test_batch_size_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ours, theirs = random_images(150, 1), random_images(200, 2)
    first = all_scores(ours, theirs, 1)
    for batch in (7, 64):
        assert all_scores(ours, theirs, batch) == pytest.approx(first, rel=1e-5)


def test_mode_collapse_moves_scores_the_right_way(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    real, fair = random_images(300, 1), random_images(300, 2)
    collapsed = random_images(3, 3).repeat(100, 1, 1, 1)
    good, bad = all_scores(fair, real, 50), all_scores(collapsed, real, 50)
    assert bad["is"] < good["is"]
    assert bad["recall"] < good["recall"]
    assert bad["fid"] > 2 * good["fid"]
    assert bad["kid"] > good["kid"]


def test_reference_is_extracted_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    network, images = StandIn(), random_images(20, 1)
    found = [scores.reference_features(network, "features", batches(images, 8), 20, "one") for _ in range(2)]
    assert network.seen == 20
    torch.testing.assert_close(found[0].features, found[1].features, rtol=0, atol=0)
    torch.testing.assert_close(found[0].statistics.covariance, found[1].statistics.covariance, rtol=0, atol=0)
    scores.reference_features(network, "features", batches(images, 8), 20, "another")
    assert network.seen == 40


def test_damaged_and_unwritable_cache(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    network, images = StandIn(), random_images(20, 1)
    scores.reference_features(network, "features", batches(images, 8), 20, "one")
    (entry,) = scores.cache_folder().iterdir()
    entry.write_bytes(b"damaged")
    scores.reference_features(network, "features", batches(images, 8), 20, "one")
    assert "extracting again" in caplog.text
    assert network.seen == 40
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    scores.reference_features(network, "features", batches(images, 8), 20, "one")
    assert "cannot be kept" in caplog.text


def test_too_few_images():
    with pytest.raises(UserError, match="is needs at least 10 generated images"):
        scores.check_enough("is", 9, 0)
    with pytest.raises(UserError, match="prc needs at least 4 reference images"):
        scores.check_enough("prc", 50, 3)
    scores.check_enough("is", 10, 0)
    with pytest.raises(UserError, match="kid subset size must be from 2 to 30"):
        scores.kid_subset_size(31, 50, 30)
    assert [scores.kid_subset_size(None, count, 5000) for count in (50, 1999, 2000, 9000)] == [25, 999, 1000, 1000]
