"""Runs, weights, cards and settings that somebody else made: one line says what is wrong, and nothing else happens."""

import ast
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import corpus
import pytest
import torch
from safetensors.torch import load_file, save_file

from ganshift import Generator, TransferConfig, Translator, UserError
from ganshift.cli import main
from ganshift.inference.names import bundled_models
from ganshift.methods.transfer.source import open_source
from ganshift.methods.transfer.trainer import TransferTrainer
from ganshift.metrics.record_files import compare
from ganshift.tools.importing.tensorflow import find_checkpoint
from ganshift.tools.report import write_report
from ganshift.training import checkpoint, run_folder
from ganshift.training.weights import save_weights

ABSURD = [None, -1, 0, 10**9, 2**70, 1.5, float("nan"), "x", "", True, [], [1, 2, 3], {"a": 1}, "\x1b[31m\n"]
FREE_NUMBERS = {
    *("log_every", "sample_every", "checkpoint_every", "keep_checkpoints", "memory_budget", "ema_images"),
    *(
        "identity",
        "penalty",
        "feature_critic",
        "acgan_scale",
        "acgan_scale_generator",
        "weight_a",
        "weight_b",
        "clip",
        "warmup_images",
    ),
    *("generator_learning_rate", "critic_learning_rate", "learning_rate", "freeze_critic"),
    *("evaluate_every", "subset", "micro_batch", "memory_limit"),
}
"""Settings that may be as large as one likes: what they are too large for never comes, or is said later."""
CARD = {
    "metric": "FID",
    "protocol": "",
    "value": 1.0,
    "spread": 0.1,
    "num_generated": 10,
    "num_reference": 10,
    "reference_split": "train",
    "reference_hash": "0",
    "extractor": "cifar",
    "extractor_hash": "0",
    "resize_rule": "none",
    "quantisation": "",
    "seed": 0,
    "model_hash": "0",
    "versions": {"torch": "2"},
}


@pytest.fixture
def transfer_run(tmp_path):
    return Path(shutil.copytree(bundled_models()["digits32"], tmp_path / "transfer"))


@pytest.fixture
def dual_run(tmp_path):
    arguments = {"in_channels": 3, "out_channels": 3, "width": 2, "levels": 2, "size": 8}
    run = tmp_path / "dual"
    run_folder.claim(run, {"method": "dual", "gen_ab": arguments, "gen_ba": arguments, "size": 8})
    save_weights(run / run_folder.MODEL, Translator(arguments, arguments))
    return run


def refused(function, *arguments):
    """Call what must end in a `UserError` of one line, or must work; whether it was refused."""
    try:
        function(*arguments)
    except UserError as refusal:
        return 0 < len(str(refusal)) < 1000
    return False


def edited(run, change):
    """Let `change` edit the run's description."""
    config = json.loads((run / "config.json").read_text())
    change(config)
    (run / "config.json").write_text(json.dumps(config))


@pytest.mark.ring_two
def test_descriptions_with_anything_in_place_of_anything(transfer_run, dual_run):
    """Fields of both descriptions are taken away or replaced; a model opens only if it is as its weights are."""
    for run, parts, opens in (
        (transfer_run, ("generator", "critic"), (Generator.from_pretrained, lambda run: open_source(str(run)))),
        (dual_run, ("gen_ab", "gen_ba"), (Translator.from_pretrained,)),
    ):
        whole = json.loads((run / "config.json").read_text())
        for name in (*whole, *(f"{part}.{key}" for part in parts for key in whole[part])):
            part, _, key = name.partition(".")
            for value in ("gone", *ABSURD):

                def change(config, part=part, key=key, value=value):
                    at, last = (config[part], key) if key else (config, part)
                    if value == "gone":
                        del at[last]
                    else:
                        at[last] = value

                edited(run, change)
                for each in opens:
                    if not refused(each, run):
                        assert each is not Generator.from_pretrained or Generator.from_pretrained(run).sample(2)
                (run / "config.json").write_text(json.dumps(whole))
        edited(run, lambda config, part=parts[0]: config[part].update(unknown=1))
        assert all(refused(each, run) for each in opens)
        (run / "config.json").write_text(json.dumps(whole))
        assert not any(refused(each, run) for each in opens)


def test_absurd_numbers_take_no_memory_and_no_time(transfer_run, dual_run):
    for key, value in (("width", 10**9), ("num_classes", 10**9), ("channels", 10**9)):
        edited(transfer_run, lambda config, key=key, value=value: config["generator"].update({key: value}))
        assert refused(Generator.from_pretrained, transfer_run)
        assert refused(open_source, str(transfer_run))
    for key, value in (("levels", 10**9), ("width", 10**9), ("size", [10**9, 10**9])):
        edited(dual_run, lambda config, key=key, value=value: config["gen_ab"].update({key: value}))
        assert refused(Translator.from_pretrained, dual_run)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"nonsense",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"method": ' + b"9" * 5000 + b"}",
        b'{"method": "\\ud800"}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_descriptions_that_are_none(transfer_run, content, capsys):
    (transfer_run / "config.json").write_bytes(content)
    assert refused(Generator.from_pretrained, transfer_run)
    assert refused(open_source, str(transfer_run))
    for command in (
        ["generate", str(transfer_run), "-o", str(transfer_run / "out")],
        ["translate", str(transfer_run), "x.png", "-o", str(transfer_run / "out")],
        ["evaluate", str(transfer_run), "--metrics", "is"],
    ):
        assert main(command) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (transfer_run / "out").exists()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "critic.safetensors"])
def test_pipes_and_devices_in_place_of_files(transfer_run, name):
    (transfer_run / name).unlink()
    os.mkfifo(transfer_run / name)
    assert refused(open_source, str(transfer_run))
    (transfer_run / name).unlink()
    (transfer_run / name).symlink_to("/dev/zero")
    assert refused(open_source, str(transfer_run))
    (transfer_run / name).unlink()
    (transfer_run / name).mkdir()
    assert refused(open_source, str(transfer_run))


def spoiled(weights):
    """Weights that do not fit, by what is wrong with them."""
    name, value = next((name, value) for name, value in weights.items() if value.dim() == 4)
    return {
        "missing": {key: each for key, each in weights.items() if key != name},
        "extra": {**weights, "more": torch.zeros(1)},
        "shape": {**weights, name: value[:1].clone()},
        "flat": {**weights, name: value.flatten()},
        "empty": {**weights, name: torch.zeros(0)},
        "nan": {**weights, name: torch.full_like(value, torch.nan)},
        "inf": {**weights, name: torch.full_like(value, torch.inf)},
        "integers": {**weights, name: value.long()},
        "truth": {**weights, name: value.bool()},
        "complex": {**weights, name: value.to(torch.complex64)},
        "too large for float32": {**weights, name: torch.full_like(value, 1e300, dtype=torch.float64)},
        "other names": {f"x.{key}": each for key, each in weights.items()},
        "nothing": {},
    }


def test_weights_that_do_not_fit(transfer_run, dual_run):
    for run, model in ((transfer_run, Generator), (dual_run, Translator)):
        path = run / "model.safetensors"
        whole = path.read_bytes()
        for what, weights in spoiled(load_file(path)).items():
            save_file(weights, path)
            assert refused(model.from_pretrained, run), what
        path.write_bytes(whole)
    path = transfer_run / "critic.safetensors"
    for what, weights in spoiled(load_file(path)).items():
        save_file(weights, path)
        assert refused(open_source, str(transfer_run)), what


def test_weight_files_that_are_damaged(dual_run):
    path = dual_run / "model.safetensors"
    whole = path.read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    header = whole[8 : 8 + length]
    contents = [whole[: len(whole) * part // 20] for part in range(20)]
    contents += [struct.pack("<Q", claim) + whole[8:] for claim in (0, 1, 10**8, 2**40, 2**63, 2**64 - 1)]
    contents += [whole[:8] + header.replace(b"F32", kind, 1) + whole[8 + length :] for kind in (b"F99", b"I32", b"F8_")]
    contents += [whole[:8] + header.replace(b"[0,", b"[9,", 1) + whole[8 + length :], b"PK\x03\x04" + whole, bytes(64)]
    contents += [struct.pack("<Q", 200_000) + b"[" * 200_000, pickle.dumps(corpus.Call(print, "boom"))]
    for content in contents:
        path.write_bytes(content)
        assert refused(Translator.from_pretrained, dual_run)


def test_cards_that_are_damaged(tmp_path):
    good = tmp_path / "good.json"
    good.write_text(json.dumps(CARD))
    assert not refused(compare, good, good)
    bad = tmp_path / "bad.json"
    for name in CARD:
        for value in ABSURD:
            bad.write_text(json.dumps({**CARD, name: value}))
            refused(compare, good, bad)  # some of them are cards, which may be unlike
            refused(compare, bad, bad)
        bad.write_text(json.dumps({key: value for key, value in CARD.items() if key != name}))
        assert refused(compare, bad, bad)
    for content in ("", "[]", "3", "[" * 200_000, json.dumps({**CARD, "unknown": 1}), '{"metric": NaN}'):
        bad.write_text(content)
        assert refused(compare, good, bad)
    for value in ("NaN", "Infinity", "1e999", '"1"', "null", "true"):
        bad.write_text(json.dumps(CARD).replace('"value": 1.0', f'"value": {value}'))
        assert refused(compare, bad, bad), value
    bad.unlink()
    os.mkfifo(bad)
    assert refused(compare, good, bad)
    assert refused(compare, bad, tmp_path)


def test_logs_that_are_damaged(tmp_path):
    path = tmp_path / "log.jsonl"
    good = {"images": 8, "iteration": 1, "seconds": 0.5, "terms": {"loss": 1.0}}
    bad = [{**good, name: value} for name in good for value in ABSURD if name != "terms" or not isinstance(value, dict)]
    bad += [{**good, "terms": {"loss": value}} for value in ABSURD if type(value) not in (int, float)]
    right = {"images": (0, 10**9), "iteration": (0, 10**9), "seconds": (0, 10**9, 2**70, 1.5)}
    bad = [
        line
        for line in bad
        if not any(type(line[key]) is not bool and line[key] in right[key] for key in right if line[key] != good[key])
    ]
    lines = [json.dumps(good), *map(json.dumps, bad), "[" * 200_000, "\x00", '"text"', '{"images": 8', json.dumps(good)]
    path.write_bytes("\n".join(lines).encode() + b"\n\xff\xfe\n" + json.dumps(good).encode()[:20])
    assert run_folder.read_log(path) == [good, good]
    run_folder.rewind_log(path, 8)
    assert len(path.read_text().splitlines()) == 2
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        run_folder.read_log(path)


def test_a_report_of_what_is_no_training_run(transfer_run, dual_run, tmp_path):
    for run in (transfer_run, dual_run):
        (run / "log.jsonl").write_text('{"images": 8}\n')
        edited(run, lambda config: config.update(training=[], versions="x"))
        write_report([run], tmp_path / "page.html")
        assert "config.json has no settings of a training run" in (tmp_path / "page.html").read_text()


SETTINGS = """
import sys
from dataclasses import replace
from pathlib import Path
from ganshift import DualConfig, TransferConfig, UserError
sys.path.insert(0, sys.argv[1])
from test_descriptions import ABSURD
here, taken = Path(), set()
for config in (TransferConfig(data=here, out=here, images=8), DualConfig(data=here, out=here, images=8)):
    for name in config.to_json():
        for value in ABSURD:
            try:
                replace(config, **{name: value})
                taken.add((name, str(value)))
            except UserError as error:
                assert len(str(error).splitlines()) == 1, error
print(sorted(name for name, value in taken if value == str(2**70)))
print(sorted(name for name, value in taken if value == str([])))
print(sorted(name for name, value in taken if value == "nan"))
"""


def test_settings_of_any_value():
    """Whatever a field is set to, there are settings, or one line that says what is wrong; without our type checks."""
    command = [sys.executable, "-c", SETTINGS, str(Path(__file__).parent)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=90).stdout
    huge, lists, nan = map(ast.literal_eval, said.splitlines())
    assert set(huge) <= FREE_NUMBERS
    assert lists == nan == []
    with pytest.raises(TypeError, match="unknown"):
        TransferConfig(data=Path(), out=Path(), images=8, unknown=1)


def state(images=5, **more):
    weights = {"weight": 1.2345 * torch.arange(64.0)}
    return {"budget": 9, "seconds": 1.0, "means": {"loss": [1.0, 2.0]}, "state": {"network": weights}, **more}


def test_a_checkpoint_cut_or_changed_anywhere(tmp_path):
    """Of a damaged newest one, nothing is used: the one before is, to the last bit."""
    for images in (1, 2):
        checkpoint.save(tmp_path, images, state(images), keep=2)
    before, newest = sorted(tmp_path.iterdir())
    whole = newest.read_bytes()
    places = range(0, len(whole), max(len(whole) // 60, 1))
    used_newest = 0
    for place in places:
        for content in (whole[:place], whole[:place] + bytes([whole[place] ^ 64]) + whole[place + 1 :]):
            newest.write_bytes(content)
            found = checkpoint.load_latest(tmp_path)
            assert torch.equal(found["state"]["network"]["weight"], state()["state"]["network"]["weight"])
            assert found["budget"] == 9
            used_newest += found["images"] == 2  # a bit of a date or of padding, which says nothing
            for path in tmp_path.glob("*.damaged"):
                path.unlink()
    assert used_newest < len(places)
    assert before.exists()


def test_checkpoints_that_mean_ill(tmp_path, capsys):
    canary = tmp_path / "canary"
    folder = tmp_path / "checkpoints"
    laughs: list = []
    for _ in range(60):
        laughs = [laughs, laughs]
    for number, content in enumerate(corpus.pickles(canary).values(), start=10):
        checkpoint.save(folder, number, state(), keep=99)
        path = folder / f"{number:012d}.pt"
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, content if name.endswith("data.pkl") else data)
    packed = folder / f"{500:012d}.pt"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(100_000_000))
    os.mkfifo(folder / f"{501:012d}.pt")
    (folder / f"{502:012d}.pt").mkdir()
    (folder / f"{503:012d}.pt").symlink_to("/dev/zero")
    wide = torch.zeros(1).expand(10**12)
    for number, odd in enumerate(
        [{"images": -1}, {"images": "5"}, {"images": 2.5}, {"x": wide}, {"x": torch.zeros(2, 2).to_sparse()}], start=600
    ):
        torch.save({"format": 1, "images": number, **state(), **odd}, folder / f"{number:012d}.pt")
    checkpoint.save(folder, 1, state(), keep=99)
    assert checkpoint.load_latest(folder)["images"] == 1
    assert not canary.exists()
    checkpoint.save(folder, 700, {"laughs": laughs}, keep=99)
    assert checkpoint.load_latest(folder)["images"] == 700


class Part:
    def load_state_dict(self, state):
        torch.nn.Linear(2, 2).load_state_dict(state)


@pytest.mark.parametrize(
    "odd",
    [
        {"state": {}},
        {"state": 5},
        {"state": {"network": {"weight": torch.zeros(3)}}},
        {"state": {"network": 3}},
        {"seconds": "x"},
        {"budget": None},
        {"means": {"loss": 3}},
        {"means": {"loss": ["x", 1]}},
    ],
)
def test_checkpoints_of_something_else(tmp_path, odd):
    good = {**state(), "state": {"network": torch.nn.Linear(2, 2).state_dict()}}
    checkpoint.restore({"network": Part()}, good, tmp_path)
    with pytest.raises(UserError, match="of another run"):
        checkpoint.restore({"network": Part()}, {**good, **odd}, tmp_path)


def test_a_source_of_anything_is_refused_before_a_run_begins(transfer_run, tmp_path):
    config = TransferConfig(source=str(transfer_run), data=Path("bundled:digits-5-9"), out=tmp_path / "out", images=8)
    edited(transfer_run, lambda content: content["critic"].update(width=10**6))
    with pytest.raises(UserError, match="does not fit"):
        TransferTrainer.from_config(config)
    for name in ("../nowhere/", "..//", "a/b/c", "x" * 300, "-/-", "\x1b/\n"):
        assert refused(open_source, name)
    assert not (tmp_path / "out").exists()


def test_tensorflow_checkpoints_of_odd_files(tmp_path):
    """What is no whole checkpoint is refused before TensorFlow is imported."""
    for number, names in enumerate((["m.data-0xxxx-of-0yyyy"], ["m.data-00000-of-00002"], [])):
        folder = corpus.write_all(tmp_path / str(number), {"m.index": b"x", **dict.fromkeys(names, b"x")})
        with pytest.raises(UserError, match="is not whole"):
            find_checkpoint(folder / "m")
    os.mkfifo(tmp_path / "2" / "m.data-00000-of-00001")
    with pytest.raises(UserError, match="is not whole"):
        find_checkpoint(tmp_path / "2" / "m")
