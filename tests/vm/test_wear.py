"""What a strap costs the card: all that reaches the disk of the whole machine (store, its file system's journal, the
journal of systemd), against the same machine without vitald. A strap for heart rate; ECG is more data than that by itself.

A day in fast motion: the strap speaks ten times as often as one does, and everything that vitald and its timers do every
so often, they do ten times as often. What is far apart stays so: the kernel writes after 35 s at the latest, and nothing
here is due more often than every 90 s. What comes every six hours or once a day is not in it; one comparison is,
as the daemon makes one when it has started."""

from installed import CONFIG, PATIENCE, image_dir
from lab import FIRST_S, Lab, strap

BUDGET_MB = 10  # a day
FASTER = 10
SETTLE_S, IDLE_S, BUSY_S = 120, 300, 900
STRAP = strap(0, ("heart_rate",))
# As installed, divided: lazy_commit, background_interval, summary_interval. T is longer: a receiver in an emulated machine
# that others use takes more than a second at times, and then it is committed; that is an outage, and not what is measured.
SYNC = CONFIG.replace("[sync]\n", "[sync]\ndurability_window = 10s\nlazy_commit = 360s\nbackground_interval = 180s\n")
LOG = "[log]\nsummary_interval = 90s\n"


class Meter(Lab):
    receiver_db = "/run/receiver.db"  # beside the radio's log: they are no part of a hub

    def written(self):
        return int(self.must("cat /sys/block/vda/stat").split()[6]) * 512

    def own(self):
        """What the daemon's own process wrote, and the bytes of the log that have to be copied into the store one day."""
        out = self.must(f"awk '/^write_bytes/ {{ print $2 }}' /proc/{self.pid()}/io && stat -c %s /var/lib/vitald/store.db-wal")
        return tuple(map(int, out.split()))

    def settle_down(self):
        """What began before the measuring is on the disk."""
        self.must("journalctl --sync && sync")
        self.passes(self.now() + SETTLE_S)

    def during(self, seconds):
        before = self.written()
        self.passes(self.now() + seconds)
        return self.written() - before


def measure(directory):
    hub = Meter(image_dir(), directory)
    try:
        hub.setup()
        hub.must("systemctl stop systemd-tmpfiles-clean.timer")
        hub.start_radio([STRAP], pmd=False, hr_ms=1000 // FASTER)
        hub.settle_down()
        idle = hub.during(IDLE_S)

        hub.configure([STRAP], sync=SYNC + LOG)
        hub.heard([STRAP], hub.now(), FIRST_S)
        hub.fires("vitald-sync.timer", first="60s", again="180s")
        hub.settle_down()
        commits, accepted = hub.status()["summary"]["commits"], hub.receiver.totals["accepted"]
        own = hub.own()
        busy = hub.during(BUSY_S)
        own = [now - then for now, then in zip(hub.own(), own)]
        figures = {
            "idle": idle * BUSY_S // IDLE_S, "busy": busy, "own": own[0], "log": own[1],
            "commits": hub.status()["summary"]["commits"] - commits,
            "records": hub.receiver.totals["accepted"] - accepted,
            "last run": hub.last_run("vitald-sync.timer"), "since": (hub.now() - BUSY_S) * 1e6,
            "journal": hub.tail(),
        }
        hub.stop(PATIENCE)
        return figures
    except BaseException:
        hub.keep_logs()
        raise
    finally:
        hub.close()


def test_wear(measured):
    """One strap online costs no more than so much a day."""
    it = measured.result()
    day = 86400 / (BUSY_S * FASTER) / 1e6
    extra = (it["busy"] - it["idle"] + it["log"]) * day
    print(f"one strap for heart rate: {extra:.1f} MB a day more than the idle machine; {it['own'] * day:.1f} of it written"
          f" by vitald itself; in {BUSY_S} s: {it}")
    assert it["records"] > 0.9 * BUSY_S * FASTER and it["commits"] >= BUSY_S // 360, it
    assert it["last run"] > it["since"], it
    assert extra <= BUDGET_MB, it
