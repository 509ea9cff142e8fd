"""Each file of tests has a guest of its own, in which they run in their order; after one that failed the next ones get
a fresh guest, as nobody knows what state the old one is in."""

import time

import pytest

from installed import image_dir


def pytest_configure(config):
    config.addinivalue_line("markers", "short: one of each class, for `make test`")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if outcome.get_result().failed:
        item.session.stash[FAILED] = True


FAILED = pytest.StashKey()


@pytest.fixture(scope="module")
def guests(tmp_path_factory):
    """make(class, prepare) -> the guest of this file; prepare(guest) makes it ready once."""
    held = []

    def make(kind, prepare, session):
        if held and session.stash.get(FAILED, False):
            held.pop().close()
        if not held:
            session.stash[FAILED] = False
            held.append(kind(image_dir(), tmp_path_factory.mktemp("guest")))
            prepare(held[0])
        return held[0]

    try:
        yield make
        if held:
            held[0].stop()
    finally:
        for one in held:
            one.close()


@pytest.fixture(autouse=True)
def timed(capsys):
    began = time.monotonic()
    yield
    with capsys.disabled():
        print(f"  {time.monotonic() - began:.0f} s ", end="")
