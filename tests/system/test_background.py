"""`vitald drain`, `reconcile` and `cleanup`: what timers start. Beside a daemon that is alive, hung or absent, with and
without a network, on a terminal, told to do nothing. (Stops, kills and handing over: test_stop.py.)"""

import os
import pathlib
import pty
import re
import shutil
import subprocess
import tempfile

import pytest

from hub import until
from scenario import (
    accepted, age_heartbeat, die_while_down, end_drain, files, fill_while_down, freeze, judge, problems, settle, sink,
    sink_state, start_drain, thaw,
)

ELSEWHERE = "https://192.0.2.1"  # TEST-NET-1, RFC 5737: nobody is there
NOBODY = 65534
SUMMARY = re.compile(r"had (\d+) records confirmed, (\d+) still wait")


def can_unshare():
    return shutil.which("ip") and subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode == 0


needs_namespaces = pytest.mark.skipif(not can_unshare(), reason="no ip(8), or this user may not make namespaces")


def run(hub, command, *options, prefix=(), timeout=60):
    """-> (exit status, what it said)."""
    done = subprocess.run([*prefix, hub.vitald, command, *options, "--config", str(hub.config_file)], text=True,
                          capture_output=True, timeout=timeout, env=hub.env, check=False)
    hub.heard(done.stderr)
    return done.returncode, done.stdout + done.stderr


# -- typed by root

def test_what_root_types_is_done_as_the_stores_user(new_hub, tmp_path):
    """`sudo vitald cleanup` for a dead daemon leaves no file behind that the daemon could not open."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    place = pathlib.Path(tempfile.mkdtemp(prefix="vitald-", dir="/var/tmp"))  # the way to tmp_path is root's alone
    try:
        hub = new_hub({"daemon": {"state_dir": place}})
        hub.state_dir = place
        hub.start_straps("--straps", 2)
        hub.start_daemon()
        accepted(hub, 5)
        hub.kill()
        there = [path for folder in (place, hub.runtime_dir) for path in (folder, *folder.rglob("*"))]
        for path in there:
            os.chown(path, NOBODY, NOBODY)
        (hub.runtime_dir / "tail").unlink()  # a power cut: it has to be made anew
        status, said = run(hub, "cleanup")
        assert status == 0, said
        assert (hub.runtime_dir / "tail").exists()
        for folder in (place, hub.runtime_dir):
            assert {path.name for path in folder.rglob("*") if path.stat().st_uid != NOBODY} == set()
    finally:
        shutil.rmtree(place)


# -- beside a daemon at work

def test_by_hand_it_waits_for_what_the_daemon_does(new_hub):
    hub = new_hub({"sync": {"backoff_min": "5min", "backoff_max": "15min"}})
    fill_while_down(hub, 40)
    sink_state(hub, "down")
    hub.receiver.up()
    status, said = run(hub, "drain")
    done, left = map(int, SUMMARY.search(said).groups())
    assert status == 0 and done >= 40 and left == 0, said
    assert hub.receiver.state()["totals"]["accepted"] >= done
    settle(hub)
    judge(hub)


def test_by_hand_it_says_why_something_is_left(new_hub):
    hub = new_hub({"sync": {"backoff_min": "5min", "backoff_max": "15min"}})
    fill_while_down(hub, 40)
    sink_state(hub, "down")
    status, said = run(hub, "drain")
    assert status == 75 and "because sink demo: no answer" in said, said
    assert int(SUMMARY.search(said).group(2)) >= 40
    hub.receiver.up()
    assert run(hub, "drain")[0] == 0
    settle(hub)
    judge(hub)


def test_by_timer_it_only_asks(new_hub):
    """The server is down, and a timer's process has nothing to wait for."""
    hub = new_hub({"sync": {"backoff_min": "5min", "backoff_max": "15min"}})
    fill_while_down(hub, 40)
    sink_state(hub, "down")
    status, said = run(hub, "drain", "--timer")
    assert status == 0 and "is at work and was asked" in said and not SUMMARY.search(said), said
    hub.receiver.up()
    assert run(hub, "drain", "--timer")[0] == 0
    accepted(hub, 40)
    settle(hub)
    judge(hub)


def test_both_at_work_send_nothing_twice(new_hub):
    """A daemon that drains and as many drains as can be started meanwhile: each record travels once."""
    hub = new_hub({"sync": {"max_body": None}})
    hub.start_straps("--straps", 4, "--ecg", 3, "--speed", 200)
    hub.receiver.down()
    hub.start_daemon()
    until(lambda: (hub.waiting() or 0) >= 8000, 60, "8000 records wait")
    hub.receiver.misbehave("slow", delay=0.03)  # so that there is a while to disturb
    hub.receiver.up()
    drains = [start_drain(hub) for _ in range(5)]
    drains += [subprocess.Popen([hub.vitald, "drain", "--timer", "--config", str(hub.config_file)], env=hub.env,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
               for _ in range(3)]
    for drain in drains:
        assert end_drain(hub, drain, 60)[0] == 0
    hub.receiver.clear()
    settle(hub)
    judge(hub)
    totals = hub.receiver.state()["totals"]
    assert totals["duplicate"] == 0 and totals["accepted"] >= 8000, totals


# -- timers = no

@pytest.mark.parametrize("command", ["drain", "reconcile", "cleanup"])
def test_timers_can_be_switched_off(new_hub, command):
    hub = new_hub({"features": {"timers": "no"}})
    die_while_down(hub, 40)
    hub.receiver.up()
    before = files(hub)
    status, said = run(hub, command, "--timer")
    assert status == 0 and "timers = no" in said, said
    assert files(hub) == before and hub.receiver.state()["totals"]["accepted"] == 0
    assert hub.drain()[0] == 0  # who asks is served
    judge(hub)


# -- without a network

def offline_hub(new_hub):
    return new_hub({'sink "demo"': {"url": ELSEWHERE}, "sync": {"immediate_timeout": "1s", "background_timeout": "1s"}},
                   receiver=False)


def rows(hub):
    return [(row["first_seq"], row["retries"], row["last_error"]) for row in hub.ctl_json("queue")]


@needs_namespaces
def test_offline_nothing_is_attempted(new_hub):
    """Exit 0 at once, no retry counted; but what lay in the tail of a daemon that was killed is on the disk."""
    hub = offline_hub(new_hub)
    hub.start_straps("--straps", 2, "--speed", 10)
    hub.start_daemon()
    sink_state(hub, "down", timeout=30)
    hub.kill()
    hub.stop_straps()
    before, waiting = rows(hub), hub.waiting()
    status, said = run(hub, "drain", prefix=("unshare", "-rn"), timeout=5)
    assert status == 0 and "no network" in said, said
    assert rows(hub) == before and hub.waiting() == waiting
    (hub.runtime_dir / "tail").unlink()  # the power goes
    assert hub.audit()["balanced"] and hub.waiting() == waiting


def ip(hub, *words):
    return subprocess.run(["nsenter", "-t", str(hub.daemon.pid), "-U", "-n", "--preserve-credentials", "ip", *words],
                          capture_output=True, text=True, check=True)


@needs_namespaces
def test_the_network_comes_back(new_hub):
    """By the kernel's own messages: status knows, and a sink that would be probed in 15 min is tried at once."""
    hub = offline_hub(new_hub)
    hub.token_file.unlink()
    hub.configure({'sink "demo"': {"token_file": hub.token_file}})
    hub.start_straps("--straps", 1)
    vitald, hub.vitald = hub.vitald, hub.dir / "vitald-offline"
    hub.vitald.write_text(f'#!/bin/sh\nexec unshare -rn {vitald} "$@"\n')
    hub.vitald.chmod(0o700)
    hub.start_daemon()
    hub.vitald = vitald
    until(lambda: "this machine has no network" in problems(hub), 10, "it is offline")
    assert "token" in sink_state(hub, "held")["reason"]
    hub.token_file.write_text("there\n")
    try:
        ip(hub, "link", "add", "net0", "type", "veth", "peer", "name", "net1")
    except subprocess.CalledProcessError as why:
        pytest.skip(f"no link can be made here: {why.stderr}")
    ip(hub, "address", "add", "192.0.2.9/24", "dev", "net0")
    for end in ("net0", "net1"):
        ip(hub, "link", "set", end, "up")
    until(lambda: "There is a network again" in hub.said(), 10, "it was seen")
    assert "no network" not in problems(hub)
    until(lambda: "no answer" in sink(hub)["reason"], 10, "it tries at once")
    ip(hub, "link", "set", "net0", "down")
    until(lambda: "this machine has no network" in problems(hub), 15, "it is offline again")


# -- cleanup

def test_cleanup_of_a_store_without_a_daemon(new_hub):
    hub = new_hub()
    die_while_down(hub, 40)
    waiting = hub.waiting()
    for _ in range(2):
        status, said = run(hub, "cleanup")
        assert status == 0 and "Cleanup: " in said, said
        assert hub.audit()["balanced"] and hub.waiting() == waiting
    hub.receiver.up()
    assert hub.drain()[0] == 0
    assert run(hub, "cleanup")[0] == 0
    judge(hub)


def test_cleanup_does_nothing_beside_a_daemon_that_hangs(new_hub):
    hub = new_hub()
    fill_while_down(hub, 40)
    freeze(hub)
    age_heartbeat(hub, 60)
    before = files(hub)
    status, said = run(hub, "cleanup")
    assert status == 75 and "nothing is done beside it" in said, said
    assert files(hub) == before
    thaw(hub)
    hub.receiver.up()
    settle(hub)
    judge(hub)


@pytest.mark.parametrize("command", ["drain", "reconcile", "cleanup"])
def test_no_store(new_hub, command):
    hub = new_hub()
    hub.state_dir.rmdir()
    status, said = run(hub, command)
    assert status == 0 and "no store" in said
    assert not hub.state_dir.exists()


def test_commands_of_two_kinds(new_hub):
    """One owner at a time: the second says that it was not done."""
    hub = new_hub()
    die_while_down(hub, 40)
    hub.receiver.up()
    hub.receiver.misbehave("stall")
    drain = start_drain(hub)
    until(lambda: hub.receiver.counters.get("stall", 0), 10, "it waits for an answer")
    status, said = run(hub, "cleanup")
    assert status == 75 and f"A drain (pid {drain.pid}) is at work" in said, said
    drain.terminate()
    assert end_drain(hub, drain)[0] == 0
    hub.receiver.clear()
    assert hub.drain()[0] == 0
    judge(hub)


# -- reconcile

def test_reconcile_brings_back_what_a_server_lost(new_hub):
    """No daemon is there, the server was wiped: one command compares and sends all of it again. Twice is once."""
    hub = new_hub()
    hub.start_straps("--straps", 2, "--speed", 10)
    hub.start_daemon()
    accepted(hub, 60)
    settle(hub)
    held = hub.receiver.state()["totals"]["accepted"]
    hub.receiver.wipe()
    status, said = run(hub, "reconcile")
    assert status == 0 and "Reconcile: " in said, said
    judge(hub)
    assert hub.receiver.state()["totals"]["accepted"] - held >= 60
    sent = hub.receiver.state()["totals"]["accepted"]
    assert run(hub, "reconcile")[0] == 0
    assert hub.receiver.state()["totals"]["accepted"] == sent


def test_reconcile_that_cannot_get_through_says_so(new_hub):
    hub = new_hub()
    hub.start_straps("--straps", 1, "--speed", 10)
    hub.start_daemon()
    accepted(hub, 20)
    settle(hub)
    hub.receiver.down()
    status, said = run(hub, "reconcile")
    assert status == 75, said
    hub.receiver.up()
    assert run(hub, "reconcile")[0] == 0


def test_reconcile_can_be_switched_off_for_the_timer(new_hub):
    hub = new_hub({"features": {"reconcile": "no"}})
    status, said = run(hub, "reconcile", "--timer")
    assert status == 0 and "reconcile = no" in said, said


# -- on a terminal

def test_a_terminal_sees_how_far_it_is(new_hub):
    hub = new_hub()
    die_while_down(hub, 40)
    hub.receiver.up()
    hub.receiver.misbehave("slow", delay=0.3)
    ours, its = pty.openpty()
    drain = subprocess.Popen([hub.vitald, "drain", "--config", str(hub.config_file)], stdin=subprocess.DEVNULL,
                             stdout=its, stderr=its, env=hub.env)
    os.close(its)
    seen = b""
    try:
        while piece := os.read(ours, 4096):
            seen += piece
    except OSError:  # EIO: the other end was closed
        pass
    os.close(ours)
    assert drain.wait(10) == 0
    lines = re.findall(rb"\rdrain: (\d+) of (\d+) records\x1b\[K", seen)
    assert lines and int(lines[0][0]) < int(lines[0][1]), seen
    assert seen.index(b"records\x1b[K\r\x1b[K") < seen.index(b"Drain: "), seen  # wiped before the summary
    assert b"\x1b" not in run(hub, "drain")[1].encode()
    judge(hub)
