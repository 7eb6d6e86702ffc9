"""Pictures in the page: small ones exactly, large ones smaller, and never more than the page may have."""

import base64
import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from reports import Page, pixels

from ganshift.errors import UserError
from ganshift.tools import report
from ganshift.tools.report.pictures import LARGEST_EXACT, RUNGS, Album

MOST = 400_000


def stored(image, rung=RUNGS[0]):
    return Album(rung, 10_000_000).store(image)


def decoded(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


@pytest.mark.parametrize("channels", [1, 3])
def test_small_pictures_are_stored_exactly(channels):
    png = pixels(channels)
    np.testing.assert_array_equal(decoded(stored(png)["uri"]).convert("RGB"), Image.open(io.BytesIO(png)))


def test_large_pictures_are_compressed_and_then_smaller():
    png = pixels(3, side=300)
    first = stored(png)
    assert first["uri"].startswith("data:image/webp")
    assert len(base64.b64decode(first["uri"].split(",")[1])) < LARGEST_EXACT
    assert (first["width"], first["kind"]) == (300, "pixels")
    last = stored(png, RUNGS[-1])
    assert (last["width"], decoded(last["uri"]).width) == (160, 160)
    assert stored(pixels(1, side=1000))["kind"] == "photo"


@pytest.mark.parametrize("size", [(6, 17_000), (100, 17_000)])
def test_grids_longer_than_webp_can_be_are_shown(size):
    """Six rows of pictures of 3 to 1, 1024 wide, are as long; the narrow one is short enough to be tried exactly."""
    buffer = io.BytesIO()
    Image.effect_noise(size, 100).save(buffer, "png")
    found = stored(buffer.getvalue())
    assert decoded(found["uri"]).height == found["height"] > 16_000


def test_rungs_give_up_more_and_more():
    for before, after in pairwise(RUNGS):
        assert all(less <= more for less, more in zip(after, before, strict=True))


@pytest.mark.parametrize("count", [1, 2, 16, 17, 500])
def test_long_runs_show_evenly_spaced_grids_and_always_the_last(count):
    for rung in RUNGS:
        found = Album(rung, 1).thin(list(range(count)))
        assert len(found) == min(count, rung.stops)
        assert found[-1] == count - 1
        assert list(found) == sorted(set(found))
        assert found[0] == 0 or rung.stops == 1


@pytest.mark.ring_two
def test_a_run_of_many_large_samples_stays_within_the_budget(copy, tmp_path):
    """Twenty grids of noise, each of which takes a third of what the page may have."""
    run = copy(log=[])
    for number in range(20):
        path = run / f"samples/samples-{1000 + number:012d}.png"
        path.write_bytes(pixels(3, side=400, seed=number % 2))
    path = tmp_path / "page.html"
    report.write_report([run], path, most_bytes=MOST)
    assert path.stat().st_size < MOST
    page = Page(path.read_text(encoding="utf-8"))
    seen = [int(frame["data-seen"]) for frame in page.all("div", "data-seen")]
    assert 2 <= len(seen) < 16
    assert seen[-1] == 1019
    report.write_report([run], path)
    assert MOST < path.stat().st_size < 10_000_000
    assert len(Page(path.read_text(encoding="utf-8")).all("div", "data-seen")) == RUNGS[0].stops


def test_the_largest_page_there_can_be_fits(tmp_path, copy):
    """Sixteen runs of both grids, on the last rung."""
    run = copy("dual", log=[])
    for name in ("a-b-a", "b-a-b"):
        for number in range(2):
            (run / f"samples/{name}-{1000 + number:012d}.png").write_bytes(pixels(3, side=200, seed=number))
    path = tmp_path / "page.html"
    report.write_report({f"run {number}": run for number in range(16)}, path, most_bytes=600_000)
    assert path.stat().st_size < 600_000
    with pytest.raises(UserError, match="name fewer runs"):
        report.write_report([run], path, most_bytes=10_000)
