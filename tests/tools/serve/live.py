"""What tests of the server share: how a model is written, a server started, a leak found."""

import io
import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import save_file

CLASSES = ["cat", "dog", "<b>rose</b>"]
OPTIONS = [*("--max-upload-mb", "1", "--max-pixels", "300000"), *("--requests-per-minute", "1000000")]
"""Of servers under test: they take 1 MB and 300,000 pixels, and any number of requests."""
SECRETS = ("/home/somebody/pictures", "C:\\Users\\somebody")
"""Where the models say their data lies; nothing that is sent may say so."""


def write_run(folder, model, **config):
    folder.mkdir(parents=True)
    training = {"data": f"{SECRETS[0]}/flowers", "source": f"{SECRETS[1]}\\base", "out": SECRETS[0], "batch": 4}
    training |= {"flip": True, "penalty": 10.0, "aspect": "3:2", "epochs": None}
    data = {"images": 1234, "content": "abc"}
    content = {"training": training, "data": data, "versions": {"ganshift": "0"}, **config}
    (folder / "config.json").write_text(json.dumps(content))
    save_file(model.state_dict(), folder / "model.safetensors")
    return folder


@contextmanager
def serving(runs, *options, **environment):
    """A server of these runs as its own process: the process and the address."""
    command = [sys.executable, "-m", "ganshift", "serve", *map(str, runs), "--port", "0", *options]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}, stdin=subprocess.DEVNULL
    )
    said = []
    try:
        for line in process.stderr:
            said.append(line)
            if found := re.match(r"serving on (http://\S+) \(Ctrl-C ends\)", line):
                break
        else:
            pytest.fail(f"no server: {said}")
        process.said = said
        yield process, found[1]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def leaks(text):
    """Paths of this machine in a text, but for the folder of uploads and results."""
    text = re.sub(r"/tmp/ganshift-\w+", "", text)
    places = {*SECRETS, str(Path(__file__).parents[3]), sys.prefix, str(Path.home()), "/tmp", "site-packages"}
    return [place for place in places if place != "/" and place in text]


def picture(size=(40, 24), mode="RGB", form="PNG"):
    buffer = io.BytesIO()
    Image.effect_noise(size, 80).convert(mode).save(buffer, form)
    return buffer.getvalue()


def refused(response, status):
    assert response.status_code == status, response.text
    assert not leaks(response.text)
    sentence = response.json()["detail"]
    if not isinstance(sentence, str):  # what FastAPI says of fields
        sentence = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in sentence)
    assert "\n" not in sentence
    return sentence
