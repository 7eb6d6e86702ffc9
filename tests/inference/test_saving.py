"""Models handed on: what is in the folder, what the card says, what comes back, and what is not told."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard, ModelHubMixin
from PIL import Image
from safetensors.torch import load_file

from ganshift import Generator, TransferConfig, Translator, UserError, train_transfer
from ganshift.cli import main
from ganshift.inference.model_card import WRITTEN
from ganshift.inference.names import bundled_models
from ganshift.methods.transfer.config import PRESETS
from ganshift.methods.transfer.source import open_source
from ganshift.metrics.copying import Verdict, load_verdict
from ganshift.metrics.record_files import records_of, write_records
from ganshift.metrics.score_record import ScoreRecord
from ganshift.training.weights import hash_of_file

SHARED = {"width": 4, "levels": 5, "size": 32}
VERSIONS = {"torch": "2"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a few images from the bundled source."""
    out = tmp_path_factory.mktemp("secret-place") / "fives"
    where = {"data": Path("bundled:digits-5-9"), "source": "digits32", "out": out}
    train_transfer(TransferConfig(**PRESETS["demo"] | where | {"images": 128}))
    return out


@pytest.fixture
def run(trained, tmp_path):
    """The same, with a card and a verdict of its weights, and a card of others."""
    run = Path(shutil.copytree(trained, tmp_path / "fives"))
    model_hash = hash_of_file(run / "model.safetensors")
    found = dict.fromkeys(("reference_split", "reference_hash", "extractor_hash", "resize_rule"), "x")
    found |= {"num_generated": 50, "num_reference": 100, "quantisation": "", "seed": 0, "versions": VERSIONS}
    write_records(
        run,
        [
            ScoreRecord(
                metric="KID",
                protocol="ours",
                value=0.25,
                spread=0.01,
                extractor="cifar",
                model_hash=model_hash,
                **found,
            ),
            ScoreRecord(
                metric="KID", protocol="theirs", value=0.5, spread=0.01, extractor="cifar", model_hash="0", **found
            ),
        ],
    )
    verdict = Verdict(
        alarm=False,
        all_nearer=0.5,
        nearest_generated=0.5,
        median_distance=2.0,
        median_held_out_distance=2.0,
        num_generated=50,
        num_training=100,
        num_held_out=10,
        pairs=[{"generated": 0, "training": "aunt-mary.jpg", "distance": 2.0}],
        extractor="cifar",
        extractor_hash="0",
        seed=0,
        model_hash=model_hash,
        versions=VERSIONS,
    )
    (run / "copying.json").write_text(json.dumps(vars(verdict)))
    return run


def saved(model, folder, **notes):
    assert model.save_pretrained(folder, model_card_kwargs=notes) is None
    return folder


def card_of(folder):
    return (folder / "README.md").read_text()


def new_translator():
    torch.manual_seed(0)
    return Translator({"in_channels": 3, "out_channels": 1, **SHARED}, {"in_channels": 1, "out_channels": 3, **SHARED})


def test_a_saved_run_is_the_run(run, tmp_path):
    model = Generator.from_pretrained(run, "cpu")
    folder = saved(model, tmp_path / "saved")
    assert isinstance(model, ModelHubMixin)
    assert {path.name for path in folder.iterdir()} == {
        *("README.md", "cards", "config.json", "copying.json", "critic.safetensors", "model.safetensors"),
        "samples.png",
    }
    assert Generator.from_pretrained(folder, "cpu").sample(3) == model.sample(3)
    assert hash_of_file(folder / "model.safetensors") == hash_of_file(run / "model.safetensors")
    source, again = open_source(str(run)), open_source(str(folder))
    assert again.generator_arguments == source.generator_arguments
    assert all(torch.equal(again.critic[name], value) for name, value in source.critic.items())
    second = saved(Generator.from_pretrained(folder, "cpu"), tmp_path / "second")
    for path in folder.rglob("*.*"):
        if path.name != "README.md":
            assert (second / path.relative_to(folder)).read_bytes() == path.read_bytes(), path
    assert card_of(second) == card_of(folder).replace("# saved", "# second").replace("to/saved", "to/second")


def test_what_is_known_of_these_weights_comes_along_and_nothing_of_others(run, tmp_path):
    folder = saved(Generator.from_pretrained(run, "cpu"), tmp_path / "saved")
    assert [record.protocol for record in records_of(folder)] == ["ours"]
    assert "KID\\[cifar\\]" in card_of(folder)
    assert "0.25 ± 0.01" in card_of(folder)
    assert "no sign of copying" in card_of(folder)
    verdict = load_verdict(folder)
    assert verdict is not None
    assert list(verdict.pairs) == []
    model = Generator.from_pretrained(folder, "cpu")
    with torch.no_grad():
        next(model.parameters()).mul_(1.5)
    saved(model, folder)  # over what it came from, whose scores and critic are those of other weights
    assert {path.name for path in folder.iterdir()} == {"README.md", "config.json", "model.safetensors", "samples.png"}
    assert "None were measured" in card_of(folder)
    assert Generator.from_pretrained(folder, "cpu").sample(2) == model.sample(2)
    with pytest.raises(UserError, match=r"critic\.safetensors is missing"):
        open_source(str(folder))


def test_nothing_of_the_machine_is_told(run, tmp_path):
    (tmp_path / "secret-place").mkdir()
    config = json.loads((run / "config.json").read_text())
    config["training"] |= {"data": "/home/wilma/aunt", "source": str(tmp_path / "secret-place")}
    (run / "config.json").write_text(json.dumps(config))
    folder = saved(Generator.from_pretrained(run, "cpu"), tmp_path / "saved")
    told = "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.suffix in (".json", ".md"))
    assert str(tmp_path) not in told
    assert "wilma" not in told
    written = json.loads((folder / "config.json").read_text())
    assert written["training"]["data"] == "aunt"
    assert written["saved"] == {"run": "fives", "images_shown": 128}
    assert written["data"] == config["data"]


def test_the_best_of_a_run_says_when_it_was(run, tmp_path):
    best = Path(shutil.move(run, tmp_path / "best"))
    best = Path(shutil.move(best, Path(shutil.copytree(best / "samples", tmp_path / "fives")) / "best"))
    (best / "log.jsonl").unlink()
    for said, content in (("96 images shown", '{"images": 96}'), ("a budget of 128 images", "[" * 200_000)):
        (best / "evaluation.json").write_text(content)
        assert f"From the run fives, {said}" in card_of(
            saved(Generator.from_pretrained(best, "cpu"), tmp_path / "saved")
        )


def test_the_card_says_what_a_reader_needs(run, tmp_path):
    folder = saved(
        Generator.from_pretrained(run, "cpu"), tmp_path / "digits", license="cc0-1.0", data="Digits of the UCI."
    )
    text, front = card_of(folder), ModelCard.load(folder / "README.md").data.to_dict()
    assert front["library_name"] == "ganshift"
    assert front["license"] == "cc0-1.0"
    assert front["pipeline_tag"] == "unconditional-image-generation"
    assert {"ganshift", "wgan-gp"} <= set(front["tags"])
    config = json.loads((run / "config.json").read_text())
    for said in (
        *("# digits\n", "32 x 32 pixels in gray", "Digits of the UCI.", "bundled:digits-5-9 | 100 |", WRITTEN),
        *(config["data"]["content"], "From the run fives, 128 images shown", "started from digits32"),
        *("| critic_learning_rate | 0.001 |", "cc0-1.0, as stated by"),
        'Generator.from_pretrained("path/to/digits")',
        *("transfer --source path/to/digits", hash_of_file(run / "model.safetensors"), "arxiv.org/abs/1805.01677"),
    ):
        assert said in text
    with Image.open(folder / "samples.png") as shown:
        assert shown.size == (2 * 274, 2 * 274)
    assert Generator.from_pretrained(run).generate_model_card(name="me/x").text.startswith("<!--")


def test_pictures_of_a_translator(tmp_path):
    model = new_translator()
    folder = saved(model, tmp_path / "drawings")
    for domain in "ab":
        with Image.open(folder / f"samples-{domain}.png") as shown:
            assert shown.size == (5 * 104, 5 * 138)
    first = (folder / "samples-a.png").read_bytes()
    saved(Translator.from_pretrained(folder, "cpu"), folder)
    assert (folder / "samples-a.png").read_bytes() == first
    photo = Image.effect_noise((50, 40), 60).convert("RGB")
    other = saved(model, tmp_path / "other", pictures={"a": [photo, np.zeros((9, 9), np.uint8)]})
    assert not (other / "samples-b.png").exists()
    saved(model, folder, pictures={"b": [photo]})  # over the pictures of both
    assert sorted(path.name for path in folder.glob("*.png")) == ["samples-b.png"]
    for wrong in ({"c": [photo]}, {"a": []}, {"a": [tmp_path / "none.png"]}):
        with pytest.raises(UserError):
            saved(model, tmp_path / "wrong", pictures=wrong)
    assert not (tmp_path / "wrong").exists()  # nor would an earlier card stay beside other weights


def test_an_earlier_card_goes_and_one_of_the_users_stays(tmp_path, caplog):
    model = new_translator()
    folder = saved(model, tmp_path / "drawings", license="mit")
    saved(model, folder, license="cc0-1.0")
    assert "cc0-1.0" in card_of(folder)
    (folder / "README.md").write_text("mine")
    saved(model, folder)
    assert card_of(folder) == "mine"
    assert "was not written by ganshift" in caplog.text


def test_names_and_values_of_others_have_no_markup(run, tmp_path):
    config = json.loads((run / "config.json").read_text())
    config["training"] |= {"data": "a|b\n# Buy now <script>", "loss": ["x"], "source": 3, "images": "many"}
    config |= {"versions": [1], "imported": "x", "saved": 3}
    (run / "config.json").write_text(json.dumps(config))
    text = card_of(saved(Generator.from_pretrained(run, "cpu"), tmp_path / "saved"))
    assert "\n# Buy" not in text
    assert "<script" not in text.replace("\\<script", "")
    assert "a\\|b" in text


def test_what_saving_refuses(run, tmp_path):
    model = Generator.from_pretrained(run, "cpu")
    with pytest.raises(UserError, match="folder of a training run, which saving would spoil"):
        model.save_pretrained(run)
    assert not (run / "README.md").exists()
    with pytest.raises(UserError, match="there is no setting 'licence'; did you mean license"):
        saved(model, tmp_path / "saved", licence="mit")
    with pytest.raises(UserError, match="leave config out"):
        model.save_pretrained(tmp_path / "saved", config={})
    with pytest.raises(UserError, match="shows its own samples: leave out pictures"):
        saved(model, tmp_path / "saved", pictures={"a": ["x.png"]})
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        model.save_pretrained(tmp_path / "file")
    with pytest.raises(UserError, match="leave out size"):
        Generator.from_pretrained(run, size=64)


def test_a_saved_model_is_a_run_for_the_commands(run, tmp_path, capsys):
    folder = saved(Generator.from_pretrained(run, "cpu"), tmp_path / "saved")
    assert main(["generate", str(folder / "model.safetensors"), "-n", "4", "-o", str(tmp_path / "x.png")]) == 0
    assert main(["generate", "digits32", "-n", "4", "-o", str(tmp_path / "y.png")]) == 0
    drawings = saved(new_translator(), tmp_path / "drawings")
    command = ["translate", str(drawings), str(tmp_path / "x.png"), "--to", "b", "-o", str(tmp_path / "out")]
    assert main(command) == 0
    transfer = ["transfer", "--source", str(folder), "--data", "bundled:digits-5-9", "--preset", "demo", "--dry-run"]
    assert main([*transfer, "--out", str(tmp_path / "next")]) == 0
    capsys.readouterr()


def test_a_model_without_a_folder_can_be_saved(tmp_path):
    torch.manual_seed(0)
    model = Generator({"size": 32, "width": 4, "num_classes": 3}, ("cat", "dog", "rose"))
    folder = saved(model, tmp_path / "saved")
    again = Generator.from_pretrained(folder, "cpu")
    assert (again.classes, again.sample(4)) == (("cat", "dog", "rose"), model.sample(4))
    assert "Classes: cat, dog, rose." in card_of(folder)
    assert set(load_file(folder / "model.safetensors")) == set(model.state_dict())


PUSH = """
from ganshift import Generator, UserError
try: Generator.from_pretrained("digits32", "cpu").push_to_hub("someone/digits")
except UserError as error: print(error)
"""


def test_pushing_without_a_network_says_so_in_one_line(tmp_path):
    """Once with the client told to stay offline, as in all tests, and once with nothing where the hub should be."""
    with pytest.raises(UserError, match=r"did not take someone/digits \(.*\): check the name.*or use save_pretrained$"):
        new_translator().push_to_hub("someone/digits", private=True)
    network = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HF_TOKEN": "hf_x"}
    command = [sys.executable, "-c", PUSH]
    said = subprocess.run(command, env={**os.environ, **network}, capture_output=True, text=True, check=True).stdout
    assert said.startswith("the Hugging Face hub did not take someone/digits (")
    assert said.count("\n") == 1


def test_a_model_of_the_hub_opens_and_is_handed_on(run, tmp_path, monkeypatch):
    """From a cache laid out as the hub's own client does it; the folder in it is named by a commit."""
    monkeypatch.chdir(tmp_path)
    kept = saved(Generator.from_pretrained(run, "cpu"), tmp_path / "kept")
    repository = tmp_path / "cache" / "models--someone--fives"
    shutil.copytree(kept, repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    how = {"cache_dir": tmp_path / "cache", "local_files_only": True}
    model = Generator.from_pretrained("someone/fives", "cpu", **how)
    assert model.sample(2) == Generator.from_pretrained(run, "cpu").sample(2)
    again = card_of(saved(model, tmp_path / "again"))
    assert again == card_of(kept).replace("# kept", "# again").replace("to/kept", "to/again")
    with pytest.raises(UserError, match="no run folder 'someone/fives', and the Hugging Face hub did not give"):
        Generator.from_pretrained("someone/fives", "cpu", revision="old", **how)


def test_bundled_models_have_a_card_to_make(tmp_path):
    for kind in (Generator, Translator):
        for name in bundled_models(kind.method):
            assert f"From the run {name}" in card_of(saved(kind.from_pretrained(name, "cpu"), tmp_path / name))
