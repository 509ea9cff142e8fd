"""The demo's page from a made-up run: complete, self-contained, well-formed, and it says what happened."""

import html.parser
import math
import pathlib
import sys
import xml.etree.ElementTree as xml

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "receiver"), str(HERE)]

import balance as b  # noqa: E402
import page  # noqa: E402
import test_balance as made  # noqa: E402

SECOND = 1000000
SECONDS = 90


def beat_shape(phase):
    """A P wave, a QRS complex and a T wave, in microvolts."""
    bumps = ((0.18, 120, 0.025), (0.28, -120, 0.008), (0.30, 1100, 0.01), (0.325, -250, 0.01), (0.55, 280, 0.05))
    return sum(a * math.exp(-(((phase - at) / w) ** 2) / 2) for at, a, w in bumps)


def make(world, ecg=True, lose=()):
    for i in range(SECONDS):
        bpm = 70 + int(25 * math.sin(i / 14))
        rr = 60 * 1024 // bpm
        late = 53 * SECOND - i * SECOND if 32 <= i < 52 else 180000 + i % 7 * 30000
        world.send(i * SECOND, made.beat_hex(bpm, (rr - 200,) if i == 62 else (rr,)))
        if i not in lose and i != 71:
            world.hold(world.sample(i * SECOND, bpm, (rr - 200,) if i == 62 else (rr,)), delay=late)
    for i in range(int(SECONDS / 0.5615) if ecg else 0):
        t = int(i * 561500)
        values = [int(beat_shape((t / 1e6 + k / 130) * 1.2 % 1)) for k in range(73)]
        world.frame(t + 560000, i * 561500000 + 1, values)


@pytest.fixture
def run(tmp_path):
    world = made.World(tmp_path)
    yield world, lambda **more: {
        "result": world.balance(outages=[(made.T0 + 32 * SECOND, made.T0 + 52 * SECOND)],
                                kills=[made.T0 + 71 * SECOND + 10000]),
        "db": world.db, "start_us": made.T0, "end_us": made.T0 + SECONDS * SECOND,
        "outages": [(made.T0 + 32 * SECOND, made.T0 + 52 * SECOND)], "kills": [made.T0 + 71 * SECOND],
        "spoiled": [(made.T0 + 8 * SECOND, "two answers are 500")], "ledger": True, "share": 99.4,
        "usage": {"write_bytes": 123456, "cpu_s": 0.8, "uptime_s": 88.0, "rss_kib": 9000},
        "names": {made.DEVICE: f"strap 1 ({made.DEVICE})"}, "ok": True,
    } | more
    world.records.close()
    world.file.close()


class Outward(html.parser.HTMLParser):
    """Everything that would be loaded."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [v for k, v in attrs if k in ("src", "href", "data")]
        if tag in ("script", "link", "img", "iframe"):
            self.found.append(tag)


def test_a_good_run(run, tmp_path):
    world, describe = run
    make(world)
    text = page.page(describe())
    (tmp_path / "demo.html").write_text(text)
    outward = Outward()
    outward.feed(text)
    assert outward.found == [] and "http" not in text
    for svg in text.split("<svg")[1:]:
        xml.fromstring("<svg" + svg.partition("</svg>")[0] + "</svg>")
    assert text.count("<svg") == 3 and "receiver away 20 s" in text and "kill -9" in text
    assert "are at the server, unaltered" in text and "around a beat that came early" in text


def test_a_bad_run_says_so(run):
    world, describe = run
    make(world, ecg=False, lose=(5, 6))
    text = page.page(describe(ok=False, ledger=False, share=None))
    assert "2 notifications were lost" in text and "No ECG was received" in text


def test_nothing_at_all(run):
    _, describe = run
    text = page.page(describe(ok=False))
    assert "Nothing to draw" in text


def test_the_interesting_ten_seconds():
    frames = [(i * 561500, 7692.3, [0] * 73) for i in range(60)]
    beats = [(i * SECOND, 60, [1024]) for i in range(12)] + [(12 * SECOND, 60, [700, 1300])]
    from_us, at = page.interesting(frames, beats)
    assert at == 12 * SECOND and from_us < at < from_us + 10 * SECOND
    assert page.interesting(frames, []) == (0, None)
    assert page.interesting([], []) is None
    assert b.latency([])["mean"] is None
