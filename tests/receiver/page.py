"""The demo's page: one HTML file, nothing loaded from anywhere, charts as inline SVG, drawn from what the
receiver holds. page(run) -> text; `run` is what scripts/demo gathered:

    result      of balance()                  db          the receiver's database
    start_us, end_us, outages, kills, spoiled [(wall us, words)]
    ledger      True, False, None             share       of batches on the immediate path, %, or None
    usage       of the daemon                 names       {device: what it is called}
    page_bytes  the smallest write of the disk, in words
"""

import html
import time

import balance as b
import contract

COLOURS = ("var(--a)", "var(--b)", "var(--c)")

CSS = """
:root{color-scheme:light dark;--bg:#fbfaf8;--fg:#1d1d1f;--dim:#6b6b70;--line:#dcdad5;--card:#fff;
--a:#c2293f;--b:#1f6fb2;--c:#2c8a57;--shade:#c9882333;--paper:#fff6f4;--grid:#f3c9c1;--grid5:#e39a8d;
--ink:#1b1b22;--good:#23803f;--bad:#c2293f}
@media(prefers-color-scheme:dark){:root{--bg:#17181b;--fg:#ececee;--dim:#9a9aa2;--line:#34353b;
--card:#1f2024;--a:#ff6b7d;--b:#6cb6f5;--c:#6fd39a;--shade:#e0a23a33;--paper:#221b1b;--grid:#3d2826;
--grid5:#6a403b;--ink:#f5e9e6;--good:#69cf86;--bad:#ff6b7d}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:64rem;margin:0 auto;padding:2rem 1.2rem 4rem}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .4rem}h2{font-size:1.15rem;margin:2.4rem 0 .3rem}
p{margin:.3rem 0 .8rem;max-width:46rem}.dim,figcaption,small{color:var(--dim)}
.verdict{font-size:1.15rem;border-left:.3rem solid var(--good);padding-left:.8rem}
.verdict.bad{border-color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.2rem,1fr));gap:.7rem;margin:1.2rem 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem}
.tile b{display:block;font-size:1.5rem;font-weight:600;font-variant-numeric:tabular-nums}
.tile.good b{color:var(--good)}.tile.bad b{color:var(--bad)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .5rem;text-align:right;border-bottom:1px solid var(--line);vertical-align:bottom}
td:first-child{white-space:nowrap}th{min-width:3.4rem}
th:first-child,td:first-child{text-align:left}thead th{color:var(--dim);font-weight:500}
tfoot td{font-weight:600;border-bottom:0}figure{margin:.6rem 0 0}
svg{display:block;width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:var(--dim)}
.key{display:inline-block;width:.8rem;height:.8rem;border-radius:2px;margin:0 .3rem -.1rem .9rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.2rem;margin:.4rem 0}
dt{color:var(--dim)}dd{margin:0;font-variant-numeric:tabular-nums}
"""


def number(value, unit="", digits=0):
    return "–" if value is None else f"{value:,.{digits}f}".replace(",", " ") + unit


def size(n):
    for unit in ("B", "KiB", "MiB"):
        if n < 10240 or unit == "MiB":
            return f"{n:.0f} {unit}" if unit == "B" or n >= 100 else f"{n:.1f} {unit}"
        n /= 1024


def _beats(db):
    """{device: [(t_us, bpm, rr)]} as the receiver holds them."""
    beats = {}
    for device, t_us, payload in db.execute(
        "SELECT device, t_us, payload FROM records WHERE type = 'heart_rate' ORDER BY device, seq"
    ):
        what = contract.unpack("heart_rate", payload)
        beats.setdefault(device, []).append((t_us, what["bpm"], what["rr_1024"]))
    return beats


def _frames(db, device):
    """[(t_us of the first sample, dt_us, microvolts)], by seq."""
    frames = []
    for t_us, payload in db.execute(
        "SELECT t_us, payload FROM records WHERE type = 'ecg' AND device = ? ORDER BY seq", (device,)
    ):
        what = contract.unpack("ecg", payload)
        frames.append((t_us, what["dt_ns"] / 1000, what["uv"]))
    return frames


def interesting(frames, beats):
    """Where ten whole seconds of ECG hold the earliest beat: (from_us, its time), or None."""
    spans, start, end = [], None, None
    for t_us, dt_us, values in frames:
        if start is None or t_us - end > 3 * dt_us:
            if start is not None:
                spans.append((start, end))
            start = t_us
        end = t_us + dt_us * len(values)
    if start is not None:
        spans.append((start, end))
    early = []
    for t_us, _, rr in beats:
        early += [(b / a, t_us) for a, b in zip(rr, rr[1:])]
    for (_, _, a), (t_us, _, c) in zip(beats, beats[1:]):
        if a and c:
            early.append((c[0] / a[-1], t_us))
    for ratio, t_us in sorted(early):
        for first, last in spans:
            if first + 5e6 <= t_us <= last - 5e6:
                return t_us - 5_500_000, t_us if ratio < 0.85 else None
    for first, last in spans:
        if last - first >= 10e6:
            return first, None
    return (spans[0][0], None) if spans else None


def _ecg_strip(frames, from_us):
    """10 s at 25 mm/s and 10 mm/mV; a unit of the drawing is a millimetre."""
    parts, values, end = [], [], None
    for t_us, dt_us, uv in frames:
        if t_us + dt_us * len(uv) < from_us or t_us > from_us + 10e6:
            continue
        new = end is None or abs(t_us - end) > 3 * dt_us
        for i, value in enumerate(uv):
            x = (t_us + i * dt_us - from_us) / 40000
            if 0 <= x <= 250:
                parts.append(("M" if new else "L", x, value))
                values.append(value)
                new = False
        end = t_us + dt_us * len(uv)
    if not values:
        return "<p>No ECG there.</p>"
    top = max(5 * (int(max(values) / 500) + 1), 15)
    low = min(5 * (int(min(values) / 500) - 1), -10)
    path = " ".join(f"{m}{x:.2f} {top - v / 100:.2f}" for m, x, v in parts)
    height = top - low
    return (
        f'<svg viewBox="0 0 250 {height}" role="img" aria-label="ten seconds of ECG"><defs>'
        '<pattern id="mm" width="1" height="1" patternUnits="userSpaceOnUse"><path d="M1 0H0V1" '
        'fill="none" stroke="var(--grid)" stroke-width=".1"/></pattern>'
        '<pattern id="cm" width="5" height="5" patternUnits="userSpaceOnUse"><path d="M5 0H0V5" '
        'fill="none" stroke="var(--grid5)" stroke-width=".2"/></pattern></defs>'
        f'<rect width="250" height="{height}" fill="var(--paper)"/>'
        f'<rect width="250" height="{height}" fill="url(#mm)"/>'
        f'<rect width="250" height="{height}" fill="url(#cm)"/>'
        f'<path d="{path}" fill="none" stroke="var(--ink)" stroke-width=".35" '
        'stroke-linejoin="round"/></svg>'
    )


def _curve(beats, run):
    left, right, top, bottom, width, height = 40, 18, 24, 26, 960, 300
    start, end = run["start_us"], run["end_us"]
    seconds = (end - start) / 1e6
    every = [bpm for rows in beats.values() for _, bpm, _ in rows if bpm] or [60]
    low, high = min(every) // 10 * 10, -(-(max(every) + 1) // 10) * 10

    def x(t_us):
        return left + (t_us - start) / (end - start) * (width - left - right)

    def y(bpm):
        return height - bottom - (bpm - low) / (high - low) * (height - top - bottom)

    out = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="heart rate over the run">']
    for bpm in range(low, high + 1, 20 if high - low > 60 else 10):
        out.append(f'<path d="M{left} {y(bpm):.1f}H{width - right}" stroke="var(--line)"/>'
                   f'<text x="{left - 6}" y="{y(bpm) + 4:.1f}" text-anchor="end">{bpm}</text>')
    for from_us, to_us in run["outages"]:
        out.append(f'<rect x="{x(from_us):.1f}" y="{top}" width="{x(to_us) - x(from_us):.1f}" '
                   f'height="{height - top - bottom}" fill="var(--shade)"/>'
                   f'<text x="{x(from_us) + 5:.1f}" y="{top + 14}">'
                   f"receiver away {(to_us - from_us) / 1e6:.0f} s</text>")
    for kill in run["kills"]:
        out.append(f'<path d="M{x(kill):.1f} {top}V{height - bottom}" stroke="var(--fg)" '
                   f'stroke-dasharray="3 3"/><text x="{x(kill):.1f}" y="{top - 6}" '
                   'text-anchor="middle">kill -9</text>')
    for t_us, words in run["spoiled"]:
        out.append(f'<path d="M{x(t_us):.1f} {height - bottom}l-4 8h8z" fill="var(--dim)"><title>'
                   f"{html.escape(words)}</title></path>")
    step = next(s for s in (1, 2, 5, 10, 15, 30, 60, 300, 3600) if seconds / s <= 14)
    for second in range(0, int(seconds) + 1, step):
        out.append(f'<text x="{x(start + second * 1e6):.1f}" y="{height - 6}" text-anchor="middle">'
                   f"{second} s</text>")
    for i, (_device, rows) in enumerate(sorted(beats.items())):
        path, last = [], None
        for t_us, bpm, _ in rows:
            if not bpm:  # the strap has no contact yet
                continue
            broken = last is None or t_us - last > 2_500_000
            path.append(f"{'M' if broken else 'L'}{x(t_us):.1f} {y(bpm):.1f}")
            last = t_us
        out.append(f'<path d="{" ".join(path)}" fill="none" stroke="{COLOURS[i % 3]}" '
                   'stroke-width="2" stroke-linejoin="round" stroke-linecap="round"/>')
    return "".join(out) + "</svg>"


def _histogram(delays_us, p99_ms):
    if not delays_us:
        return "<p>Nothing to draw.</p>"
    width, height, left, bottom, n = 960, 200, 46, 26, 40
    limit = max(50, min(p99_ms * 1.25, max(delays_us) / 1000 * 1.01))
    step = next(s for s in (1, 2, 5, 10, 20, 25, 50, 100, 250, 500, 1000, 1e9) if limit / s <= n)
    n = int(limit / step) + 1
    bins = [0] * (n + 1)
    for delay in delays_us:
        bins[min(n, max(0, int(delay / 1000 / step)))] += 1
    most, slot = max(bins), (width - left) / (n + 1)
    out = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="histogram of latency">']
    for i, count in enumerate(bins):
        h = count / most * (height - bottom - 14)
        words = f"{i * step}–{(i + 1) * step} ms" if i < n else f"{n * step} ms and more"
        out.append(f'<rect x="{left + i * slot:.1f}" y="{height - bottom - h:.1f}" '
                   f'width="{slot - 1.5:.1f}" height="{h:.1f}" rx="1" fill="var(--b)">'
                   f"<title>{words}: {count}</title></rect>")
        if i % 5 == 0 or i == n:
            label = f"{i * step} ms" if i < n else "more"
            if i == n or n - i > 2:
                x, anchor = (width, "end") if i == n else (left + i * slot, "start")
                out.append(f'<text x="{x:.1f}" y="{height - 8}" text-anchor="{anchor}">{label}</text>')
    out.append(f'<path d="M{left} {height - bottom}H{width}" stroke="var(--line)"/>'
               f'<text x="{left - 6}" y="18" text-anchor="end">{most}</text>')
    return "".join(out) + "</svg>"


def _tile(value, words, good=None):
    kind = "" if good is None else " good" if good else " bad"
    return f'<div class="tile{kind}"><b>{value}</b>{words}</div>'


def _table(result, names):
    head = [("emitted", "emitted"), ("handed", "handed over"), ("expected", "to be kept"),
            ("received", "received"), ("waiting", "waiting"), ("quarantined", "quarantined"),
            ("in_hand", "in hand at kill"), ("lost", "lost"), ("duplicated", "duplicated"),
            ("altered", "altered")]
    rows = []
    for key, one in result["streams"].items():
        device, _, kind = key.partition(" ")
        name = names.get(device, device).partition(" (")[0]
        label = f"{name}, {'ECG frames' if kind == 'ecg' else kind.replace('_', ' ')}"
        cells = "".join(f"<td>{'' if one[name] is None else one[name]}</td>" for name, _ in head)
        rows.append(f"<tr><td>{html.escape(label)}</td>{cells}</tr>")
    total = "".join(f"<td>{result['total'][name]}</td>" for name, _ in head)
    heads = "".join(f"<th>{words}</th>" for _, words in head)
    return (f'<div class="scroll"><table><thead><tr><th>notifications</th>{heads}</tr></thead><tbody>'
            f'{"".join(rows)}</tbody><tfoot><tr><td>all</td>{total}</tr></tfoot></table></div>')


def _verdict(run):
    total = run["result"]["total"]
    seconds = (run["end_us"] - run["start_us"]) / 1e6
    away = sum(to - from_ for from_, to in run["outages"]) / 1e6
    through = []
    if away:
        through.append(f"{away:.0f} s without a server")
    if run["kills"]:
        through.append(f"{len(run['kills'])} × kill -9 of the daemon")
    if run["spoiled"]:
        through.append("answers that were errors or broken off")
    if run["ok"]:
        held = "all" if not total["in_hand"] else number(total["expected"] - total["in_hand"])
        hand = (f" {total['in_hand']} was in the daemon's hand at the instant of a kill."
                if total["in_hand"] else "")
        order = ", in order" if not total["order_violations"] else ""
        return (f"Of {number(total['expected'])} notifications that reached the hub in {seconds:.0f} s, "
                f"{held} are at the server, unaltered{order}, through {', '.join(through)}.{hand}")
    if total["lost"] or total["altered"]:
        return f"{total['lost']} notifications were lost and {total['altered']} were altered."
    return "Nothing was lost, but the ledger did not balance, or something is still waiting."


def page(run):
    result, names = run["result"], run["names"]
    total, usage = result["total"], run["usage"]
    up, calm = result["latency"]["up"], result["latency"]["calm"]
    db = b.open_db(run["db"])
    beats = _beats(db)
    ecg_device = next((key.split()[0] for key, one in result["streams"].items()
                       if key.endswith(" ecg") and one["received"]), None)
    frames = _frames(db, ecg_device) if ecg_device else []
    db.close()
    where = interesting(frames, beats.get(ecg_device, []))
    strip = _ecg_strip(frames, where[0]) if where else "<p>No ECG was received.</p>"
    early = " around a beat that came early" if where and where[1] else ""
    at = f", from second {(where[0] - run['start_us']) / 1e6:.0f}" if where else ""
    keys = "".join(
        f'<span class="key" style="background:{COLOURS[i % 3]}"></span>{html.escape(names.get(d, d))}'
        for i, d in enumerate(sorted(beats)))
    cpu = 100 * usage["cpu_s"] / usage["uptime_s"] if usage["uptime_s"] else 0
    share = run["share"]
    tiles = [
        _tile(total["lost"], "lost", total["lost"] == 0),
        _tile(total["altered"], "altered", total["altered"] == 0),
        _tile(total["duplicated"], "duplicated", total["duplicated"] == 0),
        _tile({True: "yes", False: "no", None: "–"}[run["ledger"]], "ledger balances", run["ledger"]),
        _tile(number(share, " %", 1), "of batches at the first try or its quick repeats, server up"),
        _tile(number(calm["mean"], " ms"), "sample to receipt, mean, undisturbed"),
    ]
    gaps = ", ".join(f"{n} × {k.replace('_', ' ')}" for k, n in sorted(total["gaps"].items())) or "none"
    facts = [
        ("Latency, undisturbed", f"mean {number(calm['mean'])} · p50 {number(calm['p50'])} · p95 "
         f"{number(calm['p95'])} · p99 {number(calm['p99'])} ms ({calm['n']} notifications)"),
        ("Latency, server up", f"mean {number(up['mean'])} · p50 {number(up['p50'])} · p95 "
         f"{number(up['p95'])} · p99 {number(up['p99'])} ms ({up['n']} notifications): "
         "spoiled answers and kills included"),
        ("Latency, all", f"p50 {number(result['latency']['all']['p50'])} · p99 "
         f"{number(result['latency']['all']['p99'])} ms: what waited for the server included"),
        ("Written to disk", f"{size(usage['write_bytes'])} in {usage['uptime_s']:.0f} s"),
        ("Processor", f"{usage['cpu_s']:.2f} s, {cpu:.2f} % of a core"),
        ("Memory", f"{usage['rss_kib'] / 1024:.1f} MiB at most"),
        ("Gap records", gaps + " (what nobody could hear, told to the server with a reason)"),
        ("Not heard", f"{total['emitted'] - total['handed']} notifications came while no daemon "
         f"listened; {total['unread']} lay unread in a socket at a kill; {total['undecodable']} were malformed"),
        ("Told to misbehave", "; ".join(
            f"{(t - run['start_us']) / 1e6:.0f} s: {words}" for t, words in run["spoiled"]) or "no"),
    ]
    facts = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts)
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run["start_us"] / 1e6))
    bad = "" if run["ok"] else " bad"
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>vitald: the main job, {when}</title><style>{CSS}</style></head><body><main>
<h1>From the strap to the server, and nothing lost?</h1>
<p class="verdict{bad}">{html.escape(_verdict(run))}</p>
<p class="dim">vitald is a daemon that takes heart rate and ECG from Bluetooth straps, keeps them and brings
them to a server. Here the bytes that real straps send came from simulated ones ({len(beats)} of them), a test server was
told to fail, and the daemon was killed. The straps' own record of what they sent was then compared with
what the server holds, by a program that shares no code with the daemon. {when}.</p>
<div class="tiles">{"".join(tiles)}</div>
<h2>The balance</h2>{_table(result, names)}
<h2>Heart rate, as the server holds it</h2>
<figure>{_curve(beats, run)}<figcaption>beats per minute{keys}. Shaded: the server was away; what was
measured then arrived later. Where a line is broken nobody listened: the daemon was dead.
▲ an answer was spoiled.</figcaption></figure>
<h2>ECG, as the server holds it</h2>
<figure>{strip}<figcaption>Ten seconds{early}{at}. 25 mm/s, 10 mm/mV: a small square is 40 ms and 0.1 mV.
{html.escape(names.get(ecg_device, ecg_device or ""))}</figcaption></figure>
<h2>How long it took</h2>
<figure>{_histogram(result["delays_calm_us"], calm["p99"] or 0)}<figcaption>From the moment a notification was
handed to the daemon to the server's receipt for it, while nothing was being broken.</figcaption></figure>
<h2>What it cost</h2><dl>{facts}</dl>
</main></body></html>
"""
