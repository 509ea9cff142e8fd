"""Each file of tests has a guest of its own, in which they run in their order; after one that failed the next ones get
a fresh guest, as nobody knows what state the old one is in."""

import concurrent.futures
import time

import pytest

from installed import image_dir


def pytest_configure(config):
    config.addinivalue_line("markers", "short: one of each class, for `make test`")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        failed.add(item.module.__name__)
        if hub := item.funcargs.get("hub"):
            hub.keep_logs()
        item.config.get_terminal_writer().write(f"\n{report.longreprtext}\n")  # now; the others take half an hour


failed = set()  # files of which a test failed in the guest that they have


@pytest.fixture(scope="session", autouse=True)
def measured(request, tmp_path_factory):
    """The figures of test_wear, or what went wrong: its guest is at work beside those of the other tests, as it takes
    twenty minutes of doing next to nothing."""
    module = next((item.module for item in request.session.items if item.module.__name__ == "test_wear"), None)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        yield pool.submit(module.measure, tmp_path_factory.mktemp("wear")) if module else None


@pytest.fixture(scope="module")
def guests(request, tmp_path_factory):
    """make(class, prepare) -> the guest of this file; prepare(guest) makes it ready once."""
    held, name = [], request.module.__name__

    def make(kind, prepare):
        if held and name in failed:
            held.pop().close()
        if not held:
            failed.discard(name)
            held.append(kind(image_dir(), tmp_path_factory.mktemp(name.removeprefix("test_"))))
            try:
                prepare(held[0])
            except BaseException:
                held[0].keep_logs()
                raise
        return held[0]

    try:
        yield make
        if held:
            held[0].stop()
    finally:
        for one in held:
            one.close()


@pytest.fixture
def one_after_the_other(request):
    """For tests that begin where the last one ended."""
    if request.module.__name__ in failed:
        pytest.skip("the one before failed")


@pytest.fixture(autouse=True)
def timed(capsys):
    began = time.monotonic()
    yield
    with capsys.disabled():
        print(f"  {time.monotonic() - began:.0f} s ", end="")
