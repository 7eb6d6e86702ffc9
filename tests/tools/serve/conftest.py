"""Tiny untrained models of both kinds, and a server of them."""

import re
import signal
from pathlib import Path
from urllib.request import urlopen

import pytest
import torch
from live import CLASSES, OPTIONS, serving, write_run
from starlette.testclient import TestClient

from ganshift import Generator, Translator
from ganshift.metrics.record_files import write_records
from ganshift.metrics.score_record import ScoreRecord
from ganshift.tools.serve.api import create_api
from ganshift.tools.serve.guard import protect
from ganshift.tools.serve.limits import Limits
from ganshift.tools.serve.shelf import open_runs
from ganshift.tools.serve.worker import Worker

NAMES = {"a": "photo", "b": "line drawing 画"}
NETWORK = {"size": 32, "width": 4, "channels": 3, "norm": True}
CARD = ScoreRecord(
    metric="FID",
    protocol="",
    value=12.345,
    spread=0.5,
    num_generated=1000,
    num_reference=2000,
    reference_split="all",
    reference_hash="0" * 64,
    extractor="cifar",
    extractor_hash="0" * 64,
    resize_rule="none",
    quantisation="uint8",
    seed=0,
    model_hash="0" * 64,
    versions={},
)


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A generator with classes that has a score, one without, and a translator between colour and gray."""
    folder = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    conditional = {**NETWORK, "num_classes": len(CLASSES)}
    model = Generator(conditional, CLASSES)
    for name, parameter in model.named_parameters():
        if name.endswith("gain"):
            torch.nn.init.normal_(parameter)  # or classes would not differ
    flowers = write_run(folder / "flowers", model, method="transfer", generator=conditional, classes=CLASSES)
    write_records(flowers, [CARD])
    plain = {**NETWORK, "num_classes": 0}
    best = write_run(folder / "plain" / "best", Generator(plain), method="transfer", generator=plain, classes=[])
    shared = {"width": 4, "levels": 5, "size": 32, "dropout": 0.0, "as_published": False}
    there = {"in_channels": 3, "out_channels": 1, **shared}
    back = {"in_channels": 1, "out_channels": 3, **shared}
    sketch = write_run(
        folder / "sketch", Translator(there, back), method="dual", gen_ab=there, gen_ba=back, names=NAMES
    )
    return [flowers, best, sketch]


@pytest.fixture(scope="session")
def server(runs):
    """A server that ends cleanly at the end."""
    with serving(runs, *OPTIONS, "--seconds", "600") as (process, address):
        with urlopen(f"{address}/config") as answer:
            (folder,) = set(re.findall(r"/tmp/ganshift-\w+", answer.read().decode()))
        yield process, address
        assert Path(folder).is_dir()
        process.send_signal(signal.SIGTERM)
        assert process.stderr.read() == ""  # after all that the tests did to it
        assert process.wait() == -signal.SIGTERM
        assert not Path(folder).exists()


@pytest.fixture(scope="session")
def shelf(runs):
    return open_runs(runs, "cpu")


@pytest.fixture
def connect(shelf):
    """Clients of servers with these limits, account and host names."""
    workers = []

    def make(account=None, hosts=None, **limits):
        limits = Limits(**limits)
        workers.append(Worker(limits))
        app = protect(create_api(shelf, limits, workers[-1]), limits, account, hosts)
        return TestClient(app, "http://localhost")

    yield make
    for worker in workers:
        worker.close()
