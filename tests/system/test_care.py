"""The store in trouble, with real processes: a card that somebody else filled, damage, backups, a way back."""

import os
import subprocess

import pytest

from hub import until
from scenario import accepted, gaps, judge, problems, settle

STRAPS = ("--straps", 3, "--ecg", 2, "--speed", 10)


# -- the card

@pytest.fixture
def card(tmp_path):
    """A card of 32 MiB: 5 % of it are 1.6 MiB."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: a full card needs a mount, and that needs root")
    path = tmp_path / "card"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m,mode=0700", "vitald-test", str(path)],
                      capture_output=True).returncode:
        pytest.skip("NOT TESTED: a full card needs a mount, and this root may not mount")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def free(card):
    v = os.statvfs(card)
    return v.f_bavail * v.f_frsize


def leave_free(card, left):
    """Somebody else takes all but so many bytes."""
    with open(card / "filler", "wb") as file:
        file.truncate(0)
        if free(card) > left:
            os.posix_fallocate(file.fileno(), 0, free(card) - left)


def on_card(new_hub, card, **sync):
    hub = new_hub({"daemon": {"state_dir": card}, "sync": {"durability_window": "200ms", **sync}})
    hub.state_dir = card
    hub.start_straps(*STRAPS)
    hub.start_daemon()
    until(lambda: (card / "ballast").exists(), 20, "ballast")
    accepted(hub, 10)
    return hub


def test_the_reserve_is_left_to_others(new_hub, card):
    """Below half of it ECG is refused, below a quarter everything; both end when there is room, gaps count what
    was refused, and status says why."""
    hub = on_card(new_hub, card, free_reserve="256M")
    leave_free(card, 600_000)
    until(lambda: "new ECG is refused" in str(hub.status()["problems"]), 20, "ECG is refused")
    shed = until(lambda: [s for s in hub.status()["streams"] if s["shed"]], 20, "something was shed")
    assert {s["data_type"] for s in shed} == {"ecg"}
    accepted(hub, 10)  # heart rate goes on
    leave_free(card, 200_000)
    until(lambda: "new samples are refused" in str(hub.status()["problems"]), 20, "all is refused")
    until(lambda: all(s["shed"] > 5 for s in hub.status()["streams"]), 20, "all was shed")
    assert hub.ctl("status")[0] == 2
    (card / "filler").unlink()
    until(lambda: "are to be left to others" not in problems(hub), 20, "there is room")
    accepted(hub, 20)
    settle(hub)
    shed = {(s["device"], s["data_type"]): s["shed"] for s in hub.status()["streams"]}
    told = {key: sum(n for reason, *_, n in rows if reason == "store_full") for key, rows in gaps(hub).items()}
    assert shed == told
    total = hub.balance(waiting=hub.audit())["total"]
    assert total["lost"] == sum(shed.values()) and not total["altered"], total
    assert hub.audit()["balanced"]


def test_starts_on_a_full_card(new_hub, card):
    """Killed, and then somebody fills the card: it starts, says so, sends on, and makes ballast again."""
    hub = on_card(new_hub, card)
    for _ in range(2):  # the second time there is less to give
        hub.kill()
        leave_free(card, 0)
        hub.start_daemon()
        accepted(hub, 20)
    until(lambda: "the card is full" in problems(hub), 20, "it says so")
    (card / "filler").unlink()
    until(lambda: (card / "ballast").exists() and (card / "ballast.start").exists(), 20, "ballast")
    until(lambda: "the card is full" not in problems(hub), 20, "there is room")
    settle(hub)
    judge(hub)
