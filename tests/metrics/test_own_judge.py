"""No run is judged by a network that trained it: not while it trains, not by compare, not in a study."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import ganshift
from ganshift import UserError
from ganshift.cli import main
from ganshift.data.datasets import open_array
from ganshift.data.images import to_picture
from ganshift.methods.transfer.config import PRESETS, TransferConfig
from ganshift.metrics.record_files import compare
from ganshift.metrics.score_record import difference, load_record, record_from
from ganshift.metrics.while_training import MOST_AMONG_NEIGHBOURS, settings_of
from ganshift.tools.evaluate import evaluate
from ganshift.tools.study.recipe import open_study
from ganshift.training import run_folder

RECIPE = """
method = "transfer"
[settings]
preset = "tiny"
data = "bundled:faces"
[grid]
seed = [0]
[evaluation]
metrics = ["kid"]
extractor = "lite0"
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    draw = torch.Generator().manual_seed(0)
    for index in range(8):
        coarse = torch.randint(0, 256, (1, 8, 8), generator=draw, dtype=torch.uint8)
        to_picture(coarse.repeat_interleave(4, 1).repeat_interleave(4, 2).numpy()).save(folder / f"{index}.png")
    return folder


def run_trained_by(place, *networks):
    """The bundled digits as a run whose config.json names the networks that trained it."""
    run = Path(shutil.copytree(Path(ganshift.__file__).parent / "sources" / "digits32", place))
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "trained_by": list(networks)}))
    return run


def config_of(tmp_path, **settings):
    return TransferConfig(**PRESETS["tiny"] | {"data": Path("bundled:digits-5-9"), "out": tmp_path / "run"} | settings)


def some(count):
    return open_array(np.zeros((count, 1, 2, 2), np.uint8))


@pytest.fixture
def trained_by_lite0(monkeypatch):
    """As a method says it of its runs, by the property of its settings."""
    monkeypatch.setattr(TransferConfig, "trained_by", property(lambda config: ("lite0",)))


def test_what_config_json_says():
    assert run_folder.trained_by({}) == run_folder.trained_by({"trained_by": 3}) == ()
    assert run_folder.trained_by({"trained_by": ["lite0", 7]}) == ("lite0",)


def test_scores_say_who_trained_and_are_not_compared(tmp_path, images, caplog, capsys):
    run, other = run_trained_by(tmp_path / "run", "lite0"), run_trained_by(tmp_path / "other")
    for folder, extractor in ((run, "lite0"), (run, "cifar"), (other, "lite0"), (other, "cifar")):
        caplog.clear()
        (record,) = evaluate(folder, images, num_images=8, metrics="kid", extractor=extractor)
        assert record.trained_by == (["lite0"] if folder == run else [])
        assert record.judges_itself == (folder == run and extractor == "lite0")
        assert ("lite0 trained this model" in caplog.text) == record.judges_itself
        assert ("trained the model" in record.text) == record.judges_itself
    assert [row["score"] for row in compare(run, other)] == ["KID[cifar]"]
    lite, theirs = (next((folder / "cards").glob("kid-lite0-*")) for folder in (run, other))
    assert load_record(lite).name == "KID[lite0]"
    for pair in ((lite, theirs), (theirs, lite), (lite, lite)):
        with pytest.raises(UserError, match=r"lite0 trained a model that it judges.*another --extractor"):
            compare(*pair)
    next((run / "cards").glob("kid-cifar-*")).unlink()
    assert main(["compare", str(run), str(other)]) == 2
    assert "lite0 trained a model that it judges" in capsys.readouterr().err
    assert main(["report", str(run), str(other), "-o", str(tmp_path / "report.html")]) == 0
    assert "by a network that trained the model" in (tmp_path / "report.html").read_text()


def test_a_model_that_lite0_did_not_train_is_judged_by_it(tmp_path, images):
    first, second = (
        evaluate(run_trained_by(tmp_path / name, "cifar"), images, num_images=8, metrics="kid", extractor="lite0")[0]
        for name in ("first", "second")
    )
    assert difference(first, second).verdict == "no clear difference"
    assert first.resize_rule == "bicubic, antialiased, to 224 x 224"


def test_cards_of_any_content(tmp_path, images):
    (record,) = evaluate(run_trained_by(tmp_path / "run"), images, num_images=8, metrics="colour")
    content = json.loads(json.dumps(record.to_json()))
    assert record_from(content) == record
    old = {name: value for name, value in content.items() if name not in ("trained_by", "differences")}
    assert record_from(old) == replace(record, differences=[])
    for damage in ({"differences": ["x", "y"]}, {"differences": [0.1]}, {"trained_by": 3}):
        with pytest.raises((TypeError, ValueError)):
            record_from({**content, **damage})


def test_what_judges_while_training(tmp_path, trained_by_lite0, monkeypatch, caplog):
    images = some(60)
    assert settings_of(config_of(tmp_path), images).extractor == "cifar"
    assert caplog.text == ""
    told = settings_of(config_of(tmp_path, evaluate_extractor="lite0"), images)
    assert (told.extractor, told.trained_by) == ("cifar", ("lite0",))
    assert "lite0 trains this run and cannot judge it: evaluations use cifar" in caplog.text
    monkeypatch.setattr(TransferConfig, "trained_by", property(lambda config: ("cifar",)))
    assert settings_of(config_of(tmp_path), images).extractor == "lite0"
    monkeypatch.setattr(TransferConfig, "trained_by", property(lambda config: ("cifar", "lite0")))
    with pytest.raises(UserError, match="cannot judge it"):
        settings_of(config_of(tmp_path), images)


def test_neighbours_are_sought_among_few_enough(tmp_path):
    few, many = some(MOST_AMONG_NEIGHBOURS), some(MOST_AMONG_NEIGHBOURS + 1)
    assert settings_of(config_of(tmp_path), few).metrics == ("kid", "prc", "colour")
    assert settings_of(config_of(tmp_path), few, many).metrics == ("kid", "colour")


def test_a_run_of_the_first_version_goes_on_with_whole_images(tmp_path):
    images = some(60)
    assert settings_of(config_of(tmp_path), images).view is None
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"method": "transfer"}')
    for given in (None, "crops"):
        assert settings_of(config_of(tmp_path, evaluate_view=given), images).view == "whole"
    (tmp_path / "run" / "config.json").write_text('{"order_of_large": "computed"}')
    assert settings_of(config_of(tmp_path, evaluate_view="whole"), images).view == "whole"
    assert settings_of(config_of(tmp_path), images).view is None


def test_a_run_says_what_trained_it(tmp_path, trained_by_lite0):
    command = ["transfer", "--preset", "tiny", "--data", "bundled:digits-5-9", "--images", "16", "--out"]
    run = tmp_path / "run"
    assert main([*command, str(run), "--evaluate-every", "16", "--evaluate-images", "8"]) == 0
    assert json.loads((run / "config.json").read_text())["trained_by"] == ["lite0"]
    assert json.loads((run / "best" / "config.json").read_text())["trained_by"] == ["lite0"]
    line = json.loads((run / "evaluations.jsonl").read_text().splitlines()[-1])
    cards = {card["metric"]: card for card in line["cards"]}
    assert set(cards) == {"KID", "precision", "recall", "colour"}
    assert (cards["KID"]["extractor"], cards["KID"]["trained_by"]) == ("cifar", ["lite0"])


def test_a_study_does_not_begin(tmp_path, trained_by_lite0):
    (tmp_path / "own.toml").write_text(RECIPE)
    with pytest.raises(UserError, match=r"lite0 trains this run and cannot judge it: name another extractor"):
        open_study(str(tmp_path / "own.toml"), out=tmp_path / "study")
    (tmp_path / "own.toml").write_text(RECIPE.replace("lite0", "cifar"))
    assert len(open_study(str(tmp_path / "own.toml"), out=tmp_path / "study").cells) == 1
