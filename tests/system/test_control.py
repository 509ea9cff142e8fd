"""vitalctl against a daemon that is well, in trouble, stopped, and dead: what it says, its exit code, its JSON, and
that it never waits for long."""

import fcntl
import json
import os
import pty
import re
import socket
import struct
import subprocess
import termios
import time

import pytest

from hub import until
from scenario import SINK, accepted, freeze, problems, settle, thaw

JSON = ("status", "devices", "queue", "anchors", "quarantine", "unreadable", "audit", "events")
PATIENT_S = 8  # vitalctl gives a mute daemon 5 s


def ask(hub, *words):
    """-> (exit code, parsed JSON); one JSON value, in bounded time."""
    began = time.monotonic()
    status, said, error = hub.ctl(*words, "--json", timeout=PATIENT_S + 10)
    assert time.monotonic() - began < PATIENT_S, words
    assert said.endswith("\n"), (words, error)
    return status, json.loads(said)


def flowing(hub):
    hub.start_straps("--straps", 3, "--ecg", 2, "--speed", 10)
    hub.start_daemon()
    accepted(hub, 10)


def introduced(hub):
    """Each strap has said its rate and its battery."""
    return all(d["bpm"] and d["battery_percent"] for d in hub.ctl_json("status")["devices"])


def test_healthy(new_hub):
    hub = new_hub()
    flowing(hub)
    until(lambda: hub.ctl("status")[0] == 0 and introduced(hub), 10, "healthy")
    status, report = ask(hub, "status")
    assert status == 0 and report["problems"] == []
    assert report["summary"]["state"] == "healthy" and report["summary"]["running"] is True
    assert report["summary"]["pid"] == hub.daemon.pid and report["summary"]["gateway"] == "gw-test"
    assert [s["state"] for s in report["sinks"]] == ["up"]
    assert {d["address"] for d in report["devices"]} == {f"c0:de:00:00:00:0{i}" for i in (1, 2, 3)}
    assert all(d["connected"] and d["bpm"] > 30 and d["battery_percent"] > 0 for d in report["devices"])
    page = hub.ctl("status")[1]
    assert "Simulated strap 1" in page and "demo" in page
    assert all(ord(c) >= 32 or c == "\n" for c in page)
    for command in JSON:
        status, answer = ask(hub, command)
        assert status == 0, command
        assert hub.ctl(command)[0] == 0, command
        assert isinstance(answer, (dict, list))
    assert {e["type"] for e in ask(hub, "events")[1]} == {"immediate_success"}
    assert ask(hub, "audit")[1]["balanced"] is True
    assert {(a["device"][-1], a["data_type"]) for a in ask(hub, "anchors")[1]} == {
        ("1", "ecg"), ("2", "ecg"), ("1", "heart_rate"), ("2", "heart_rate"), ("3", "heart_rate")}
    assert ask(hub, "sync")[0] == 0
    settle(hub)
    status, report = ask(hub, "status")
    assert status == 2 and report["summary"]["verdict"] .startswith("vitald is not running")
    assert report["summary"]["clean_stop"] is True and report["summary"]["waiting"] == 0


def test_token_missing(new_hub):
    hub = new_hub()
    hub.token_file.unlink()
    hub.start_straps("--straps", 1, "--ecg", 0, "--speed", 10)
    hub.start_daemon()
    until(lambda: (hub.waiting() or 0) > 0, 10, "something waits")
    status, report = ask(hub, "status")
    assert status == 1 and report["summary"]["state"] == "degraded"
    (problem,) = report["problems"]
    assert str(hub.token_file) in problem["what"] and "nothing is lost" in problem["consequence"]
    assert "vitalctl sync" in problem["remedy"]
    assert str(hub.token_file) in hub.ctl("status")[1]


def test_server_down(new_hub):
    hub = new_hub()
    flowing(hub)
    hub.receiver.down()
    until(lambda: "the server" in problems(hub), 10, "it is down")
    until(lambda: hub.waiting() > 20, 10, "something waits")
    status, report = ask(hub, "status")
    assert status == 1
    (problem,) = report["problems"]
    assert 'the server "demo"' in problem["what"] and "safe on this machine" in problem["consequence"]
    assert "its machine is on, the program on it is not" in problem["what"]
    headline, page = hub.ctl("status")[1].split("\n", 1)
    assert problem["detail"] and problem["detail"] not in headline, "a library's words stay out of the headline"
    assert "in detail: " + problem["detail"].split()[0] in page
    status, queue = ask(hub, "queue")
    assert status == 0 and queue, "the failed batches are in the queue"
    assert all(row["last_error"] and row["retries"] > 0 for row in queue[:1])
    assert ask(hub, "audit")[1]["balanced"] is True


def test_source_missing(new_hub):
    """No straps at all: not working, and it says what; they come, and it works."""
    hub = new_hub()
    hub.start_daemon()
    status, report = ask(hub, "status")
    assert status == 2 and "the wearables cannot be heard" in report["problems"][0]["what"]
    hub.start_straps("--straps", 1, "--ecg", 0, "--speed", 10)
    accepted(hub, 3)
    until(lambda: hub.ctl("status")[0] == 0, 10, "healthy")


def test_no_source_no_sink(new_hub):
    hub = new_hub({"source": {"type": "none", "socket": None}}, receiver=False)
    hub.start_daemon()
    status, report = ask(hub, "status")
    assert status == 2
    what = problems(hub)
    assert "no source of samples is configured" in what and "no server is configured" in what
    assert hub.stop() == 0


def test_config_missing(new_hub):
    """A config that was asked for and is not there is an error; nothing is guessed."""
    hub = new_hub()
    hub.config_file.unlink()
    status, said, error = hub.ctl("status")
    assert status == 64 and str(hub.config_file) in error and not said


def test_no_store_yet(new_hub):
    hub = new_hub()
    status, report = ask(hub, "status")
    assert status == 2 and report["summary"]["running"] is False
    assert "there is no store" in hub.ctl("audit")[2]
    assert hub.ctl("audit")[0] not in (0, 1)
    assert not os.listdir(hub.state_dir), "who only looks makes nothing"


def test_dead(new_hub):
    """What the store and the tail hold is shown instead; the queue, anchors and audit of it are right."""
    hub = new_hub()
    flowing(hub)
    hub.receiver.down()
    until(lambda: ask(hub, "queue")[1] and len(ask(hub, "anchors")[1]) == 5, 10, "a queue")
    waited = hub.waiting()
    hub.kill()
    hub.stop_straps()
    for command in JSON:
        status, answer = ask(hub, command)
        assert status == (2 if command == "status" else 0), command
        assert isinstance(answer, (dict, list)), command
    report = ask(hub, "status")[1]
    assert report["summary"]["running"] is False and report["summary"]["waiting"] >= waited
    assert ask(hub, "audit")[1]["balanced"] is True
    assert ask(hub, "queue")[1] and len(ask(hub, "anchors")[1]) == 5
    assert any(e["type"] == "queued" for e in ask(hub, "events")[1])
    status, _, error = hub.ctl("sync")
    assert status == 69 and "not running" in error


def test_ends_while_it_is_asked(new_hub):
    """In the middle of an introduction: that is no refusal."""
    hub = new_hub()
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(hub.runtime_dir / "control"))
        daemon.listen()
        asking = subprocess.Popen([hub.vitalctl, "--config", str(hub.config_file), "sync"], text=True, env=hub.env,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        peer, _ = daemon.accept()
        daemon.close()
        peer.close()
    error = asking.communicate(timeout=PATIENT_S)[1]
    assert asking.returncode == 69 and "not running" in error, error


def test_stopped(new_hub):
    """A daemon that does not answer: no command waits for it longer than a few seconds. All ask at once."""
    hub = new_hub()
    flowing(hub)
    freeze(hub)
    asking = {}
    try:
        began = time.monotonic()
        for command in (*JSON, "sync"):
            asking[command] = subprocess.Popen(
                [hub.vitalctl, "--config", str(hub.config_file), command, "--json"], text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=hub.env)
        told = {command: process.communicate(timeout=PATIENT_S + 10) for command, process in asking.items()}
        assert time.monotonic() - began < PATIENT_S
    finally:
        for process in asking.values():
            process.kill()
        thaw(hub)
    for command in JSON:
        answer = json.loads(told[command][0])
        assert asking[command].returncode == (2 if command == "status" else 0), command
        if command == "status":
            assert "does not answer" in answer["problems"][0]["what"]
    assert asking["sync"].returncode == 69 and "does not answer" in told["sync"][1]
    hub.heard("".join(error for _, error in told.values()))
    accepted(hub, 5)
    assert hub.stop() == 0


def test_damaged_events_and_tail(new_hub):
    """Files that somebody overwrote: an answer all the same, and no crash."""
    hub = new_hub()
    flowing(hub)
    hub.kill()
    hub.stop_straps()
    for name in ("events", "tail"):
        (hub.runtime_dir / name).write_bytes(os.urandom(70_000))
    for command in JSON:
        ask(hub, command)


DECODED = (
    (("2a37", "103c1104"), '{"bpm":60,"rr_1024":[1041],"contact":"unsupported"}'),
    (("2a37", "16", "3c", "11", "04"), '{"bpm":60,"rr_1024":[1041],"contact":"contact"}'),
    (("2a37", "143c1104"), '{"bpm":60,"rr_1024":[1041],"contact":"no contact"}'),
    (("2a37", "1e3c05001104"), '{"bpm":60,"rr_1024":[1041],"contact":"contact","energy_kj":5}'),
    (("00002a37-0000-1000-8000-00805f9b34fb", "103c1104"), '{"bpm":60,"rr_1024":[1041],"contact":"unsupported"}'),
)


@pytest.mark.parametrize("words, json_", DECODED, ids=lambda w: "")
def test_decode(new_hub, words, json_):
    assert new_hub(receiver=False).ctl("decode", *words)[:2] == (0, json_ + "\n")


def test_usage(new_hub):
    hub = new_hub(receiver=False)
    status, _, error = hub.ctl("statsu")
    assert status == 64 and "did you mean `vitalctl status`" in error
    assert hub.ctl("queue", "surplus")[0] == 64
    assert hub.ctl("events", "--since", "soon")[0] == 64
    status, said, _ = hub.ctl("--help")
    assert status == 0 and "vitalctl status" in said
    for command in (*JSON, "sync", "decode"):
        status, said, _ = hub.ctl(command, "--help") if command != "decode" else hub.ctl("--help")
        assert status == 0 and len(said) > 80, command


def on_terminal(hub, *words):
    """What `vitalctl WORDS` shows on a terminal of 80 columns."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    shown = b""
    with subprocess.Popen([hub.vitalctl, "--config", str(hub.config_file), *words], stdin=subprocess.DEVNULL,
                          stdout=its, stderr=subprocess.DEVNULL, env=hub.env | {"NO_COLOR": "1"}):
        os.close(its)
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            try:
                while piece := terminal.read(65536):
                    shown += piece
            except OSError:  # nobody is at its other end any more
                pass
    return shown.decode().splitlines()


def test_eighty_columns(new_hub):
    """Nothing is broken in the middle by a terminal as they are, beside a server that is down and a mute wearable."""
    hub = new_hub({'device "a0:b1:c2:d3:e4:f5"': {"name": "Polar H10 12345678"}})
    hub.start_straps("--straps", 3, "--ecg", 2, "--malformed", "0.2")
    hub.start_daemon()
    accepted(hub, 10)
    assert hub.ctl("reconcile")[0] == 0
    hub.receiver.down()
    until(lambda: ask(hub, "queue")[1] and ask(hub, "unreadable")[1], 20, "something waits, something is unreadable")
    screens = [(command,) for command in (*JSON, "sync")]
    screens += [("reconcile",), ("reconcile", "--show"), ("events", "--failed"), ("--help",)]
    screens += [("anchors", "rewind", "demo", "--all", "--to", to, "--dry-run") for to in ("0", "9.1")]
    screens += [("anchors", "rewind", "demo", "--all", "--to", "0"), ("check",)]
    helps = [line.split()[0] for line in hub.ctl("--help")[1].splitlines() if re.match("  [a-z]", line)]
    assert len(helps) > 15
    for words in screens + [(command, "--help") for command in helps if command != "vitalctl"]:
        lines = on_terminal(hub, *words)
        assert lines and not [line for line in lines if len(line) > 80], words


def test_two_sinks_one_config(new_hub):
    """Status names each sink by its name, not by its place."""
    hub = new_hub({'sink "second"': {"url": "http://127.0.0.1:9", "required": "no"}, SINK: {"required": "yes"}})
    flowing(hub)
    until(lambda: '"second"' in problems(hub), 10, "the second is down")
    assert '"demo"' not in problems(hub)
