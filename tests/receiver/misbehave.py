"""The ways the reference receiver can be told to misbehave. A rule is {"do": name, ...}; the first
that applies decides what happens to a request, and those that look at records all apply.

Common to all     n: for the next n requests, then it is gone (default: until told)
                  p: with this probability     skip: let this many pass first
                  path: "batches" (default), "streams", "windows", "clocks", "uploads" or "any"

Before a record is stored
    status        code, retry_after, headers, body, contract (true: with X-Ingest-Contract)
    captive       200, HTML            empty    200 with the header, no body
    stall         never answers        reset_request   reads half of the body, then resets
After it was stored, durably
    lose_answer   resets               twice    takes it two times, answers for the second
    slow          after `delay` s      drip     over `delay` s, byte by byte
    no_contract   without the header   other_contract  of contract 2
    wrong_batch   names another one    acked_outside   acked_through beyond the batch
    sums          accepted + duplicate + rejected do not add up
    truncated     Content-Length promises more, then the end
    cut_json      the length is right, the JSON is cut
    reset_answer  resets in the middle of the body
    half_answer   ends in the middle of the headers
    missing_after says so of every entry
    ahead         by: GET /v1/streams adds so many runs to last_seq
What looks at the batch
    too_large     413 above `limit` bytes of body, `limit_json` bytes of JSON, or `records`
    no_gzip       415 to anything gzipped
    bad_batch     code (400) without a `rejected` entry, if a record matches
    reject        code_name, detail: a `rejected` entry for each record that matches
    conflict      the same, as `conflict`
    identity_conflict   for streams that match
A record matches when all that is named fits: seqs [..], every k, bpm, bpm_over, kind, type,
streams [..]; or `match`, a function of (entry, record), from Python.
"""

import random
import struct
import threading

EARLY = {"status", "captive", "empty", "stall", "reset_request"}
LATE = {
    "lose_answer", "twice", "slow", "drip", "no_contract", "other_contract", "wrong_batch",
    "acked_outside", "sums", "truncated", "cut_json", "reset_answer", "half_answer",
    "missing_after", "ahead",
}
LOOK = {"too_large", "no_gzip", "bad_batch", "reject", "conflict", "identity_conflict"}


class Rule:
    def __init__(self, number, params):
        self.number = number
        self.do = params["do"]
        if self.do not in EARLY | LATE | LOOK:
            raise ValueError(f"no such misbehaviour: {self.do}")
        self.params = params
        self.left = params.get("n")
        self.skip = params.get("skip", 0)

    def get(self, name, default=None):
        return self.params.get(name, default)

    def matches(self, entry, record=None):
        get = self.params.get
        if "match" in self.params:
            return get("match")(entry, record)
        if entry.kind != get("kind", entry.kind):
            return False
        if "streams" in self.params and entry.stream not in get("streams"):
            return False
        if record is None:
            return True
        bpm = None
        if record.type == "heart_rate":
            bpm = struct.unpack_from("<H", record.payload)[0]
        return not (
            ("seqs" in self.params and record.seq not in get("seqs"))
            or ("every" in self.params and record.seq % get("every"))
            or ("type" in self.params and record.type != get("type"))
            or ("bpm" in self.params and bpm != get("bpm"))
            or ("bpm_over" in self.params and not (bpm is not None and bpm > get("bpm_over")))
        )

    def label(self):
        return f"status_{self.get('code', 500)}" if self.do == "status" else self.do


class Rules:
    """All rules in force, and how often each did its work."""

    def __init__(self, seed=1):
        self.lock = threading.Lock()
        self.rules = []
        self.counters = {}
        self.random = random.Random(seed)
        self.last = 0

    def add(self, params):
        with self.lock:
            self.last += 1
            self.rules.append(Rule(self.last, params))
            return self.last

    def clear(self, number=None):
        with self.lock:
            self.rules = [r for r in self.rules if number is not None and r.number != number]

    def count(self, label, by=1):
        with self.lock:
            self.counters[label] = self.counters.get(label, 0) + by

    def _applies(self, rule, path):
        if rule.get("path", "batches") not in (path, "any"):
            return False
        if rule.left is not None and rule.left <= 0:
            return False
        if rule.skip > 0:
            rule.skip -= 1
            return False
        return rule.get("p") is None or self.random.random() < rule.get("p")

    def choose(self, path):
        """The rule that decides the fate of a request to `path`, or None; it is used up by one."""
        with self.lock:
            for rule in self.rules:
                if rule.do in EARLY | LATE and self._applies(rule, path):
                    if rule.left is not None:
                        rule.left -= 1
                    return rule
            return None

    def looking(self, do):
        """The rules of this name that look at batches now; spend() them when one did its work."""
        with self.lock:
            return [r for r in self.rules if r.do == do and self._applies(r, "batches")]

    def spend(self, rule, by=1):
        with self.lock:
            if rule.left is not None:
                rule.left -= 1
        self.count(rule.label(), by)
