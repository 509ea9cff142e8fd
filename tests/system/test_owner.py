"""What the owner sees and says: rates and events of a scripted outage, against what the receiver saw; the config
in force; anchors exported, imported, rewound; and a daemon that is dead, hung, or starting."""

import calendar
import json
import re
import subprocess
import time

from hub import until
from scenario import accepted, age_heartbeat, freeze, judge, settle, sink, sink_state, thaw

COUNTED = ("immediate_success", "immediate_failed", "queued", "background_success")


def rates(hub):
    """{hours: row} of the one sink there is."""
    return {row["window_us"] // 3_600_000_000: row for row in hub.status()["rates"]}


def receipts(hub):
    """Batches that the receiver answered with one."""
    return hub.receiver.query("SELECT count(*) FROM request WHERE path = '/v1/batches' AND status = 200")[0][0]


def test_rates_of_an_outage(new_hub):
    """Every batch and record is in the rates once: what the receiver took at once and later, and what failed."""
    hub = new_hub()
    hub.start_straps("--straps", 3, "--ecg", 2, "--speed", 10)
    hub.start_daemon()
    accepted(hub, 100)
    hub.receiver.down()
    until(lambda: hub.waiting() > 60, 20, "something waits")
    hub.receiver.up()
    sink_state(hub, "up")
    hub.stop_straps()
    assert hub.wait_empty(20)
    by_queue = sink(hub)["background_success"]
    assert hub.stop() == 0
    taken = hub.receiver.state()["totals"]
    (row,) = [r for r in hub.ctl_json("status")["rates"] if r["window_us"] == 3_600_000_000]
    events = hub.ctl_json("events")
    assert len(events) < 1000 and [e["number"] for e in events] == list(range(1, len(events) + 1))
    records = {t: sum(e["count"] for e in events if e["type"] == t) for t in COUNTED}
    assert records["immediate_success"] + records["background_success"] == taken["accepted"]
    assert records["background_success"] == row["recovered"] == row["queued"] > 60
    assert row["recovered_percent"] == 100 and row["overdue"] == row["late"] == 0
    assert row["confirmed"] == receipts(hub) - by_queue > 0
    assert row["batches"] - row["confirmed"] == 1, "an outage is one batch that failed"
    assert 10_000 <= row["latency_us"] < 5_000_000 and row["latency_max_us"] >= row["latency_us"]
    page = hub.ctl("status")[1]
    assert "RECOVERED" in page and "100.0 %" in page
    said = hub.said()
    assert said.count("records confirmed; at once") == 2, "a line for each kind at the end"
    assert f"demo, heart_rate: {sum(e['count'] for e in events if e['data_type'] == 'heart_rate' and e['success'])} " \
        "records confirmed" in said
    judge(hub)


def test_rates_outlive_the_daemon(new_hub):
    hub = new_hub()
    hub.start_straps("--straps", 1, "--ecg", 0, "--speed", 10)
    hub.start_daemon()
    assert hub.status()["rates"] == [] or hub.status()["rates"][0]["batches"] >= 0
    accepted(hub, 20)
    assert hub.stop() == 0
    before = rates(hub)[168]
    assert before["batches"] == before["confirmed"] > 0
    hub.start_daemon()
    accepted(hub, 5)
    assert rates(hub)[168]["batches"] > before["batches"]
    settle(hub)


def test_events_are_found(new_hub):
    hub = new_hub()
    hub.start_straps("--straps", 2, "--ecg", 1, "--speed", 10)
    hub.start_daemon()
    accepted(hub, 20)
    hub.receiver.down()
    until(lambda: hub.waiting() > 20, 20, "something waits")
    hub.receiver.up()
    sink_state(hub, "up")
    settle(hub)
    every = hub.ctl_json("events")
    kinds = {e["data_type"] for e in every}
    assert kinds == {"heart_rate", "ecg"}
    for kind in kinds:
        assert hub.ctl_json("events", "--kind", kind) == [e for e in every if e["data_type"] == kind]
    assert hub.ctl_json("events", "--kind=queued") == [e for e in every if e["type"] == "queued"] != []
    failed = hub.ctl_json("events", "--failed")
    assert failed and {e["type"] for e in failed} <= {"immediate_failed", "background_failed"}
    assert hub.ctl_json("events", "--sink", "demo") == every
    assert hub.ctl_json("events", "--sink", "nobody") == []
    middle = every[len(every) // 2]["time_wall_us"] // 1_000_000
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(middle))
    assert calendar.timegm(time.strptime(moment, "%Y-%m-%d %H:%M:%S")) == middle
    for text in (moment, moment.replace(" ", "T")):
        assert hub.ctl_json("events", "--since", text) == [e for e in every if e["time_wall_us"] >= middle * 1_000_000]
    assert hub.ctl_json("events", "--since", "10min") == every
    for bad in (("--since", "25:00"), ("--since", "2026-13-01"), ("--kind", "pulse"), ("--sink",)):
        assert hub.ctl("events", *bad)[0] == 64, bad
    assert "heart_rate" in hub.ctl("events", "--kind", "pulse")[2]
    latencies = [e["latency_us"] for e in every if e["type"] == "immediate_success"]
    assert latencies and all(0 < latency < 60_000_000 for latency in latencies)


def follow(hub, *words):
    return subprocess.Popen([hub.vitalctl, "--config", str(hub.config_file), "events", "--follow", *words], text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=hub.env)


def test_events_are_followed(new_hub):
    """From the beginning and without a hole: what was there and what comes are one list of numbers."""
    hub = new_hub()
    hub.start_straps("--straps", 1, "--ecg", 1, "--speed", 10)
    hub.start_daemon()
    accepted(hub, 20)
    with follow(hub, "--since", "1h", "--json") as all_of_it, follow(hub, "--kind", "ecg") as ecg:
        try:
            numbers = [json.loads(all_of_it.stdout.readline())["number"] for _ in range(20)]
            assert numbers == list(range(1, 21))
            lines = [ecg.stdout.readline() for _ in range(5)]
            assert all("immediate_success" in line and " ecg " in line and line.rstrip().endswith("demo")
                       for line in lines), lines
            hub.stop_straps()
            assert hub.stop() == 0
            rest = [json.loads(line)["number"] for line in all_of_it.stdout]
            assert numbers + rest == list(range(1, len(numbers + rest) + 1))
            assert all_of_it.wait(10) == 69 and "vitald has ended" in all_of_it.stderr.read()
            assert ecg.wait(10) == 69
        finally:
            all_of_it.kill()
            ecg.kill()
    status, _, error = hub.ctl("events", "--follow")
    assert status == 69 and "not running" in error


def key(report, section, name):
    (found,) = [row for row in report["config"] if (row["section"], row["key"]) == (section, name)]
    return found


def test_config_in_force(new_hub):
    hub = new_hub()
    drop_ins = hub.config_file.with_name(hub.config_file.name + ".d")
    drop_ins.mkdir()
    mine = drop_ins / "50-mine.conf"
    mine.write_text("# mine\n[sync]\nretention = 3d\n")
    hub.start_daemon()
    report = hub.ctl_json("config")
    assert report["running"] is True and report["differs"] == []
    assert report["config"][0]["section"] == "features"
    assert key(report, "sync", "retention") == {
        "section": "sync", "name": "", "key": "retention", "value": "3d", "file": str(mine), "line": 3}
    linger = key(report, "sync", "linger")
    assert linger["value"] == "30ms" and linger["file"] == str(hub.config_file)
    assert hub.config_file.read_text().splitlines()[linger["line"] - 1] == "linger = 30ms"
    assert key(report, "features", "immediate")["file"] is None
    token = key(report, "sink", "token_file")
    assert token["name"] == "demo" and token["value"] == str(hub.token_file)
    status, page, error = hub.ctl("config")
    assert status == 0 and f"{mine}:3" in page
    assert "demo-token" not in page + error, "a secret"
    mine.write_text("[sync]\nretention = 4d\n[device \"00:11:22:33:44:55\"]\nname = Ben\n")
    report = hub.ctl_json("config")
    assert key(report, "sync", "retention")["value"] == "3d", "in force is what was read"
    differs = {(row["section"], row["name"], row["key"]): (row["in_force"], row["on_disk"]) for row in report["differs"]}
    assert differs["sync", "", "retention"] == ("3d", "4d")
    assert differs["device", "00:11:22:33:44:55", "name"] == (None, "Ben")
    page = hub.ctl("config")[1]
    assert "[sync] retention: 3d is in force, 4d is in the files" in page and "reload" in page
    mine.write_text("[sync]\nretention = soon\n")
    status, page, error = hub.ctl("config")
    assert status == 64 and "50-mine.conf:2" in error
    mine.unlink()
    assert hub.stop() == 0
    report = hub.ctl_json("config")
    assert report["running"] is False and report["differs"] is None
    assert key(report, "sync", "retention") == {
        "section": "sync", "name": "", "key": "retention", "value": "7d", "file": None, "line": None}


def held_by_server(hub):
    return hub.receiver.state()["totals"]["accepted"], hub.receiver.state()["totals"]["duplicate"]


def anchors(hub):
    return {(a["device"], a["data_type"]): a for a in hub.ctl_json("anchors")}


def recorded(new_hub, *options, **more):
    """A hub with 5 streams, everything confirmed, the straps gone, the daemon up."""
    hub = new_hub(**more)
    hub.start_straps("--straps", 3, "--ecg", 2, "--speed", 10, *options)
    hub.start_daemon()
    accepted(hub, 150)
    hub.stop_straps()
    assert hub.wait_empty(20)
    return hub


def test_rewind(new_hub):
    """What is rewound arrives again, all of it and nothing else, as duplicates; the cursor stays, the books balance."""
    hub = recorded(new_hub)
    before, total, duplicates = anchors(hub), *held_by_server(hub)
    device = "c0:de:00:00:00:01"
    stream = before[device, "heart_rate"]
    after = stream["anchor_seq"] - 10
    words = ("anchors", "rewind", "demo", f"{device}/heart_rate", "--to", str(after))
    dry = hub.ctl_json(*words, "--dry-run")
    assert dry["dry_run"] is True
    (row,) = dry["rewound"]
    assert (row["stream"], row["records"], row["after_seq"]) == (stream["stream"], 10, after)
    assert 500 < row["size_bytes"] < 5000
    status, page, _ = hub.ctl(*words, "--dry-run")
    assert status == 0 and "10 records" in page and "would be sent again; nothing was changed" in page
    assert anchors(hub) == before, "a dry run changed something"
    done = hub.ctl_json(*words)
    assert done == {"dry_run": False, "rewound": dry["rewound"]}
    assert hub.receiver.wait(20, duplicate=duplicates + 10), hub.receiver.state()
    assert hub.wait_empty(20)
    assert anchors(hub) == before, "a cursor moved"
    short = f"{after >> 28}.{after & (1 << 28) - 1}"
    everything = hub.ctl_json("anchors", "rewind", "demo", "--all", "--to", "0")
    assert {(r["device"], r["data_type"]): r["records"] for r in everything["rewound"]} == {
        key: a["confirmed"] for key, a in before.items()}
    assert hub.receiver.wait(20, duplicate=duplicates + 10 + total), hub.receiver.state()
    assert hub.wait_empty(20)
    assert hub.ctl_json("anchors", "rewind", "demo", stream["stream"][:8], "--to", short, "--dry-run") == dry
    assert held_by_server(hub) == (total, duplicates + 10 + total)
    assert "The owner has 10 heart_rate records of c0:de:00:00:00:01 sent again" in hub.said()
    assert hub.stop() == 0
    judge(hub)


def test_rewind_since_a_time(new_hub):
    hub = recorded(new_hub)
    _, duplicates = held_by_server(hub)
    times = sorted(t for (t,) in hub.receiver.query("SELECT t_us FROM records WHERE type != 'gap'"))
    middle = times[len(times) // 2] // 1_000_000 * 1_000_000
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(middle // 1_000_000))
    done = hub.ctl_json("anchors", "rewind", "demo", "--all", "--since", moment)
    n = sum(r["records"] for r in done["rewound"])
    younger = sum(t >= middle for t in times)
    assert younger <= n <= len(times), (younger, n, len(times))
    assert hub.receiver.wait(20, duplicate=duplicates + n) and hub.wait_empty(20)
    assert hub.receiver.state()["totals"]["duplicate"] == duplicates + n
    assert hub.ctl_json("anchors", "rewind", "demo", "--all", "--since", "2100-01-01")["rewound"] == []
    assert hub.stop() == 0
    judge(hub)


def test_rewind_while_the_server_is_down(new_hub):
    """What is rewound then waits like all else, survives SIGKILL, and goes once the server is back."""
    hub = recorded(new_hub)
    total, duplicates = held_by_server(hub)
    hub.receiver.down()
    done = hub.ctl_json("anchors", "rewind", "demo", "--all", "--to", "0")
    assert sum(r["records"] for r in done["rewound"]) == total
    hub.kill()
    hub.start_daemon()
    assert hub.waiting() >= total
    again = hub.ctl_json("anchors", "rewind", "demo", "--all", "--to", "0")
    assert again["rewound"] == [], "what waits already waits once"
    hub.receiver.up()
    assert hub.receiver.wait(20, duplicate=duplicates + total)
    assert hub.wait_empty(20) and hub.stop() == 0
    judge(hub)


def test_anchors_go_out_and_in(new_hub):
    """An export, more records, the import: the difference goes again, not a record more; and a second time too."""
    hub = recorded(new_hub)
    file = hub.dir / "anchors.json"
    before = hub.receiver.state()["totals"]["accepted"]
    assert hub.ctl("anchors", "export", str(file))[:2] == (0, "")
    assert file.stat().st_mode & 0o777 == 0o600
    assert hub.ctl("anchors", "export", str(file))[0] == 69, "never written over"
    exported = json.loads(file.read_text())
    assert exported["format"] == "vitald-anchors" and exported["version"] == 1
    summary = hub.status()["summary"]
    assert exported["incarnation"] == summary["incarnation"] and exported["gateway"] == "gw-test"
    assert {(a["device"], a["data_type"]): (a["anchor"], a["cursor"], a["rows"]) for a in exported["anchors"]} == {
        key: (a["anchor_seq"], a["cursor_seq"], []) for key, a in anchors(hub).items()}
    hub.start_straps("--straps", 3, "--ecg", 2, "--speed", 10)
    accepted(hub, 60)
    hub.stop_straps()
    assert hub.wait_empty(20)
    after, duplicates = held_by_server(hub)
    dry = hub.ctl_json("anchors", "import", str(file), "--dry-run")
    assert sum(r["records"] for r in dry["rewound"]) == after - before > 0
    done = hub.ctl_json("anchors", "import", str(file))
    assert done["rewound"] == dry["rewound"]
    assert hub.receiver.wait(20, duplicate=duplicates + after - before) and hub.wait_empty(20)
    assert held_by_server(hub) == (after, duplicates + after - before)
    out = hub.ctl("anchors", "export")[1]
    now = hub.dir / "now.json"
    now.write_text(out)
    assert hub.ctl_json("anchors", "import", str(now))["rewound"] == [], "a round trip changes nothing"
    assert "nothing to send again" in hub.ctl("anchors", "import", str(now))[1]
    assert hub.stop() == 0
    status, _, error = hub.ctl("anchors", "import", str(file))
    assert status == 69 and "start" in error
    assert json.loads(hub.ctl("anchors", "export")[1])["anchors"] == json.loads(out)["anchors"], "from the store"


def test_bad_imports(new_hub):
    """Refused as a whole, with the line and in words, and nothing is sent again."""
    hub = recorded(new_hub)
    totals = held_by_server(hub)
    text = hub.ctl("anchors", "export")[1]
    anchor = hub.ctl_json("anchors")[0]["anchor_seq"]
    stream = hub.ctl_json("anchors")[0]["stream"]
    lower = text.replace(f'"anchor":{anchor},', '"anchor":0,')
    assert lower != text
    bad = {
        "ahead": (lower.replace('"anchor":0,', f'"anchor":{anchor + 1},', 1), ":2: ", "nothing may be skipped"),
        "sink": (lower.replace('"sink":"demo"', '"sink":"other"', 1), ":2: ", "no server of that name"),
        "stream": (lower.replace(stream, "00000000" + stream[8:]), ":2: ", "no such stream"),
        "cut": (lower[:-20], ":6: ", ""),
        "empty": ("", ":1: ", "ends too early"),
        "other": ("{}", ":1: ", "no file of `vitalctl anchors export`"),
    }
    file = hub.dir / "bad.json"
    for name, (content, line, words) in bad.items():
        file.write_text(content)
        status, said, error = hub.ctl("anchors", "import", str(file))
        assert (status, said) == (65, ""), name
        assert f"{file}{line}" in error and words in error, (name, error)
    other = json.loads(lower)
    other["incarnation"] = "11111111-2222-4333-8444-555555555555"
    file.write_text(json.dumps(other).replace(stream, "00000000" + stream[8:]))
    status, _, error = hub.ctl("anchors", "import", str(file))
    assert status == 65 and "of another store" in error
    assert held_by_server(hub) == totals and hub.waiting() == 0
    file.write_text(json.dumps(other))
    assert hub.ctl_json("anchors", "import", str(file), "--dry-run")["rewound"], "the streams are the same ones"
    assert hub.ctl("anchors", "import", str(hub.dir / "none.json"))[0] == 65
    for wrong in (("rewind", "demo", "--all"), ("rewind", "demo", "--to", "0"), ("rewind", "demo", "--all", "--to", "x"),
                  ("rewind", "nobody", "--all", "--to", "0"), ("rewind", "demo", "c0:de", "--since", "1h", "--to", "0"),
                  ("rewind", "demo", "zzzz", "--to", "0"), ("rewind", "--all", "--to", "0"), ("import",),
                  ("rewind", "demo", "--all", "--since", "soon"), ("send",), ("export", "--dry-run")):
        assert hub.ctl("anchors", *wrong)[0] == 64, wrong
    assert held_by_server(hub) == totals
    assert hub.stop() == 0


def trouble(hub):
    """-> (exit status, the first problem)."""
    status, said, _ = hub.ctl("status", "--json")
    return status, json.loads(said)["problems"][0]


def test_dead_is_not_hung(new_hub):
    """Nobody there, somebody who says nothing, somebody who begins: three sentences, three things to do."""
    hub = new_hub()
    status, problem = trouble(hub)
    assert status == 2 and problem["what"] == "vitald is not running" and "systemctl start" in problem["remedy"]
    hub.start_straps("--straps", 1, "--ecg", 0, "--speed", 10)
    hub.start_daemon()
    accepted(hub, 10)
    freeze(hub)
    try:
        status, problem = trouble(hub)
        assert status == 2 and re.fullmatch(r"vitald does not answer \(for \d+ s\)", problem["what"])
        assert "safe" in problem["consequence"] and "systemd restarts it" in problem["remedy"]
        age_heartbeat(hub, 600)
        status, problem = trouble(hub)
        assert status == 2 and problem["what"].startswith("vitald does not answer (for 10 min")
        page = hub.ctl("status")[1]
        assert page.startswith("NOT WORKING  vitald does not answer (for 10 min")
    finally:
        thaw(hub)
    until(lambda: hub.ctl("status")[0] == 0, 20, "well again")
    hub.kill()
    status, problem = trouble(hub)
    assert status == 2 and re.fullmatch(r"vitald is not running \(last alive .* ago\)", problem["what"])
    assert "systemctl start" in problem["remedy"]


def test_starting(new_hub):
    """A daemon that holds the store and does not listen yet is no dead one."""
    hub = new_hub()
    hub.start_straps("--straps", 1, "--ecg", 0, "--speed", 10)
    hub.start_daemon()
    accepted(hub, 5)
    freeze(hub)
    try:
        control = hub.runtime_dir / "control"
        control.rename(hub.runtime_dir / "elsewhere")  # as before it is made
        status, problem = trouble(hub)
        assert status == 1 and problem["what"] == "vitald is starting" and "wait" in problem["remedy"]
        (hub.runtime_dir / "elsewhere").rename(control)
    finally:
        thaw(hub)
    settle(hub)
