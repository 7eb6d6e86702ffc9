"""Crops and whole images: which parts are seen, what scores make of several rows an image, what records say."""

import re
from dataclasses import replace

import pytest
import torch
from stand_in import StandIn, batches, random_images

from ganshift import UserError
from ganshift.data.bundled import photo_sketch
from ganshift.data.datasets import open_array
from ganshift.metrics import scores
from ganshift.metrics.extractors import RESIZE_RULES, SIDES
from ganshift.metrics.measuring import EvaluationSettings, Extraction, measure
from ganshift.metrics.record_files import write_records
from ganshift.metrics.score_record import difference, load_record
from ganshift.metrics.views import corners, cropped, one_of_each

ABOUT = {"quantisation": "none", "seed": 0, "model_hash": "m", "versions": {}}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("size", "count"), [((64, 64), 4), ((65, 64), 6), ((256, 256), 16), ((32, 40), 2), ((32, 32), 0), ((31, 99), 0)]
)
def test_a_grid_from_edge_to_edge(size, count):
    places = corners(*size, 32)
    assert len(places) == len(set(places)) == count
    if places:
        assert (places[0], places[-1]) == ((0, 0), (size[0] - 32, size[1] - 32))


def test_crops_are_pixels_of_the_image_at_full_resolution():
    images = torch.arange(2 * 3 * 48 * 70).reshape(2, 3, 48, 70).to(torch.uint8)
    rows = cropped(images, 32)
    assert rows.shape == (2 * 6, 3, 32, 32)
    for index, (top, left) in enumerate(corners(48, 70, 32)):
        assert torch.equal(rows[6 + index], images[1, :, top : top + 32, left : left + 32])
    covered = torch.zeros(48, 70, dtype=torch.bool)
    for top, left in corners(48, 70, 32):
        covered[top : top + 32, left : left + 32] = True
    assert covered.all()
    assert cropped(images[:, :, :32, :32], 32).shape == (2, 3, 32, 32)


def test_one_row_of_each_image():
    rows = torch.arange(40.0)[:, None]
    chosen = one_of_each(rows, 4).flatten() // 4
    assert torch.equal(chosen, torch.arange(10.0))
    assert len(set((one_of_each(rows, 4).flatten() % 4).tolist())) > 1
    assert one_of_each(rows, 1) is rows


def test_several_rows_of_an_image_are_not_more_images():
    """Eight equal crops of an image say what one says, and their errors are no smaller."""
    draw = torch.Generator().manual_seed(0)
    ours, theirs = (torch.randn(60, 4, generator=draw) for _ in range(2))
    many, others = (rows.repeat_interleave(8, 0) for rows in (ours, theirs))
    assert scores.precision_recall(many, others, 8) == scores.precision_recall(ours, theirs)
    one, eight = scores.fid(ours, scores.statistics(theirs)), scores.fid(many, scores.statistics(others), 8)
    assert eight.value == pytest.approx(one.value, rel=0.05)
    assert eight.spread == pytest.approx(one.spread, rel=0.05)
    one, eight, blind = (
        scores.kid(*pair, 200, 30, crops)
        for pair, crops in (((ours, theirs), 1), ((many, others), 8), ((many, others), 1))
    )
    assert eight.value == pytest.approx(one.value, abs=0.1 * one.spread)
    assert eight.spread == pytest.approx(one.spread, rel=0.2)
    assert blind.value > one.value + 0.3 * one.spread, "rows of one image are alike, which an unbiased estimate forbids"
    logits = torch.randn(25, 5, generator=draw)
    one, three = scores.inception_score(logits), scores.inception_score(logits.repeat_interleave(3, 0), 3)
    assert (three.value, three.spread) == pytest.approx((one.value, one.spread))


def measured(images, reference, view, extractor="cifar", network=None, metrics=("kid", "prc", "fid")):
    settings = EvaluationSettings(extractor=extractor, view=view, metrics=metrics, progress=False)
    extraction = Extraction(network, "hash", settings) if network else Extraction.open(settings)
    found = measure(
        extraction,
        batches(images, 16),
        len(images),
        open_array(reference.numpy()),
        verb="generate",
        split="train",
        about=ABOUT,
    )
    return {record.kind: record for record in found.records}


@pytest.mark.ring_two  # a minute; ring one has what is seen, and that unlike views are refused
def test_crops_see_what_shrinking_hides(tmp_path):
    """Stripes one pixel wide, which any eye sees, are averaged away at 32 pixels."""
    photographs = photo_sketch(128).train_a
    real, clean = (photographs.read(range(start, len(photographs), 2)) for start in (0, 1))
    stripes = torch.where(torch.arange(128) % 2 == 0, 30, -30)
    striped = (clean.int() + stripes).clamp(0, 255).byte()
    whole, crops = (
        {name: measured(images, real, view)["KID"] for name, images in (("clean", clean), ("striped", striped))}
        for view in ("whole", None)
    )
    assert difference(whole["clean"], whole["striped"]).verdict == "no clear difference"
    assert difference(crops["clean"], crops["striped"]).verdict == "A is better"
    assert (whole["clean"].view, crops["clean"].view) == ("whole", "crops")
    assert (whole["clean"].name, crops["clean"].name) == ("KID[cifar]", "KID[cifar crops]")
    assert whole["clean"].resize_rule == RESIZE_RULES["cifar"]
    assert crops["clean"].resize_rule == "none: 16 crops of 32 x 32 of each image"
    with pytest.raises(UserError, match=r"not comparable \(resize rule: bicubic.* / none: 16 crops"):
        difference(whole["clean"], crops["clean"])
    paths = write_records(tmp_path, [whole["clean"], crops["clean"]])
    assert [load_record(path) for path in paths] == [whole["clean"], crops["clean"]], "in files of their own"


@pytest.mark.parametrize(
    ("extractor", "size", "view"),
    [("cifar", 32, "whole"), ("cifar", 64, "crops"), ("lite0", 64, "whole"), ("inception", 304, "whole")],
)
def test_what_is_seen_unless_one_asks(extractor, size, view):
    images = random_images(8, 1, size=size)
    record = measured(images, images, None, extractor, StandIn())["KID"]
    assert record.view == view
    assert (record.num_generated, record.num_reference) == (8, 8)
    if view == "whole":
        assert record.resize_rule == RESIZE_RULES[extractor], "what 0.1.0 wrote compares with it"
    asked = measured(images, images, "crops", extractor, StandIn())["KID"]
    assert asked.view == ("crops" if size > SIDES[extractor] else "whole")


def test_crops_of_both_sides_are_the_same_whatever_the_batch():
    ours, theirs = random_images(20, 1, size=64), random_images(30, 2, size=64)
    found = measured(ours, theirs, "crops", network=StandIn())
    same = measured(ours, ours, "crops", network=StandIn())
    assert same["FID"].value == pytest.approx(0, abs=1e-6)
    assert (same["precision"].value, same["recall"].value) == (1, 1)
    settings = EvaluationSettings(view="crops", batch=7, metrics=("fid",), progress=False)
    extraction = Extraction(StandIn(), "other", settings)
    (features,) = extraction.extract(batches(ours, 7), 20, "generate")
    assert features.shape == (20 * 4, 8)
    again = scores.fid(features, extraction.reference(open_array(theirs.numpy())).statistics, 4)
    assert again.value == pytest.approx(found["FID"].value, rel=1e-5)
    assert replace(found["FID"], value=0.0, spread=0.0).how == replace(found["FID"].how)


def test_colour_is_what_generated_images_differ_by():
    """In [-1, 1] a level is 2/255: red 20 lighter, blue of half the contrast."""
    real = random_images(400, 1, low=40, high=200)
    changed = real.float()
    changed[:, 0] += 20
    changed[:, 2] = (changed[:, 2] - 120) / 2 + 120
    record = measured(changed.round().byte(), real, None, network=StandIn(), metrics=("colour", "kid"))["colour"]
    deviation = real[:, 2].float().std(correction=0).item() / 127.5
    blue = (120 - real[:, 2].float().mean().item()) / 2 / 127.5
    expected = [20 / 127.5, 0, blue, 0, 0, -deviation / 2]
    assert record.differences == pytest.approx(expected, abs=3e-3)
    assert record.value == pytest.approx(sum(map(abs, expected)) / 6, abs=2e-3)
    assert re.search(r" ± \S+ \(mean \+0\.16 \S+ \S+; spread \S+ \S+ -0\.\d\d\)$", record.text)
    assert (record.extractor, record.name) == (None, "colour")


def test_the_error_of_colour_is_that_of_repeated_draws():
    reference = scores.colours(random_images(2000, 0))
    found = [scores.colour(scores.colours(random_images(100, seed, low=30)), reference) for seed in range(1, 41)]
    actual = torch.tensor([score.value for score in found]).std().item()
    assert sum(score.spread for score in found) / 40 == pytest.approx(actual, rel=0.3)
