"""One thread a test process, and reports that can be sent from one to another.

The suite runs in as many processes as there are cores, and programs that tests start have one thread too. Sums in
another number of threads round differently, so that a run is equal to the last bit only to one with as many.
"""

import os
import shutil

import pytest
import torch

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"  # a name like runs/mine must not be asked for on the network
torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """What drives a browser is left to the second ring."""
    for item in items:
        if "chromium" in item.fixturenames:
            item.add_marker(pytest.mark.ring_two)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Write out what is no Unicode in captured messages, such as names of hostile files: xdist cannot send it."""
    report = (yield).get_result()
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]


@pytest.fixture(scope="module")
def chromium():
    """A browser without a window; not skipped where there is none."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program, "these tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.getuid() == 0 else []  # as root it starts in no other way
        browser = playwright.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()


@pytest.fixture(params=["desk-light", "desk-dark", "phone-light", "phone-dark"])
def tab(request, chromium):
    """An empty page on one of these screens, which runs the scripts of tests whatever its policy says."""
    from accessibility import SCREENS  # not above: it imports ganshift, before annotations can be checked

    screen, scheme = request.param.split("-")
    context = chromium.new_context(viewport=SCREENS[screen], color_scheme=scheme, bypass_csp=True)
    yield context.new_page()
    context.close()
