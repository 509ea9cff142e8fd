"""`new_hub(...)`: hubs that end with the test. When one failed its log is shown; what a sanitizer said fails
any test."""

import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "receiver"))

from hub import SANITIZER, Hub  # noqa: E402
from scenario import QUICK  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes a minute, whatever the machine")


def pytest_collection_modifyitems(items):
    """The long ones first: at the end everybody would wait for them."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def merged(config):
    """QUICK with the test's own on top."""
    settings = {section: dict(keys) for section, keys in QUICK.items()}
    for section, keys in (config or {}).items():
        settings.setdefault(section, {}).update(keys)
    return settings


@pytest.fixture
def new_hub(tmp_path, request):
    hubs = []

    def make(config=None, **options):
        hubs.append(Hub(tmp_path / f"hub{len(hubs)}", config=merged(config), **options))
        return hubs[-1]

    yield make
    for hub in hubs:
        hub.close()
    told = [hub.said() for hub in hubs]
    for text in told:
        print("\n".join(text.splitlines()[-60:]))  # pytest shows it if the test failed
    for text in told:
        assert not SANITIZER.search(text), text


@pytest.fixture
def new_card(tmp_path):
    """`new_card("32m")`: a card of that size, to be filled."""
    cards = []

    def make(size):
        if os.geteuid() != 0:
            pytest.skip("NOT TESTED: a full card needs a mount, and that needs root")
        card = tmp_path / f"card{len(cards)}"
        card.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "vitald-test", str(card)],
                          capture_output=True).returncode:
            pytest.skip("NOT TESTED: a full card needs a mount, and this root may not mount")
        cards.append(card)
        return card

    yield make
    for card in cards:
        subprocess.run(["umount", "-l", str(card)], check=True)
