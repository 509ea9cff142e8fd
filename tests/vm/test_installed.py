"""vitald as installed on a Debian 12 with systemd, journald and the system bus. One guest for all of them, in the
order of the file: each leaves it running, with straps, a receiver, and balanced books."""

import pytest

from installed import ETC, LIFE, SYNCHRONISE, Installed, b, catalog, image_dir, join_truths

T_US = 1_000_000  # durability_window, as installed
COMMIT_US = 2_000_000  # one write of an emulated machine to a card that has other things to do
SECURITY = 15  # tenths: what `systemd-analyze security` may say
IDS = catalog()
pytestmark = pytest.mark.usefixtures("one_after_the_other")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    guest = Installed(image_dir(), tmp_path_factory.mktemp("guest"))
    try:
        guest.start()
        assert "vitald is installed" in guest.install()
        yield guest
        guest.stop()
    finally:
        guest.close()


@pytest.mark.short
def test_starts_with_nothing(hub):
    """No server, no token, no adapter, no network: it is up, and says what is missing to those who may ask."""
    hub.must("systemctl start vitald.service")
    unit = hub.show("vitald", "Type", "ActiveState", "User", "NRestarts", "StatusText")
    assert (unit["Type"], unit["ActiveState"], unit["User"], unit["NRestarts"]) == ("notify", "active", "vitald", "0")
    hub.until("vitalctl status | grep -q 'there is no Bluetooth adapter'", "bluetoothd has told that there is none")
    for user in (None, "member", "admin"):
        rc, page = hub.sh("vitalctl status", user=user)
        assert rc == 2, (user, page)
        for missing in ("there is no Bluetooth adapter", "no server is configured", "the clock is not synchronised"):
            assert missing in page, (user, page)
    rc, page = hub.sh("vitalctl status", user="outsider")
    assert rc == 77 and "join the group vitald" in page, page
    assert hub.sh("cat /var/lib/vitald/store.db", user="admin")[0] == 1
    assert IDS["STARTED"] and hub.journal(f"MESSAGE_ID={IDS['STARTED']}")


@pytest.mark.short
def test_sandbox(hub):
    """Tight, and still it sees the clock, the boot and the bus."""
    out = hub.must(f"systemd-analyze security --no-pager --threshold={SECURITY} vitald.service")
    print(out.splitlines()[-1])
    boot = hub.must("cat /proc/sys/kernel/random/boot_id").strip()
    run = hub.must("""python3 -c 'import sqlite3; db = sqlite3.connect("/var/lib/vitald/store.db");
print(db.execute("SELECT boot_id FROM run ORDER BY number DESC").fetchone()[0])'""")
    assert run.strip() == boot
    assert hub.status()["summary"]["clock_synchronised"] is False
    hub.must(SYNCHRONISE)
    hub.until("vitalctl status --json | grep -q '\"clock_synchronised\":true'", "it sees that the clock was set")
    assert hub.must("busctl status org.vitald | sed -n 's/^UID=//p'").strip() == hub.must("id -u vitald").strip()
    ping = "busctl call org.vitald / org.freedesktop.DBus.Peer Ping"
    assert hub.sh(ping, user="member")[0] == 0
    rc, out = hub.sh(ping, user="outsider")
    assert rc and "denied" in out.lower(), out
    rc, out = hub.sh("busctl call org.freedesktop.DBus / org.freedesktop.DBus RequestName su org.vitald 0", user="member")
    assert rc and "denied" in out.lower(), out


def test_kill(hub):
    """Data flows; the daemon is killed; systemd starts it, and what its tail held is not lost."""
    hub.serve()
    hub.must("systemctl reload vitald")
    hub.start_straps("truth")
    hub.accepted(50)
    before, kill = hub.pid(), hub.now_us()
    hub.must("systemctl kill -s KILL vitald")
    hub.restarted(before)
    assert hub.show("vitald", "NRestarts")["NRestarts"] == "1"
    assert "were in the tail" in hub.journal(f"MESSAGE_ID={IDS['TAIL_RECOVERED']}")
    assert "None of them is lost" in " ".join(hub.must(f"journalctl -b -x MESSAGE_ID={IDS['TAIL_RECOVERED']}").split())
    hub.accepted(30)
    assert hub.judge(kills=[kill])["gaps"].get("daemon_down"), "nobody was told"


def test_reload(hub):
    """A mistake stops at the check; what is right is taken over by the same process."""
    pid = hub.pid()
    hub.write(f"{ETC}/vitald.conf.d/new.conf", "[sync]\ndurability_window = soon\n")
    assert hub.sh("systemctl reload vitald")[0]
    assert f"{ETC}/vitald.conf.d/new.conf:2: durability_window" in hub.journal()
    assert hub.status()["summary"]["durability_us"] == T_US
    hub.accepted(10)
    hub.write(f"{ETC}/vitald.conf.d/new.conf", "[sync]\ndurability_window = 2s\n")
    hub.must("systemctl reload vitald")
    hub.until("vitalctl status --json | grep -q '\"durability_us\":2000000'", "the new configuration is in force")
    assert hub.journal(f"MESSAGE_ID={IDS['CONFIG_APPLIED']}")
    hub.must(f"rm {ETC}/vitald.conf.d/new.conf && systemctl reload vitald")
    hub.until(f"vitalctl status --json | grep -q '\"durability_us\":{T_US},'", "the old one is back")
    assert hub.pid() == pid


def test_watchdog(hub):
    """A daemon that hangs is ended and started by systemd, and nothing is lost."""
    hub.drop_in("vitald.service", "[Service]", "WatchdogSec=5s")
    hub.must("systemctl restart vitald")
    hub.accepted(30)
    before, kill = hub.pid(), hub.now_us()
    hub.must("systemctl kill -s STOP vitald")
    hub.restarted(before)
    said = hub.journal()
    assert "Watchdog timeout" in said and "result 'watchdog'" in said, said
    hub.drop_in("vitald.service")
    hub.accepted(30)
    hub.judge(kills=[kill, hub.now_us()])


def test_timer(hub):
    """The daemon is dead with records in its tail. The timer's process sends them, and leaves the directory alone."""
    hub.drop_in("vitald.service", "[Service]", "Restart=no")
    hub.receiver.down()
    hub.until("vitalctl status --json | grep -q '\"state\":\"down\"'", "the daemon notices")
    kill = hub.now_us()
    hub.must("systemctl kill -s KILL vitald")
    hub.until("systemctl is-failed vitald", "it stays dead")
    assert b.count_of(hub.audit(), "waiting") > 0, "there is nothing to send"
    hub.receiver.up()
    has, since = hub.receiver.totals["accepted"], hub.monotonic_us()
    hub.fires("vitald-sync.timer", first="1s")
    assert hub.receiver.wait(timeout=50, accepted=has + 1), "the timer sent nothing"
    assert hub.until_exit("vitald-sync.service", since) == 0
    hub.must("systemctl stop vitald-sync.timer")
    hub.must("test -s /run/vitald/tail -a -s /run/vitald/events")
    audit = hub.audit()
    assert audit["balanced"] and b.count_of(audit, "waiting") == 0, audit
    hub.drop_in("vitald-sync.timer")
    hub.drop_in("vitald.service")
    hub.must("systemctl start vitald")
    hub.accepted(30)
    inodes = "stat -c %i /run/vitald/tail /run/vitald/events"
    before = hub.must(inodes)
    hub.must("systemctl start vitald-sync")  # beside the daemon this time
    assert hub.must(inodes) == before
    hub.judge(kills=[kill])


def test_power_cut(hub):
    """The receiver is away and the power goes. What is older than T and one commit is there after the boot."""
    hub.receiver.down()
    down = hub.now_us()
    hub.committed(8)
    hub.power_cut()
    hub.start()
    hub.must(SYNCHRONISE)
    hub.start_receiver()
    hub.must("systemctl start vitald")
    assert hub.journal(f"MESSAGE_ID={IDS['TAIL_LOST']}")
    assert hub.audit()["balanced"]
    hub.start_straps("second")
    hub.accepted(60)
    hub.settle()
    audit = hub.audit()
    assert audit["balanced"] and b.count_of(audit, "waiting") == 0, audit

    both = hub.share / "both"
    join_truths(both, hub.share / "truth", hub.share / "second")
    result = hub.balance("both")
    total, words = result["total"], b.table(result)
    for name in ("altered", "duplicated", "invented", "two_contents", "holes"):
        assert total[name] == 0, words
    before = {one.n: one.t_us for one in b.read_truth(both)[0] if one.n < LIFE and one.expected}
    cut = max(before.values())
    lost = {n for one in result["streams"].values() for n in one["missing"]}
    late = [n for n in lost if n not in before or cut - before[n] > T_US + COMMIT_US]
    assert not late, (late, words)
    kept = [n for n, t_us in before.items() if t_us > down and n not in lost]
    assert kept, "nothing was on the card alone"
    print(f"{len(kept)} records that the card alone held are there, {len(lost)} of the last moment are not")
    assert total["gaps"].get("power_cut") == len(result["streams"]), words
    assert not [name for name in hub.receiver.counters if "conflict" in name]
