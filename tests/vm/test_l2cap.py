"""Without bluetoothd: vitald speaks to wearables over L2CAP itself, with the drop-in that this needs."""

import dataclasses

import pytest

from lab import EDGE_S, FIRST_S, IDS, Lab, strap

STRAPS = [strap(i) for i in range(2)]
PMD_CONTROL = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
SILENCE_S = 45  # until the daemon has given up a link that says nothing, and made it anew
DROP_IN = "/etc/systemd/system/vitald.service.d/l2cap.conf"
SECURITY = 21  # tenths: what `systemd-analyze security` may say with the drop-in


def prepare(hub):
    hub.setup()
    hub.start_radio(STRAPS)
    hub.must(f"install -D -m 0644 /usr/local/share/vitald/l2cap.conf {DROP_IN} && systemctl daemon-reload")


@pytest.fixture
def beside(guests):
    guest = guests(Lab, prepare)
    guest.mark = guest.now()
    return guest


@pytest.fixture
def hub(beside):
    """Without bluetoothd, as the first test leaves it; after one that failed it is a fresh guest."""
    if not beside.sh("systemctl is-active bluetooth")[0]:
        beside.must("systemctl mask --runtime --now bluetooth")
        beside.configure(STRAPS, type_="l2cap")
        beside.heard(STRAPS, beside.now(), FIRST_S)
    return beside


@pytest.mark.short
def test_not_beside_bluetoothd(beside):
    """Two on one link would take each other's answers: as long as bluetoothd is there, nothing is connected."""
    beside.configure(STRAPS, type_="l2cap")
    beside.until("vitalctl status | grep -q 'bluetoothd runs here'", "the owner is told")
    assert beside.sh("vitalctl status")[0] == 2
    assert not any(one["connected"] for one in beside.radio("state")["devs"])
    beside.must("systemctl mask --runtime --now bluetooth")
    print(f"heard {beside.heard(STRAPS, beside.now(), FIRST_S):.1f} s after bluetoothd was gone")
    beside.judge()


@pytest.mark.short
def test_links(hub):
    """A link breaks and is made again; the other one is exact meanwhile."""
    since = hub.now()
    hub.radio("link_loss", dev=0, after=0.5)
    print(f"heard after {hub.heard(STRAPS[:1], since + 0.5):.1f} s")
    hub.said_until(hub.now() + 10)
    hub.judge(expect={0: ["link_loss"]})


def test_unplugged(hub):
    """The adapter goes and comes."""
    since = hub.now()
    hub.radio("unplug")
    hub.until("! vitalctl status", "it is noticed")
    hub.radio("plug")
    print(f"heard {hub.heard(STRAPS, hub.now()):.1f} s after it was plugged")
    hub.judge()
    assert {gap[2] for gap in hub.gaps(since)} == {"adapter"}, hub.gaps(since)


def test_mute(hub):
    """The link is up and says nothing: it is asked again, given up and made anew, not taken up as it was."""
    since = hub.now()
    hub.radio("mute", dev=1, on=True)
    print(f"heard after {hub.heard(STRAPS[1:], since + EDGE_S, SILENCE_S):.1f} s")
    hub.line(STRAPS[1].address, "subscribe again", since=since, times=1)
    hub.line(STRAPS[1].address, ": reconnect:", since=since, times=1)
    told = hub.must(f"journalctl -b -q -x -u vitald --since @{since + hub.wall:.3f} MESSAGE_ID={IDS['DEVICE_RECOVERY']}")
    assert "A wearable stopped speaking" in told, told
    hub.judge(expect={1: ["silent"]})


def test_more_away_than_links(hub):
    """Three times as many are looked for as may have a link: who is there is heard, and the others wait then."""
    away = [strap(i) for i in range(10, 16)]
    hub.configure([*away, *STRAPS], "[bluetooth]", f"max_links = {len(STRAPS)}", type_="l2cap")
    since = hub.drop(*range(len(STRAPS)))
    print(f"heard after {hub.heard(STRAPS, since):.1f} s")
    hub.until(f"[ $(vitalctl devices --json | grep -o 'links are in use' | wc -l) = {len(away)} ]", "they wait")
    hub.configure(STRAPS, type_="l2cap")
    hub.judge(expect={dev: ["disconnected"] for dev in range(len(STRAPS))})


def test_bond(hub):
    """A strap that wants to be paired for its ECG is told of, and its heart is heard."""
    hub.radio("set", dev=1, key="encrypt", value=[PMD_CONTROL])
    since = hub.drop(1)
    heart = dataclasses.replace(STRAPS[1], kinds=("heart_rate",))
    print(f"its heart is heard after {hub.heard([heart], since):.1f} s")
    hub.until("vitalctl status --json | grep -q 'needs pairing, which only type = bluez can do; ecg'", "it is told")
    assert not [line for line in hub.log() if line["ev"] == "paired"]
    hub.radio("set", dev=1, key="encrypt", value=[])
    hub.radio("disconnect", dev=1)
    hub.heard(STRAPS, hub.now())
    hub.judge(expect={1: ["disconnected"]})


def test_garbage(hub):
    """Our own ATT client, and the same rubbish."""
    since, pid = hub.now(), hub.pid()
    for value in ("1b", "1b0c", "1bffff0102", "1d", "ff00", "0b0102", "01", "02", "03", "13", "1b0c00" + "aa" * 700, ""):
        hub.radio("att", dev=1, hex=value)
    hub.said_until(hub.now() + 5)
    hub.heard(STRAPS, hub.now())
    hub.excuse(since, dev=1)
    hub.judge()
    assert hub.pid() == pid
    assert not [gap for gap in hub.gaps(since) if gap[0] == STRAPS[0].address], hub.gaps(since)


def test_sandbox(hub):
    """The drop-in opens the sockets and no more than that."""
    out = hub.must(f"systemd-analyze security --no-pager --threshold={SECURITY} vitald.service")
    print(out.splitlines()[-1])
    assert hub.status()["summary"]["clock_synchronised"]
    hub.must(f"rm {DROP_IN} && systemctl daemon-reload && systemctl restart vitald")
    hub.until("vitalctl status | grep -q 'sockets are closed to this service'", "the owner is told what to do")
    hub.must(f"install -D -m 0644 /usr/local/share/vitald/l2cap.conf {DROP_IN} && systemctl daemon-reload")
    hub.must("systemctl restart vitald")
    hub.heard(STRAPS, hub.now(), FIRST_S)
