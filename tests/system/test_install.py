"""What `make install` puts in place: complete, accepted by the programs that read it, and careful with what an
owner wrote. Nothing here touches the running system."""

import os
import pathlib
import re
import shutil
import subprocess
import xml.etree.ElementTree as xml

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = os.environ.get("VITALD_BUILD", "build")
OURS = ("vitald.service", "vitald-sync.service", "vitald-reconcile.service", "vitald-cleanup.service")  # by user vitald
SANDBOXED = (*OURS, "vitald-recover.service")
TIMERS = ("vitald-sync.timer", "vitald-reconcile.timer", "vitald-cleanup.timer")
UNITS = (*SANDBOXED, *TIMERS, "vitald-recover.path")
INSTALLED = {
    "usr/local/sbin/vitald": 0o755,
    "usr/local/bin/vitalctl": 0o755,
    "usr/local/lib/sysusers.d/vitald.conf": 0o644,
    "usr/local/lib/systemd/catalog/vitald.catalog": 0o644,
    **{f"usr/local/lib/systemd/system/{unit}": 0o644 for unit in UNITS},
    "usr/local/share/vitald/l2cap.conf": 0o644,
    "usr/local/share/man/man1/vitalctl.1": 0o644,
    "usr/local/share/man/man5/vitald.conf.5": 0o644,
    "usr/local/share/man/man8/vitald.8": 0o644,
    "etc/dbus-1/system.d/org.vitald.conf": 0o644,
    "etc/vitald/vitald.conf": 0o644,
}


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, **options)
    return done.returncode, done.stdout


def make(target, destdir, *variables):
    sanitize = ("SANITIZE=1",) if "sanitize" in BUILD else ()
    code, out = run("make", "-s", target, f"DESTDIR={destdir}", f"O={BUILD}", *sanitize, *variables, cwd=TOP)
    assert code == 0, out
    return out


def files_in(root):
    return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}


def needs(program):
    return pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    path = tmp_path_factory.mktemp("root")
    make("install", path)
    return path


def test_every_file_and_no_other(root):
    assert files_in(root) == set(INSTALLED)
    for name, mode in INSTALLED.items():
        assert (root / name).stat().st_mode & 0o777 == mode, name
    assert (root / "etc/vitald/vitald.conf.d").is_dir()


def test_prefix_is_honoured(tmp_path):
    make("install", tmp_path, "PREFIX=/usr", "SYSCONFDIR=/opt/etc")
    unit = (tmp_path / "usr/lib/systemd/system/vitald.service").read_text()
    assert "ExecStart=/usr/sbin/vitald\n" in unit
    assert not re.search(r"@[A-Z]+@", "".join(p.read_text() for p in (tmp_path / "usr/lib/systemd/system").iterdir()))
    assert (tmp_path / "usr/share/dbus-1/system.d/org.vitald.conf").exists()
    assert (tmp_path / "opt/etc/vitald/vitald.conf").exists()


def test_the_owners_configuration_is_kept(tmp_path):
    make("install", tmp_path)
    conf = tmp_path / "etc/vitald/vitald.conf"
    conf.write_text("[sync]\nlinger = 1s\n")
    assert "is yours and was kept" in make("install", tmp_path)
    assert conf.read_text() == "[sync]\nlinger = 1s\n"
    assert (tmp_path / "etc/vitald/vitald.conf.dist").read_bytes() == (TOP / "config/vitald.conf").read_bytes()
    assert "Kept" in make("uninstall", tmp_path)
    assert files_in(tmp_path) == {"etc/vitald/vitald.conf", "etc/vitald/vitald.conf.dist"}


def test_check_config(root, tmp_path):
    vitald = root / "usr/local/sbin/vitald"
    assert run(vitald, "--check-config", "--config", root / "etc/vitald/vitald.conf")[0] == 0
    bad = tmp_path / "bad.conf"
    bad.write_text("[sync]\nlingr = 1s\nretention = long\n")
    code, out = run(vitald, "--check-config", "--config", bad)
    assert code == 78
    assert f"{bad}:2: there is no key lingr in [sync]; did you mean linger?" in out
    assert f"{bad}:3: retention is not a duration" in out


@needs("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS)
def test_units_are_accepted(root, tmp_path, unit):
    for name in UNITS:  # verify looks for the program where the unit says it is
        text = (root / "usr/local/lib/systemd/system" / name).read_text()
        (tmp_path / name).write_text(text.replace("=/usr/local/sbin", f"={root}/usr/local/sbin"))
    code, out = run("systemd-analyze", "verify", "--man=no", tmp_path / unit)
    assert code == 0 and not [line for line in out.splitlines() if "vitald" in line], out


@needs("systemd-analyze")
@pytest.mark.parametrize("unit", SANDBOXED)
def test_sandbox_is_tight(root, unit):
    path = root / "usr/local/lib/systemd/system" / unit
    # systemd does not count that it does without PrivateDevices= for the sake of the card, and has DevicePolicy= instead.
    most = 16 if unit == "vitald-sync.service" else 15
    code, out = run("systemd-analyze", "security", "--offline=yes", f"--threshold={most}", "--no-pager", path)
    assert code == 0, out


@pytest.mark.parametrize("unit", OURS)
def test_traps_of_the_sandbox(root, unit):
    """Each of these once cost the clock, the boot id or the tail."""
    text = (root / "usr/local/lib/systemd/system" / unit).read_text()
    lines = [line for line in text.splitlines() if line and line[0] not in "#["]
    filters = [line.partition("=")[2] for line in lines if line.startswith("SystemCallFilter=")]
    assert filters == ["@system-service", "~@privileged @resources", "adjtimex clock_adjtime"]
    assert "RuntimeDirectoryPreserve=yes" in lines
    assert "StateDirectoryMode=0700" in lines
    keys = {line.partition("=")[0] for line in lines}
    assert not keys & {"ProtectClock", "ProcSubset", "LoadCredential", "SupplementaryGroups"}
    assert "network-online" not in "".join(lines)


def settings(root, unit):
    lines = (root / "usr/local/lib/systemd/system" / unit).read_text().splitlines()
    return [tuple(line.split("=", 1)) for line in lines if "=" in line and line[0] != "#"]


@pytest.mark.parametrize("timer", TIMERS)
def test_timers_fire_after_a_boot_and_again(root, timer):
    """By a clock that nobody sets, spread, and what they start knows that nobody looks on."""
    keys = dict(settings(root, timer))
    assert {"OnBootSec", "OnUnitActiveSec", "RandomizedDelaySec", "AccuracySec", "WantedBy"} < keys.keys()
    assert not keys.keys() & {"OnCalendar", "Persistent"}
    service = dict(settings(root, timer.replace(".timer", ".service")))
    assert service["ExecStart"].endswith(" --timer")
    assert service["Type"] == "oneshot" and service["TimeoutStartSec"] == "20min" and "RuntimeMaxSec" not in service
    assert service["SuccessExitStatus"] == "75"


@needs("systemd-sysusers")
def test_the_user_is_made(root, tmp_path):
    (tmp_path / "etc").mkdir()
    conf = root / "usr/local/lib/sysusers.d/vitald.conf"
    if os.geteuid() != 0:
        pytest.skip("systemd-sysusers --root wants root")
    code, out = run("systemd-sysusers", f"--root={tmp_path}", "--inline", *[
        line for line in conf.read_text().splitlines() if not line.startswith("#")])
    assert code == 0, out
    assert re.search(r"^vitald:.*:/var/lib/vitald:/.*nologin$", (tmp_path / "etc/passwd").read_text(), re.M)
    assert re.search(r"^vitald:", (tmp_path / "etc/group").read_text(), re.M)


def test_policy_lets_in_whom_it_names(root):
    policies = xml.parse(root / "etc/dbus-1/system.d/org.vitald.conf").getroot().findall("policy")
    allowed = {tuple(p.attrib.items())[0]: {a for rule in p.findall("allow") for a in rule.attrib} for p in policies}
    call = {"send_destination", "receive_sender"}
    assert allowed == {("context", "default"): set(), ("user", "root"): call, ("user", "vitald"): call | {"own"},
                       ("group", "vitald"): call, ("group", "sudo"): call}


@needs("dbus-daemon")
def test_policy_is_accepted_and_denies(root, tmp_path):
    """A bus with our policy: who is neither root nor vitald cannot own the name, and root cannot either."""
    policy = root / "etc/dbus-1/system.d/org.vitald.conf"
    config = tmp_path / "bus.conf"
    config.write_text(f"""<busconfig><type>custom</type><listen>unix:path={tmp_path}/bus</listen>
        <auth>EXTERNAL</auth><policy context="default"><allow user="*"/><allow send_type="method_call"/>
        <allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
        <allow send_requested_reply="true"/><allow receive_requested_reply="true"/></policy><include>{policy}</include></busconfig>""")
    process = subprocess.Popen(["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().strip()  # comes when it listens
        assert address, process.stderr.read()
        for name, granted in (("org.example.other", True), ("org.vitald", False)):
            code, out = run("dbus-send", f"--bus={address}", "--print-reply", "--dest=org.freedesktop.DBus", "/",
                            "org.freedesktop.DBus.RequestName", f"string:{name}", "uint32:4")
            assert (code == 0) == granted, out
    finally:
        process.terminate()
        process.communicate(timeout=10)


def catalog_ids():
    text = (TOP / "systemd/vitald.catalog").read_text()
    return re.findall(r"^-- ([0-9a-f]{32})$", text, re.M), text


def test_catalog_is_the_one_of_the_program():
    ids, text = catalog_ids()
    header = (TOP / "daemon/model/catalog.h").read_text()
    assert len(ids) == len(set(ids))
    assert set(ids) == set(re.findall(r'"([0-9a-f]{32})"', header))
    for entry in text.split("\n-- ")[1:]:
        head, _, body = entry.partition("\n\n")
        assert re.search(r"^Subject: .+$", head, re.M) and "Defined-By: vitald" in head
        assert len(body.split("\n\n")) >= 2, f"{head}: what happened, and what to do"


@needs("journalctl")
def test_catalog_is_accepted(tmp_path):
    folder = tmp_path / "usr/lib/systemd/catalog"
    folder.mkdir(parents=True)
    shutil.copy(TOP / "systemd/vitald.catalog", folder)
    code, out = run("journalctl", f"--root={tmp_path}", "--update-catalog")
    assert code == 0 and not out, out
    code, out = run("journalctl", f"--root={tmp_path}", "--list-catalog", "--no-pager")
    assert code == 0
    assert {line.split()[0] for line in out.splitlines()} == set(catalog_ids()[0])


@needs("man")
@pytest.mark.parametrize("page", ["systemd/vitald.8", "systemd/vitalctl.1", "config/vitald.conf.5"])
def test_manuals_format_without_a_warning(page):
    done = subprocess.run(["man", "--warnings", "-l", page], cwd=TOP, capture_output=True, text=True,
                          env=os.environ | {"MANPAGER": "cat", "LC_ALL": "C.UTF-8"}, timeout=60)
    assert done.returncode == 0
    assert done.stderr == "" and "DESCRIPTION" in done.stdout


def options_in(text):
    return set(re.findall(r"--[a-z][a-z-]*", text))


def test_help_and_manual_of_vitalctl_tell_of_the_same():
    """Every command that --help lists has its paragraph and no other has; so has every option of each."""
    vitalctl = TOP / BUILD / "vitalctl"
    page = (TOP / "systemd/vitalctl.1").read_text()
    synopsis, told = page.split(".Sh DESCRIPTION")[0].split(".Sh SYNOPSIS")[1], page.split(".Sh DESCRIPTION")[1]
    code, out = run(vitalctl, "--help")
    assert code == 0
    commands = re.findall(r"^  ([a-z]+) {2,}\S", out, re.M)
    assert len(commands) >= 16
    assert {word for word in re.findall(r"^\.It Cm ([a-z]+)", told, re.M)} == set(commands)
    assert {word for line in re.findall(r"^\.Cm (.+)", synopsis, re.M)
            for word in re.findall(r"(?:^|\| )([a-z]+)", re.sub(r" (?:Ar|Op|Fl) .*", "", line))} == set(commands)
    of_page = {"--" + name for name in re.findall(r"Fl -([a-z][a-z-]*)", page)}
    of_help = options_in(out)
    for command in set(commands) - {"decode"}:  # its bytes are nobody's options
        code, said = run(vitalctl, command, "--help")
        assert code == 0 and said.startswith(f"vitalctl {command}"), said
        of_help |= options_in(said)
    assert of_page == of_help - {"--version", "--help"}


def test_help_and_manual_of_vitald_tell_of_the_same():
    page = (TOP / "systemd/vitald.8").read_text()
    code, out = run(TOP / BUILD / "vitald", "--help")
    assert code == 0 and max(map(len, out.splitlines())) <= 80
    commands = re.findall(r"^  ([a-z]+) {2,}\S", out, re.M)
    assert len(commands) == 4
    assert set(re.findall(r"^\.It Nm Cm ([a-z]+)", page, re.M)) == set(commands)
    assert {"--" + name for name in re.findall(r"Fl -([a-z-]+)", page)} >= options_in(out) - {"--version", "--help"}
    listed = page.split(".Sh EXIT STATUS")[1].split(".Sh ")[0]
    assert set(re.findall(r"^\.It (\d+)", listed, re.M)) == set(re.findall(r"\b(\d+) ", out.split("Exit status:")[1])) | {"78"}
