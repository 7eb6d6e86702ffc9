"""Cards: to files and back, refusal of unlike ones, differences."""

import json
from dataclasses import fields, replace
from math import inf, isnan, nan

import pytest

from ganshift import UserError
from ganshift.cli import main
from ganshift.inference.names import bundled_models
from ganshift.metrics.record_files import compare, write_records
from ganshift.metrics.score_record import (
    AS_IN_REFERENCE,
    IN_TURN,
    MEASURED,
    ScoreRecord,
    difference,
    load_record,
    unlike,
)
from ganshift.metrics.while_training import as_evaluation

CARD = ScoreRecord(
    metric="FID",
    protocol="jackknife of 10 groups",
    value=20.0,
    spread=3.0,
    num_generated=50_000,
    num_reference=10_000,
    reference_split="test",
    reference_hash="a" * 64,
    extractor="cifar",
    extractor_hash="b" * 64,
    resize_rule="bicubic",
    quantisation="rounded",
    seed=0,
    model_hash="c" * 64,
    versions={"torch": "2.9"},
)


def test_round_trip(tmp_path):
    (path,) = write_records(tmp_path, [CARD])
    assert path.parent == tmp_path / "cards"
    assert load_record(path) == CARD


@pytest.mark.parametrize("value", [inf, -inf, nan])
def test_numbers_that_json_does_not_know(tmp_path, value):
    (path,) = write_records(tmp_path, [replace(CARD, metric="PSNR a-b", value=value, spread=nan)])

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    json.loads(path.read_text(), parse_constant=refuse)
    record = load_record(path)
    assert repr(record.value) == repr(value)
    assert isnan(record.spread)


def test_classes_as_in_the_reference_are_what_a_generator_without_classes_draws():
    assert unlike(CARD, replace(CARD, labels=AS_IN_REFERENCE)) == []
    assert unlike(CARD, replace(CARD, labels=IN_TURN)) == ["labels: None / in turn"]


def test_infinite_scores_can_be_compared():
    perfect = replace(CARD, metric="PSNR a-b", value=inf, spread=nan)
    good = replace(perfect, value=30.0, spread=1.0)
    assert difference(perfect, perfect).verdict == "no clear difference"
    assert difference(good, perfect).verdict == "B is better"
    assert difference(perfect, good).verdict == "A is better"
    assert difference(replace(CARD, value=nan), CARD).verdict == "no clear difference"


def test_names_say_the_extractor():
    assert CARD.name == "FID[cifar]"
    assert replace(CARD, metric="KID a-b", extractor="inception").name == "KID[inception] a-b"
    assert replace(CARD, metric="L1 a-b-a", extractor=None).name == "L1 a-b-a"


@pytest.mark.parametrize("name", sorted({field.name for field in fields(ScoreRecord)} - MEASURED))
def test_cards_that_differ_in_any_setting_are_refused(name):
    kinds = {dict: {"torch": "2.10"}, int: 7, str: "other", type(None): "in turn"}
    other = replace(CARD, **{name: kinds[type(getattr(CARD, name))]})
    (reason,) = unlike(CARD, other)
    assert ("version of torch" if name == "versions" else name.replace("_", " ")) in reason
    with pytest.raises(UserError, match="not comparable"):
        difference(CARD, other)


@pytest.mark.parametrize(
    ("metric", "value", "verdict"),
    [
        ("FID", 8.0, "B is better"),
        ("FID", 32.0, "A is better"),
        ("FID", 28.0, "no clear difference"),
        ("precision", 32.0, "B is better"),
    ],
)
def test_difference_with_its_uncertainty(metric, value, verdict):
    first = replace(CARD, metric=metric)
    second = replace(first, value=value, spread=4.0, model_hash="d")
    found = difference(first, second)
    assert (found.value, found.standard_error, found.verdict) == (value - 20, 5.0, verdict)


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (0.04782, 0.06, "0.048 ± 0.06"),
        (1.668, 0.34, "1.67 ± 0.34"),
        (12.345, 0.5, "12.35 ± 0.5"),
        (193.456, 12.3, "193 ± 12"),
        (193.456, 1000.0, "193 ± 1e+03"),
        (0.25, 1e-9, "0.25 ± 1e-09"),
        (0.0, 0.1, "0 ± 0.1"),
        (2.5, 0.0, "2.5 ± 0"),
        (nan, nan, "nan ± nan"),
    ],
)
def test_a_score_has_no_more_digits_than_its_spread(value, spread, text):
    assert replace(CARD, value=value, spread=spread).text == text


def test_standard_errors():
    assert replace(CARD, metric="IS").standard_error == pytest.approx(3 / 10**0.5)
    assert replace(CARD, metric="SSIM a-b", num_generated=9).standard_error == pytest.approx(1)


def test_runs_are_compared_card_by_card(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for run, value in ((first, 20.0), (second, 10.0)):
        run.mkdir()
        write_records(run, [replace(CARD, value=value), replace(CARD, metric="KID", num_generated=int(value))])
    (row,) = compare(first, second)
    assert row == {"score": "FID[cifar]", "A": "20", "B": "10", "B - A": "-10 ± 4.2", "verdict": "B is better"}
    (record,) = (second / "cards").glob("kid*")
    with pytest.raises(UserError, match=r"not comparable \(num generated: 20 / 10\)"):
        compare(next((first / "cards").glob("kid*")), record)
    with pytest.raises(UserError, match=r"have no score in common: FID\[cifar\], KID\[cifar\] / IS\[cifar\]$"):
        compare(first, write_records(tmp_path / "third", [replace(CARD, metric="IS")])[0])


def test_the_command_says_ways_by_the_names_that_both_runs_share(tmp_path, capsys):
    runs = [tmp_path / name for name in ("first", "second")]
    for run in runs:
        write_records(run, [replace(CARD, metric="SSIM a-b", extractor=None)])
        names = {"a": "photo", "b": "sketch"}
        (run / "config.json").write_text(json.dumps({"method": "dual", "names": names}))
    assert main(["compare", *map(str, runs)]) == 0
    assert "SSIM photo to sketch" in capsys.readouterr().out
    (runs[1] / "config.json").write_text(json.dumps({"method": "dual"}))
    assert main(["compare", *map(str, runs)]) == 0
    assert "SSIM a-b" in capsys.readouterr().out


@pytest.mark.parametrize("rule", ["none: 4 crops of 32 x 32 of each image", "bilinear"])
def test_an_evaluation_of_both_ways_is_named_like_its_cards(rule):
    ways = [replace(CARD, metric=f"FID {way}", resize_rule=rule) for way in ("a-b", "b-a")]
    found = as_evaluation(ways, "fid", {})
    assert found.name == f"mean {ways[0].name.removesuffix(' a-b')} of both ways"
    assert found.name.count("[") == found.name.count("]") == 1


def test_a_later_card_of_the_same_settings_takes_the_place(tmp_path):
    write_records(tmp_path, [CARD, replace(CARD, seed=1)])
    write_records(tmp_path, [replace(CARD, value=1.0, model_hash="e")])
    assert sorted(load_record(path).value for path in (tmp_path / "cards").iterdir()) == [1.0, 20.0]


def test_no_cards(tmp_path):
    with pytest.raises(UserError, match="has no cards"):
        compare(tmp_path, tmp_path)
    path = tmp_path / "card.json"
    for text in ("no json", "[]", '{"value": 1}', json.dumps({**CARD.to_json(), "metric": "XYZ"})):
        path.write_text(text)
        with pytest.raises(UserError, match="is not a card"):
            load_record(path)


def test_records_keep_the_file_names_of_old_versions(tmp_path):
    """So a run of 0.1.0 that is measured again gets no second file for the same score."""
    folder = bundled_models()["cifar10-small"] / "cards"
    old = sorted(path.name for path in folder.iterdir())
    written = write_records(tmp_path, [load_record(folder / name) for name in old])
    assert sorted(path.name for path in written) == old
