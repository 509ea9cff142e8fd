"""Layer 3 with the real systemd: the timers as they are installed, and what they do beside a daemon that is dead or
hangs. One guest, in the order of the file; each test leaves it with a daemon, straps, a receiver and balanced books."""

import re

import pytest

from installed import SYNCHRONISE, TIMERS, Installed, b, catalog, join_truths

IDS = catalog()
SECURITY = 15  # tenths: what `systemd-analyze security` may say
HEARTBEAT_S = 30  # an owner that has been silent for longer hangs
T_US = 1_000_000  # durability_window, as installed
COMMIT_US = 2_000_000  # one write of an emulated machine to a card that has other things to do
DAY_S = 86400
NEAR_US = 600_000_000  # straps that stand still have clocks that do, too: the next frames seem older than they are
ABOUT_US = 5_000_000  # of an emulated machine

# Stops a process between the first write of a commit and its end: its lock on the store is held then, and stays so.
STOP_IN_COMMIT = """
import os, signal, sqlite3, sys
pid, store = int(sys.argv[1]), "/var/lib/vitald/store.db"
db = sqlite3.connect(store, timeout=0, isolation_level=None)
state = lambda: open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0]
look = lambda: os.stat(store + "-wal").st_mtime_ns
for n in range(1, 100):
    was = look()
    while look() == was:
        pass
    os.kill(pid, signal.SIGSTOP)
    while state() != "T":
        pass
    try:
        db.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        sys.exit(print(f"stopped in commit {n}"))
    db.execute("ROLLBACK")
    os.kill(pid, signal.SIGCONT)
sys.exit("never in a commit")
"""


def prepare(hub):
    hub.start()
    hub.install()
    hub.must(SYNCHRONISE)
    hub.serve()
    hub.must(f"systemctl enable --now vitald.service {' '.join(TIMERS)}")
    hub.start_straps("truth")
    hub.accepted(20)


@pytest.fixture
def hub(guests):
    return guests(Installed, prepare)


def outage(hub, commits=4):
    """The receiver is away, and some of what was said since is on the card alone."""
    hub.receiver.down()
    hub.until("vitalctl status --json | grep -q '\"state\":\"down\"'", "the daemon notices")
    hub.committed(commits)


def missing(hub, before_us):
    """The numbers of what was said until then and is not at the receiver."""
    result = hub.balance("truth", near_us=NEAR_US)
    for name in ("altered", "duplicated", "invented", "two_contents"):
        assert result["total"][name] == 0, b.table(result)
    said = {one.n: one.t_us for one in b.read_truth(hub.share / "truth")[0] if one.expected}
    assert said
    return [n for one in result["streams"].values() for n in one["missing"] if said[n] < before_us]


@pytest.mark.short
def test_timers(hub):
    """Each is enabled and waits for a time after the boot, and for one after its last run; no calendar is asked."""
    listed = hub.must("systemctl list-timers --no-pager --no-legend")
    for timer in TIMERS:
        assert re.search(rf" {timer} +{hub.service(timer)}", listed), listed
        unit = hub.must(f"systemctl show {timer}")
        assert "{ OnBootUSec=" in unit and "{ OnUnitActiveUSec=" in unit and "OnCalendar" not in unit, unit
        assert "RandomizedDelayUSec=0\n" not in unit and "Persistent=no\n" in unit and "ActiveState=active\n" in unit, unit
        assert hub.next_run(timer) > hub.monotonic_us(), unit


@pytest.mark.short
def test_sandbox(hub):
    """Each service is as tight as the daemon, and does its work in there. What runs every half hour has no /dev of its
    own, for the sake of the card; systemd does not count that the device controller keeps it away from devices, too."""
    assert hub.show("vitald-sync", "PrivateDevices", "DevicePolicy") == {"PrivateDevices": "no", "DevicePolicy": "closed"}
    for timer in TIMERS:
        service = hub.service(timer)
        most = SECURITY + (service == "vitald-sync.service")
        out = hub.must(f"systemd-analyze security --no-pager --threshold={most} {service}")
        print(out.splitlines()[-1])
        hub.must(f"systemctl start {service}")  # beside the daemon
        unit = hub.show(service, "Result", "ExecMainStatus", "User", "RuntimeDirectoryPreserve")
        assert unit == {"Result": "success", "ExecMainStatus": "0", "User": "vitald", "RuntimeDirectoryPreserve": "yes"}
        assert len(hub.journal(unit=service).splitlines()) < 10, "it writes more than it has to say"
    hub.accepted(5)
    hub.judge()


def test_wall_clock(hub):
    """Somebody sets the clock: a day ahead, a day back, to 1970 (as far as the kernel lets it: to its own uptime). No timer
    fires for it, and none is held up."""
    hub.tell("pause")
    hub.fires(*TIMERS, first="60s")
    due, ran = ({timer: look(timer) for timer in TIMERS} for look in (hub.next_run, hub.last_run))
    real, began = hub.now_us() / 1e6, hub.monotonic_us()
    for wall in (real + DAY_S, real - DAY_S, 3600):
        hub.must(f"date -s @{wall:.0f}")
        for timer in TIMERS:
            assert hub.last_run(timer) == ran[timer], (timer, wall)
            assert abs(hub.next_run(timer) - due[timer]) < ABOUT_US, (timer, wall, due, hub.next_run(timer))
    for timer in TIMERS:
        hub.until_exit(hub.service(timer), began)
        assert abs(hub.last_run(timer) - due[timer]) < ABOUT_US, (timer, due, hub.last_run(timer))
    for timer in TIMERS:
        hub.as_installed(timer)
    hub.must(f"date -s @{real + (hub.monotonic_us() - began) / 1e6:.6f}")
    hub.must(SYNCHRONISE)
    hub.tell("resume")
    hub.accepted(10)
    hub.judge(near_us=NEAR_US)


@pytest.mark.short
@pytest.mark.parametrize("what", ["wiped", "set back"])
def test_server_lost_data(hub, what):
    """The receiver has lost what it had confirmed, and nobody asks for it. The timer has it compared: everything comes
    back, and the findings say what was lacking."""
    hub.tell("pause")
    hub.settle()
    if what == "wiped":
        hub.receiver.wipe()
    else:
        hub.receiver.snapshot("old")
        hub.tell("resume")
        hub.accepted(20)
        hub.settle()
        hub.receiver.rollback("old")
    since, wall = hub.monotonic_us(), hub.now_us()
    hub.fires("vitald-reconcile.timer", first="1s")
    assert hub.until_exit("vitald-reconcile.service", since) == 0, hub.journal(unit="vitald-reconcile")
    said = hub.until(f"journalctl -b -q -o cat -u vitald --since @{wall / 1e6:.3f} MESSAGE_ID={IDS['RECONCILE']} |"
                     " grep 'lacked [1-9]'", "it found what is lacking")
    print(said)
    hub.as_installed("vitald-reconcile.timer")
    hub.tell("resume")
    hub.accepted(10)
    hub.judge(near_us=NEAR_US)


@pytest.mark.parametrize("how", ["idle", "in a commit"])
def test_hung(hub, how):
    """The daemon hangs with records on the card and in its tail. The timer's process sends what it can read of them; then
    systemd ends the daemon, and the next one sends what is left."""
    hub.drop_in("vitald.service", "[Service]", f"WatchdogSec={HEARTBEAT_S + 45}s")
    hub.must("systemctl restart vitald")
    hub.accepted(10)
    outage(hub)
    since, before = hub.monotonic_us(), hub.pid()
    if how == "idle":
        hub.must("systemctl kill -s STOP vitald")
    else:
        hub.write("/run/stop_in_commit.py", STOP_IN_COMMIT)
        print(hub.must(f"python3 /run/stop_in_commit.py {before}"))
    stopped = hub.now_us()
    hub.receiver.up()
    hub.fires("vitald-sync.timer", first=f"{HEARTBEAT_S + 3}s")
    hub.until_exit("vitald-sync.service", since)
    assert hub.pid() == before, "the watchdog was faster: this shows nothing"
    lost = missing(hub, stopped - T_US - COMMIT_US)
    assert not lost, f"{lost}\n{hub.journal(unit='vitald-sync')}"
    said = hub.journal(unit="vitald-sync")
    assert "does not answer" in said and "hung" in said, said

    hub.restarted(before)
    said = hub.journal()
    assert "Watchdog timeout" in said and "result 'watchdog'" in said, said
    if how == "idle":  # a commit that was stopped behind its last write is whole, and leaves nothing to the tail
        assert hub.journal(f"MESSAGE_ID={IDS['TAIL_RECOVERED']}")
    hub.drop_in("vitald.service")
    hub.as_installed("vitald-sync.timer")
    hub.accepted(10)
    hub.judge(kills=[stopped, hub.now_us()], near_us=NEAR_US)


def test_dead(hub):
    """The power goes in an outage, and nobody starts the daemon after it. What the card holds is sent by the timer alone:
    its first run finds no server, the next one does."""
    outage(hub, 8)
    hub.must("systemctl stop vitald-sync.timer")
    hub.drop_in("vitald-sync.timer", "[Timer]", "OnBootSec=", "OnUnitActiveSec=", "OnBootSec=20s", "OnUnitActiveSec=10s",
                "RandomizedDelaySec=0", "AccuracySec=1ms")
    hub.must("systemctl mask vitald && sync")
    cut = hub.now_us()
    hub.power_cut()
    hub.start()
    hub.must(SYNCHRONISE)
    assert hub.until_exit("vitald-sync.service", 0) == 75, hub.journal(unit="vitald-sync")
    hub.start_receiver()
    has, since = hub.receiver.totals["accepted"], hub.monotonic_us()
    assert hub.receiver.wait(timeout=60, accepted=has + 1), hub.journal(unit="vitald-sync")
    assert hub.until_exit("vitald-sync.service", since) == 0
    audit = hub.audit()
    assert audit["balanced"] and b.count_of(audit, "waiting") == 0, audit
    assert not hub.pid()
    lost = missing(hub, cut - T_US - COMMIT_US)
    assert not lost, f"{lost}\n{hub.journal(unit='vitald-sync')}"

    hub.must("systemctl unmask vitald && systemctl start vitald")
    hub.as_installed("vitald-sync.timer")
    hub.start_straps("second")
    hub.accepted(10)
    hub.settle()
    assert hub.audit()["balanced"]
    join_truths(hub.share / "both", hub.share / "truth", hub.share / "second")
    total = hub.balance("both", near_us=NEAR_US)["total"]
    for name in ("altered", "duplicated", "invented", "two_contents", "holes"):
        assert total[name] == 0, total
    assert total["gaps"].get("power_cut"), total
