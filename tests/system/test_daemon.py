"""The daemon from outside: its config, its start and stop, its store and card, its secrets."""

import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest

from hub import until
from scenario import (
    SINK, accepted, fill_while_down, gaps, happened, judge, problems, settle, sink_state,
)

STRAPS = ("--straps", 3, "--ecg", 2, "--speed", 10)


def start(hub):
    hub.start_straps(*STRAPS)
    hub.start_daemon()
    accepted(hub, 10)


def check_config(hub):
    done = subprocess.run([hub.vitald, "--config", str(hub.config_file), "--check-config"], text=True,
                          capture_output=True, timeout=20, env=hub.env)
    hub.heard(done.stderr)
    return done.returncode, done.stdout + done.stderr


def ended(hub, timeout=20):
    """The exit status of a daemon that was started with wait=False and does not come up."""
    status = hub.daemon.wait(timeout)
    hub.daemon = None
    return status


def linked(hub):
    """How often a daemon has connected to the straps."""
    return hub.truth.read_text().count('"event":"daemon_connected"')


# -- config

def test_a_command_line_that_makes_no_sense(new_hub):
    """Nothing of it is done: above all nobody drains who asked for a look at the config."""
    hub = new_hub(receiver=False)
    for words, said in ((("--check-config", "drain"), "goes with no command"), (("drain", "now"), "'now'"),
                        (("drian",), "unknown command 'drian'")):
        done = subprocess.run([hub.vitald, "--config", str(hub.config_file), *words], text=True, capture_output=True,
                              timeout=20, env=hub.env)
        assert done.returncode == 64 and said in done.stderr, done


MISTAKES = (
    ("[sync]\nlingre = 1s\n", 2, "did you mean linger"),
    ("[sync]\nlinger = soon\n", 2, "linger"),
    ("[sync]\nlinger = 1s\nlinger = 2s\n", 3, "linger"),
    ("[snyc]\n", 1, "no section [snyc]"),
    ("[daemon]\nwhat is this\n", 2, ""),
    ('[sink "demo"]\nurl = http://example.org\n', 2, "url"),
    ('[sink "demo"]\n', 1, "no url"),
    ("[sync]\nbackoff_min = 10s\nbackoff_max = 1s\n", 3, "backoff_max is shorter"),
    ('[device "nonsense"]\n', 1, "address"),
    ("[sync]\nretention = " + "9" * 5000 + "\n", 2, ""),
)


@pytest.mark.parametrize("text, line, words", MISTAKES, ids=lambda v: "")
def test_mistakes(new_hub, text, line, words):
    """78, with file and line, all at once; and nothing is touched."""
    hub = new_hub(receiver=False)
    hub.config_file.write_text(text)
    status, said = check_config(hub)
    assert status == 78 and f"{hub.config_file}:{line}:" in said and words in said, said
    hub.start_daemon(wait=False)
    assert ended(hub) == 78
    assert not os.listdir(hub.state_dir)


def test_good_config_and_drop_ins(new_hub):
    hub = new_hub()
    assert check_config(hub) == (0, f"{hub.config_file}: no mistakes\n")
    drop_ins = hub.dir / "vitald.conf.d"
    drop_ins.mkdir()
    (drop_ins / "10.conf").write_text("[sync]\nlinger = 20ms\n")
    assert check_config(hub)[0] == 0
    (drop_ins / "20.conf").write_text("[sync]\nlinger = x\n")
    status, said = check_config(hub)
    assert status == 78 and "20.conf:2:" in said


def test_shipped_config_has_no_mistakes(new_hub):
    hub = new_hub(receiver=False)
    shutil.copy(pathlib.Path(__file__).parents[2] / "config" / "vitald.conf", hub.config_file)
    assert check_config(hub)[0] == 0


def reload(hub, words):
    """SIGHUP, and it has said so once more."""
    before = hub.said().count(words)
    hub.drain_notify()  # nobody else reads it, and a daemon that tells of its reloads would wait for that
    hub.daemon.send_signal(signal.SIGHUP)
    until(lambda: hub.said().count(words) > before, 10, words)


def test_bad_reload_keeps_the_old(new_hub):
    hub = new_hub()
    start(hub)
    hub.config_file.write_text("[sync]\nlinger = soon\n")
    reload(hub, "The config was not changed")
    assert f"{hub.config_file}:2:" in hub.said()
    accepted(hub, 20)
    hub.configure({})
    settle(hub)
    judge(hub)


def test_reload_keeps_the_links(new_hub):
    """Another linger, another server: applied, and no strap has noticed."""
    hub = new_hub()
    start(hub)
    hub.configure({"sync": {"linger": "200ms"}, 'sink "second"': {"url": hub.receiver.url, "required": "no",
                                                                  "token_file": hub.token_file}})
    reload(hub, "The new config is in force")
    until(lambda: len(hub.status()["sinks"]) == 2, 10, "two sinks")
    accepted(hub, 20)
    hub.configure({'sink "second"': {"url": "http://127.0.0.1:9"}})
    reload(hub, "The new config is in force")
    accepted(hub, 20)
    del hub.settings['sink "second"']
    hub.configure({})
    reload(hub, "The new config is in force")
    accepted(hub, 20)
    assert linked(hub) == 1
    hub.stop_straps()
    states = lambda: {s["name"]: s for s in hub.status()["sinks"]}  # noqa: E731
    until(lambda: states()["demo"]["waiting"] == 0, 20, "demo has all")
    assert states()["second"]["state"] == "retired"
    assert hub.stop() == 0
    assert hub.audit()["balanced"]
    result = hub.balance()
    assert result["ok"] and not result["total"]["duplicated"] and not result["total"]["gaps"]


def test_reload_storm(new_hub):
    """Reloads under load, with the server flapping: nothing falls between two uploaders."""
    hub = new_hub()
    start(hub)
    for i in range(12):
        hub.configure({"sync": {"linger": f"{10 + i}ms"}})
        reload(hub, "The new config is in force")
        (hub.receiver.down if i % 3 == 0 else hub.receiver.up)()
    hub.receiver.up()
    accepted(hub, 20)
    settle(hub)
    judge(hub)


def test_another_subject_opens_new_streams(new_hub):
    hub = new_hub()
    start(hub)
    hub.configure({'device "c0:de:00:00:00:01"': {"subject": "u-2"}, "source": {"auto_enroll": "yes"}})
    reload(hub, "The new config is in force")
    subjects = "SELECT count(*) FROM records WHERE subject = 'u-2'"
    until(lambda: hub.receiver.query(subjects)[0][0] > 5, 10, "records of the new subject")
    settle(hub)
    judge(hub)


# -- start and stop

def test_starts_with_nothing(new_hub):
    """No token, no network, no source: it comes up, says what is missing, and stops cleanly."""
    hub = new_hub({SINK: {"url": "http://127.0.0.1:9"}})
    hub.token_file.unlink()
    hub.start_daemon()
    what = problems(hub)
    assert "the wearables cannot be heard" in what and "the token file" in what
    assert hub.ctl("status")[0] == 2
    assert hub.stop() == 0


def test_clean_stop(new_hub):
    """After SIGTERM nothing is left to recover, and what waited goes on waiting."""
    hub = new_hub()
    fill_while_down(hub, 40)
    assert hub.stop() == 0
    assert hub.status()["summary"]["clean_stop"] is True
    assert hub.audit()["balanced"]
    hub.receiver.up()
    hub.start_daemon()
    accepted(hub, 50)
    settle(hub)
    assert "were in the tail" not in hub.said()
    result = judge(hub)
    assert set(result["total"]["gaps"]) == {"daemon_down"}


def test_stops_in_the_middle_of_a_request(new_hub):
    hub = new_hub({"sync": {"immediate_timeout": "1min"}})
    start(hub)
    hub.receiver.misbehave("stall")
    happened(hub, "stall", 1)
    began = time.monotonic()
    assert hub.stop() == 0
    assert time.monotonic() - began < 5
    hub.receiver.clear()
    hub.start_daemon()
    accepted(hub, 10)
    settle(hub)
    judge(hub)


@pytest.mark.long
def test_two_daemons(new_hub):
    """The second one waits for a while, then says who owns the store, and ends with 75."""
    hub = new_hub()
    start(hub)
    second = subprocess.Popen([hub.vitald, "--config", str(hub.config_file)], text=True, env=hub.env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said = second.communicate(timeout=45)[0]
    finally:
        second.kill()
    assert second.returncode == 75, said
    assert str(hub.state_dir) in said and f"pid {hub.daemon.pid}" in said, said
    accepted(hub, 10)
    settle(hub)
    judge(hub)


# -- the store

def bytes_of(directory):
    """An empty WAL is as good as none: whoever looks at a store makes one."""
    found = {p.name: p.read_bytes() for p in directory.iterdir() if p.name not in ("owner", "store.db-shm")}
    return {name: text for name, text in found.items() if text}


def refused(hub, words):
    """65, in words, and the store is as it was."""
    before = bytes_of(hub.state_dir)
    hub.start_daemon(wait=False)
    assert ended(hub) == 65
    assert words in hub.said()
    assert bytes_of(hub.state_dir) == before
    status, said = hub.drain()
    assert status == 65 and words in said, said
    assert bytes_of(hub.state_dir) == before


def test_newer_store(new_hub):
    hub = new_hub()
    start(hub)
    assert hub.stop() == 0
    db = sqlite3.connect(hub.state_dir / "store.db")
    db.execute("PRAGMA user_version = 9999")
    db.close()
    refused(hub, "9999")
    assert "vitalctl store downgrade --to" in hub.said()


def test_foreign_tail(new_hub):
    """The tail of another store is set aside, told, and not replayed."""
    hub = new_hub()
    fill_while_down(hub, 40)
    hub.kill()
    other = new_hub()
    shutil.copy(hub.runtime_dir / "tail", other.runtime_dir / "tail")
    other.start_straps(*STRAPS)
    other.start_daemon()
    assert "set aside" in other.said()
    assert (other.runtime_dir / "tail.foreign").read_bytes() == (hub.runtime_dir / "tail").read_bytes()
    accepted(other, 10)
    settle(other)
    judge(other)
    hub.receiver.up()
    hub.start_daemon()
    accepted(hub, 40)
    settle(hub)
    judge(hub)


# -- the card

@pytest.fixture
def small_card(new_card):
    return new_card("3m")


def fill(path):
    """All that is free, the ballast too when it was given up."""
    with open(path, "ab", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass


def test_new_strap_on_a_full_card(new_hub, small_card):
    """A strap that was never seen cannot be begun with: said once, and what it sent meanwhile is a gap that counts it."""
    hub = new_hub({"daemon": {"state_dir": small_card}, "sync": {"durability_window": "200ms"}})
    hub.state_dir = small_card
    hub.start_straps("--straps", 1, "--ecg", 0, "--speed", 10)
    hub.start_daemon()
    accepted(hub, 5)
    hub.receiver.down()
    until(lambda: fill(small_card / "filler") or "Cannot commit" in hub.said(), 20, "it says that it cannot commit")
    hub.stop_straps()
    # A few still fit into what the log had already; then there is not room for one more row.
    hub.start_straps("--straps", 12, "--ecg", 0, "--speed", 10)
    refused = until(lambda: re.search(r"no room to begin with (\S+):", hub.said()), 20, "it says so").group(1)

    def frames():
        return next(d["frames"] for d in hub.status()["devices"] if d["address"] == refused)

    seen = frames()
    until(lambda: frames() > seen + 10, 20, "more came")
    assert hub.alive
    assert hub.said().count(f"no room to begin with {refused}") == 1
    (small_card / "filler").unlink()
    until(lambda: "work again" in hub.said(), 20, "it commits again")
    hub.receiver.up()
    key = refused, "heart_rate"
    told = until(lambda: [g for g in gaps(hub).get(key, []) if g[0] == "store_full"], 20, "a gap record")
    assert len(told) == 1 and told[0][3] > 10
    settle(hub)
    assert hub.audit()["balanced"]


def test_full_card(new_hub, small_card):
    """It lives, says so, keeps in the tail what it can, sheds the rest with a gap record that counts it, and goes on
    when there is room."""
    hub = new_hub({"daemon": {"state_dir": small_card}, "sync": {"tail_size": "64K", "durability_window": "200ms"}})
    hub.state_dir = small_card
    start(hub)
    hub.receiver.down()
    filler = small_card / "filler"
    until(lambda: fill(filler) or "Cannot commit" in hub.said(), 20, "it says that it cannot commit")
    until(lambda: sum(s["shed"] for s in hub.status()["streams"]) > 20, 30, "something was shed")
    assert hub.alive
    assert "The store is full" in hub.said()
    filler.unlink()
    until(lambda: "work again" in hub.said(), 20, "it commits again")
    hub.receiver.up()
    accepted(hub, 20)
    until(lambda: {k for k, told in gaps(hub).items() if any(g[0] == "store_full" for g in told)}, 20, "a gap record")
    settle(hub)
    shed = {(s["device"], s["data_type"]): s["shed"] for s in hub.status()["streams"]}
    audit = hub.audit()
    assert audit["balanced"], audit
    told = {key: sum(n for reason, *_, n in rows if reason == "store_full") for key, rows in gaps(hub).items()}
    assert {k: n for k, n in shed.items() if n} == {k: n for k, n in told.items() if n}
    result = hub.balance(waiting=audit)
    total = result["total"]
    assert total["lost"] == sum(shed.values()), total
    assert not total["altered"] and not total["two_contents"] and not total["holes"] and not total["invented"]


# -- secrets

def test_secrets(new_hub):
    """The token is nowhere: not in what it says, not in argv or the environment, not in status, events or queue, not
    in the store; also when the server refuses it, when it stands in the wrong line, and at debug."""
    token = "s3cr3t-7f9c1e"
    hub = new_hub({"log": {"level": "debug", "sync_events": "yes"}}, token=token)
    start(hub)
    hub.receiver.set_token("another")
    sink_state(hub, "held")
    proc = pathlib.Path("/proc", str(hub.daemon.pid))
    told = [(proc / "cmdline").read_bytes(), (proc / "environ").read_bytes()]
    for command in ("status", "queue", "events", "anchors", "quarantine", "audit"):
        told += [part.encode() for part in hub.ctl(command)[1:] + hub.ctl(command, "--json")[1:]]
    hub.receiver.down()
    hub.ctl("sync")
    hub.configure({SINK: {"url": f"https://user:{token}@example.org", "token": token}})
    reload(hub, "The config was not changed")
    status, said = check_config(hub)
    assert status == 78
    told.append(said.encode())
    assert hub.stop() == 0
    told += [path.read_bytes() for path in (*hub.state_dir.iterdir(), *hub.runtime_dir.iterdir()) if path.is_file()]
    told.append(hub.said().encode())
    assert not any(token.encode() in text for text in told)
    assert re.search(r"debug: sink demo", hub.said()), "it did not speak at debug: this shows less"
