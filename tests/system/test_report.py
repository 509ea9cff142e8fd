"""`vitalctl report`: everything that tells what is the matter, and nothing that tells of whom, whatever state the
daemon and its store are in. A journal of its own (a program in PATH) says all that must not come out again."""

import io
import json
import os
import re
import signal
import subprocess
import tarfile

import pytest

from hub import until
from scenario import accepted, freeze

TOKEN = "tok-5b1f4c0a77"
GATEWAY = "gw-of-the-smiths"
NAME, SUBJECT = "Berta's \\strap\\ ü", "patient-4711"
FRAME = "1f5eadbe"  # of a heart rate whose end is missing
GONE = "C0:9E:13:02:FF:0A"  # only the journal remembers it
FILES = {"readme.txt", "version.txt", "machine.txt", "units.txt", "journal.txt", "config.json", "status.json",
         "devices.json", "queue.json", "anchors.json", "reconcile.json", "events.json", "quarantine.json",
         "unreadable.json", "audit.json"}
READINGS = {"bpm", "readings", "hex", "detail"}


@pytest.fixture
def told(tmp_path):
    """PATH with a journalctl and a systemctl that say what they should not."""
    path = tmp_path / "bin"
    path.mkdir()
    for name, text in {
        "journalctl": f"""#!/bin/sh
[ -z "$SLOW" ] || exec sleep 600
cat <<'END'
2026-03-01T12:30:00+0000 vitald[7]: {GONE} (Carl's old one) is connected
2026-03-01T12:30:01+0000 vitald[7]: Carl's old one at /org/bluez/hci0/dev_{GONE.replace(":", "_")}: gone
2026-03-01T12:30:02+0000 vitald[7]: {NAME} of {SUBJECT} on {GATEWAY}: https://me:pw-99@host.example/in?key=k-88
2026-03-01T12:30:03+0000 vitald[7]: sink demo refused 1 records for good, the last because: low beat 47; they are kept in quarantine
2026-03-01T12:30:04+0000 vitald[7]: Authorization: Bearer {TOKEN}
END
""",
        "systemctl": "#!/bin/sh\necho \"systemctl $2 $3\"\nexit 3\n",
    }.items():
        (path / name).write_text(text)
        (path / name).chmod(0o755)
    return {"PATH": f"{path}:{os.environ['PATH']}"}


@pytest.fixture
def hub(new_hub, told):
    """With a wearable that has a name and a person, another that has none, one refused record, some that wait, and
    one frame that cannot be read."""
    hub = new_hub(token=TOKEN, gateway=GATEWAY, env=told)
    hub.start_straps("--straps", 2, "--ecg", 1, "--speed", 10)
    with open(hub.truth, encoding="utf-8") as file:
        hub.address = until(lambda: address_in(file.readline()), 10, "an address")
    hub.configure({f'device "{hub.address}"': {"name": NAME, "subject": SUBJECT}})
    hub.receiver.misbehave("reject", kind="heart_rate", n=1, code_name="odd", detail="low beat 47")
    hub.start_daemon()
    accepted(hub, 50)
    until(lambda: hub.ctl_json("quarantine"), 20, "something was refused")
    hub.tell("malformed", 0, "2a37", FRAME)
    until(lambda: hub.ctl_json("unreadable"), 20, "something was not read")
    hub.receiver.misbehave("status", code=503)
    until(lambda: hub.ctl_json("queue"), 20, "something waits")
    return hub


def address_in(line):
    found = re.search(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", line)
    return found and found[0]


def report(hub, *words, status=0, env=None, timeout=60):
    """-> (bytes of the archive, {name: content}, summary)"""
    path = hub.dir / f"report{len(list(hub.dir.glob('report*')))}.tar"
    done = subprocess.run([hub.vitalctl, "--config", str(hub.config_file), "--json", "report", str(path), *words],
                          capture_output=True, timeout=timeout, env=hub.env | (env or {}))
    hub.heard(done.stderr.decode())
    assert done.returncode == status, done.stderr
    assert path.stat().st_mode & 0o7777 == 0o600
    raw = path.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        found = {member.name.removeprefix("vitald-report/"): tar.extractfile(member).read().decode()
                 for member in tar.getmembers()}
    listed = subprocess.run(["tar", "-tf", str(path)], capture_output=True, text=True, check=True).stdout
    assert listed.split() == [f"vitald-report/{name}" for name in found]
    for name, content in found.items():
        if name.endswith(".json"):
            found[name] = json.loads(content)
    summary = json.loads(done.stdout)
    assert summary["bytes"] == len(raw) and set(summary["contents"]) == set(found) == FILES
    return raw, found, summary


def keys_of(value):
    if isinstance(value, dict):
        return set(value) | set().union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


def assert_safe(hub, raw, found):
    """No secret and no reading, whoever asked."""
    for secret in (TOKEN, "pw-99", "k-88", "low beat", FRAME):
        assert secret.encode() not in raw, secret
    for name, content in found.items():
        if name.endswith(".json"):
            kept = keys_of(content) & READINGS
            assert kept <= ({"detail"} if name == "status.json" else set()), (name, kept)  # of incarnations
    assert not re.search(rb"\d ?bpm|bpm\W{1,4}\d", raw)


def assert_nameless(hub, raw):
    spelled = raw.lower()
    addresses = {hub.address, GONE.lower()} | {d["address"] for d in hub.devices}
    assert len(addresses) == 3
    for address in addresses:
        for separator in (":", "_", "-", ""):
            assert address.replace(":", separator).encode() not in spelled, address
    # A short one as a word only, as the report does: the random part of a path can have a "vm" in it.
    host = os.uname().nodename.lower().encode()
    assert not re.search((rb"(?<![a-z0-9])%s(?![a-z0-9])" if len(host) < 4 else rb"%s") % re.escape(host), spelled)
    names = {NAME, SUBJECT, GATEWAY, "Berta", "Carl"} | {d["name"] for d in hub.devices}
    for name in names - {""}:
        for form in (name, json.dumps(name)[1:-1], json.dumps(name, ensure_ascii=False)[1:-1]):
            assert form.lower().encode() not in spelled, name
    for stream in hub.streams:  # a hash of address and subject that anybody could make
        assert stream["id"][:23].encode() not in spelled


def remember(hub):
    """What must not be in it, as the daemon itself says it."""
    status = hub.status()
    hub.devices, hub.streams = status["devices"], status["streams"]
    assert {d["name"] for d in hub.devices} >= {NAME} and len(hub.streams) >= 3


def test_all_of_it_and_nobody_in_it(hub):
    remember(hub)
    raw, found, summary = report(hub)
    assert_safe(hub, raw, found)
    assert_nameless(hub, raw)
    assert summary["missing"] == []
    for name in FILES:
        if name.endswith(".json"):
            assert found[name]["problem"] is None, name
    devices = {d["address"]: d for d in found["devices.json"]["devices"]}
    mine = next(d for d in devices.values() if d["name"].startswith("name-") and d["connected"])
    assert all(re.fullmatch(r"device-[0-9a-f]{6}", address) for address in devices) and len(devices) == 2
    assert {d["address"] for d in found["status.json"]["devices"]} == set(devices)
    assert mine["address"] in {a["device"] for a in found["anchors.json"]["anchors"]}
    assert {q["device"] for q in found["queue.json"]["queue"]} <= set(devices) and found["queue.json"]["queue"]
    subjects = {a["subject"] for a in found["anchors.json"]["anchors"]} - {""}
    assert len(subjects) == 1 and re.fullmatch(r"subject-[0-9a-f]{6}", *subjects)
    assert {q["code"] for q in found["quarantine.json"]["quarantine"]} == {"odd"}
    assert [u["device"] in devices and u["characteristic"] for u in found["unreadable.json"]["unreadable"]] == ["2a37"]
    assert found["audit.json"]["audit"][0]["balanced"] is True and found["events.json"]["events"]
    config = {(k["section"], k["name"], k["key"]): k for k in found["config.json"]["config"]}
    assert config["sink", "demo", "token_file"]["value"] == str(hub.token_file)
    assert config["sync", "", "linger"]["file"] == str(hub.config_file) and config["sync", "", "linger"]["line"]
    assert config["daemon", "", "gateway"]["value"] == found["anchors.json"]["anchors_summary"][0]["gateway"]
    journal = found["journal.txt"].splitlines()
    gone = re.search(r"(device-\w{6}) \((name-\w{6})\) is connected", journal[0])
    assert journal[1].endswith(f"{gone[2]} at /org/bluez/hci0/dev_{gone[1]}: gone")
    assert journal[2].endswith(f"{config['device', next(k[1] for k in config if k[0] == 'device'), 'name']['value']} of "
                               f"{subjects.pop()} on {config['daemon', '', 'gateway']['value']}: https://host.example/in")
    assert "because: (left out); they are kept" in journal[3]
    assert "systemctl --full --lines=0\n[systemctl returned 3]" in found["units.txt"]
    assert "kernel: Linux" in found["machine.txt"] and " free" in found["machine.txt"]
    assert "state directory is on: " in found["machine.txt"] and "PRETTY_NAME" in found["machine.txt"]
    other, again, _ = report(hub)  # nothing of the one is in the other
    assert not set(devices) & {d["address"] for d in again["devices.json"]["devices"]}


def test_full_keeps_who_and_no_secret(hub):
    remember(hub)
    raw, found, summary = report(hub, "--full")
    assert summary["full"]
    assert_safe(hub, raw, found)
    assert {d["address"] for d in found["devices.json"]["devices"]} == {d["address"] for d in hub.devices}
    assert GONE in found["journal.txt"] and SUBJECT in found["journal.txt"] and NAME in found["journal.txt"]
    assert {s["id"] for s in found["status.json"]["streams"]} == {s["id"] for s in hub.streams}


def test_without_a_daemon(hub):
    remember(hub)
    hub.kill()
    hub.configure({f'device "{hub.address}"': {"subject": "somebody-else"}})  # the store remembers whose it was
    raw, found, summary = report(hub)
    assert_safe(hub, raw, found)
    assert_nameless(hub, raw)
    assert b"somebody-else" not in raw
    assert summary["missing"] == []
    assert "is not running" in found["status.json"]["problem"]
    assert len(found["anchors.json"]["anchors"]) == len(hub.streams)
    assert found["audit.json"]["lines"] and found["config.json"]["config"]


def test_beside_one_that_hangs(hub):
    """It is waited for once, not for each question; and a journal that hangs is ended."""
    remember(hub)
    freeze(hub)
    raw, found, _ = report(hub, env={"SLOW": "yes"}, timeout=60)
    hub.daemon.send_signal(signal.SIGCONT)
    assert_safe(hub, raw, found)
    assert_nameless(hub, raw)
    assert "does not answer" in found["queue.json"]["problem"] and found["queue.json"]["queue"]
    assert "[journalctl: it took too long, and was ended]" in found["journal.txt"]


@pytest.mark.parametrize("garbage", [True, False], ids=["damaged", "gone"])
def test_with_a_store_that_cannot_be_read(hub, garbage):
    remember(hub)
    hub.kill()
    store = hub.state_dir / "store.db"
    if garbage:
        store.write_bytes(b"\xa5" * store.stat().st_size)
    else:
        store.unlink()
    store.with_name("store.db-wal").unlink()
    raw, found, summary = report(hub)
    assert_safe(hub, raw, found)
    assert_nameless(hub, raw)
    word = "is damaged" if garbage else "there is no store"
    for name in ("queue", "anchors", "events", "quarantine", "audit"):
        assert word in found[f"{name}.json"]["problem"], name
        assert any(line.startswith(f"{name}: ") and word in line for line in summary["missing"])
    assert found["status.json"]["problems"] and found["config.json"]["config"]
    assert found["journal.txt"].count("\n") == 5


def test_what_is_there_is_not_overwritten(new_hub, told, tmp_path):
    hub = new_hub(env=told)
    path = tmp_path / "mine"
    path.write_text("mine")
    status, _, said = hub.ctl("report", str(path))
    assert status == 64 and "cannot make" in said and path.read_text() == "mine"
    assert hub.ctl("report", str(path), "more")[0] == 64
    assert hub.ctl("report", str(tmp_path / "no" / "folder"))[0] == 69


def test_half_a_report_is_none(new_hub, told, tmp_path):
    """Ended while it gathers, it leaves nothing behind, and nobody."""
    hub = new_hub(env=told | {"SLOW": "yes"})
    path = tmp_path / "half"
    process = subprocess.Popen([hub.vitalctl, "--config", str(hub.config_file), "report", str(path)], env=hub.env,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(path.exists, 10, "it began")
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode == 69 and not path.exists()


def test_whoever_calls_ignores_its_children(new_hub, told, tmp_path):
    """That is inherited, and nobody would be told that what gathers has ended."""
    hub = new_hub(env=told)
    path = tmp_path / "report.tar"
    subprocess.run([hub.vitalctl, "--config", str(hub.config_file), "report", str(path)], env=hub.env, timeout=60,
                   check=True, capture_output=True, preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert tarfile.is_tarfile(path)


def test_a_full_disk_is_said(new_hub, told, tmp_path):
    """No room for it: an exit code, a reason and no file."""
    hub = new_hub(env=told)
    path = tmp_path / "report.tar"
    done = subprocess.run(["bash", "-c", f"ulimit -f 8; trap '' XFSZ; exec {hub.vitalctl} --config {hub.config_file} "
                           f"report {path}"], capture_output=True, text=True, env=hub.env, timeout=60)
    assert done.returncode == 69 and "cannot write" in done.stderr and not path.exists()


def test_it_says_what_is_in_it(new_hub, told, tmp_path):
    hub = new_hub(env=told)
    subprocess.run([hub.vitalctl, "--config", str(hub.config_file), "report"], cwd=tmp_path, env=hub.env, timeout=60,
                   check=True, stdout=open(tmp_path / "said", "w", encoding="utf-8"))
    said = (tmp_path / "said").read_text()
    name = re.match(r"(vitald-report-\d{8}-\d{6}\.tar|vitald-report-[\d-]+\.tar): ", said)[1]
    assert (tmp_path / name).exists()
    for word in ("In it:", "Not in it:", "are replaced", "Could not be had", "Look at it before you give it away"):
        assert word in said, said
