"""Scores: known values, torch-fidelity's numbers, batch sizes, directions, the cache."""

import numpy as np
import pytest
import torch
from stand_in import StandIn, batches, random_images
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kernel_mmd, kid_features_to_metric

from ganshift import UserError
from ganshift.data.datasets import open_array
from ganshift.files import cache_folder
from ganshift.metrics import scores
from ganshift.metrics.measuring import EvaluationSettings, Extraction


def gaussian(count, dim, seed, mean=0.0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=generator) * scale + mean


def test_frechet_distance_of_gaussians():
    """Between N(m, s² I) and N(0, I): |m|² + d (s - 1)²."""
    dim = 5
    first = scores.Statistics(torch.full((dim,), 2.0).double(), 9 * torch.eye(dim).double())
    second = scores.Statistics(torch.zeros(dim).double(), torch.eye(dim).double())
    assert scores.frechet_distance(first, second) == pytest.approx(4 * dim + 4 * dim)


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_statistics_of_a_set_and_without_a_group(rows, monkeypatch):
    monkeypatch.setattr(scores, "SUMMED_ROWS", rows)
    features = gaussian(100, 4, seed=1, mean=50.0)
    whole, _, left, _ = scores.jackknife(features, 3)
    values = features.double().numpy()
    np.testing.assert_allclose(whole.mean.numpy(), values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(whole.covariance.numpy(), np.cov(values, rowvar=False), rtol=1e-9, atol=1e-12)
    values = np.concatenate([values[:33], values[66:]])
    np.testing.assert_allclose(left.covariance.numpy(), np.cov(values, rowvar=False), rtol=1e-9, atol=1e-12)


def test_fid_is_torch_fidelitys():
    ours, theirs = gaussian(300, 6, 1), gaussian(400, 6, 2, mean=0.3)
    found = scores.fid(ours, scores.statistics(theirs))
    pair = [fid_features_to_statistics(features) for features in (ours, theirs)]
    expected = fid_statistics_to_metric(*pair, verbose=False)["frechet_inception_distance"]
    assert found.value == pytest.approx(expected, rel=1e-5)


def test_jackknife_spread_is_that_of_repeated_draws():
    reference = scores.statistics(gaussian(5000, 4, 0))
    found = [scores.fid(gaussian(500, 4, seed, 0.5), reference) for seed in range(1, 61)]
    actual = np.std([score.value for score in found])
    assert np.mean([score.spread for score in found]) == pytest.approx(actual, rel=0.25)


def test_inception_score_by_split():
    logits = gaussian(95, 5, 3, scale=2.0)
    found = scores.inception_score(logits)
    expected = isc_features_to_metric(logits, splits=10, shuffle=False)
    assert found.value == pytest.approx(expected["inception_score_mean"])
    assert found.spread == pytest.approx(expected["inception_score_std"])


def test_inception_score_of_certain_and_even_classes():
    found = scores.inception_score(100 * torch.eye(4).repeat(20, 1))
    assert found.value == pytest.approx(4)
    assert found.spread == pytest.approx(0, abs=1e-9)


def test_kid_is_torch_fidelitys():
    ours, theirs = gaussian(300, 6, 1), gaussian(400, 6, 2, mean=0.3)
    found = scores.kid(ours, theirs, 20, 100)
    expected = kid_features_to_metric(ours, theirs, kid_subsets=20, kid_subset_size=100, verbose=False)
    assert found.value == expected["kernel_inception_distance_mean"]
    assert found.spread == expected["kernel_inception_distance_std"]


def test_kid_and_precision_of_the_same_distribution():
    ours, theirs, far = gaussian(400, 4, 1), gaussian(400, 4, 2), gaussian(400, 4, 3, mean=20.0)
    assert abs(scores.kid(ours, theirs, 50, 100).value) < 0.1 < scores.kid(far, theirs, 50, 100).value
    precision, recall = scores.precision_recall(ours, theirs)
    assert precision.value > 0.8
    assert recall.value > 0.8
    assert precision.spread == pytest.approx((precision.value * (1 - precision.value) / 400) ** 0.5)
    assert [score.value for score in scores.precision_recall(far, theirs)] == [0, 0]


def test_squared_mmd_where_the_features_are_is_torch_fidelitys():
    ours, theirs = gaussian(100, 16, 1), gaussian(100, 16, 2, mean=0.3)
    found, expected = scores.squared_mmd(ours, theirs).item(), kernel_mmd(ours.numpy(), theirs.numpy())
    assert found == pytest.approx(expected, rel=1e-5)


def extraction(name, batch=64, network=None):
    return Extraction(network or StandIn(), name, EvaluationSettings(batch=batch, progress=False))


def all_scores(generated, reference, batch):
    """Every score by name, as evaluation computes it."""
    opened = extraction(f"{batch}", batch)
    features, logits = opened.extract(batches(generated, batch), len(generated), "generate", logits=True)
    known = opened.reference(open_array(reference.numpy()))
    precision, recall = scores.precision_recall(features, known.features)
    return {
        "is": scores.inception_score(logits).value,
        "fid": scores.fid(features, known.statistics).value,
        "kid": scores.kid(features, known.features, 20, 50).value,
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
    network, images = StandIn(), open_array(random_images(20, 1).numpy())
    found = [extraction("one", 8, network).reference(images) for _ in range(2)]
    assert network.seen == 20
    torch.testing.assert_close(found[0].features, found[1].features, rtol=0, atol=0)
    torch.testing.assert_close(found[0].statistics.covariance, found[1].statistics.covariance, rtol=0, atol=0)
    extraction("another", 8, network).reference(images)
    assert network.seen == 40


def test_damaged_and_unwritable_cache(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    opened, images = extraction("one"), open_array(random_images(20, 1).numpy())
    opened.reference(images)
    (entry,) = (cache_folder() / "features").iterdir()
    entry.write_bytes(b"damaged")
    opened.reference(images)
    assert "extracting again" in caplog.text
    assert opened.network.seen == 40
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    opened.reference(images)
    assert "cannot cache" in caplog.text


def test_too_few_images():
    with pytest.raises(UserError, match="is needs at least 10 generated images"):
        scores.check_enough(["is"], 9, 0)
    with pytest.raises(UserError, match="prc needs at least 4 reference images"):
        scores.check_enough(["prc"], 50, 3)
    scores.check_enough(["is"], 10, 0)
    with pytest.raises(UserError, match="kid subset size must be from 2 to 30"):
        scores.kid_subset_size(31, 50, 30)
    assert [scores.kid_subset_size(None, count, 5000) for count in (50, 1999, 2000, 9000)] == [25, 999, 1000, 1000]


def test_a_user_without_a_home_has_a_cache_until_the_program_ends(monkeypatch):
    def nobody(_):
        raise KeyError

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert cache_folder().is_dir()
    assert cache_folder() == cache_folder()
