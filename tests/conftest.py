"""One thread a test process, and reports that can be sent from one to another.

The suite runs in as many processes as there are cores, and programs that tests start have one thread too. Sums in
another number of threads round differently, so that a run is equal to the last bit only to one with as many.
"""

import os

import pytest
import torch

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"  # a name like runs/mine must not be asked for on the network
torch.set_num_threads(1)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Write out what is no Unicode in captured messages, such as names of hostile files: xdist cannot send it."""
    report = (yield).get_result()
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
