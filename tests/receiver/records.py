"""What the reference receiver holds: a SQLite file in WAL mode, every commit FULL, so that an answer
given after `take()` is a promise that kill -9 and a power cut keep.

    stream    one row a stream: uuid, kind, device, subject, gateway
    run       (stream, run number) -> the first nonce seen
    record    (stream, seq) -> t_us, clk, type, payload, when and with which request it came
    rejected  (stream, seq) -> why; counts as held when somebody asks for what comes before
    conflict  a second content for a (stream, seq): never stored as a record
    request   one row a request, refused ones too; written with the next commit, so it may lag
    clock, object   POST /v1/clocks, PUT of an upload
    estimate  (stream, seq) of a record with clk "est" -> its boot_id and boot_us

`records` is the view to read: one line a record with the stream's names beside it. `corrected` has
for each estimate the time that the nearest clock note of its boot makes of it, NULL without one.
"""

import hashlib
import sqlite3
import threading
from dataclasses import dataclass

from contract import HEAD

SCHEMA = """
CREATE TABLE IF NOT EXISTS stream (number INTEGER PRIMARY KEY, uuid TEXT UNIQUE NOT NULL,
  kind TEXT NOT NULL, device TEXT NOT NULL, subject TEXT NOT NULL, gateway TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS run (stream INTEGER, run INTEGER, nonce TEXT NOT NULL,
  PRIMARY KEY (stream, run)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS record (stream INTEGER, seq INTEGER, t_us INTEGER, clk INTEGER, type TEXT,
  payload BLOB, received_us INTEGER, sent_at_us INTEGER, request INTEGER,
  PRIMARY KEY (stream, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rejected (stream INTEGER, seq INTEGER, t_us INTEGER, clk INTEGER,
  type TEXT, payload BLOB, code TEXT, detail TEXT, request INTEGER,
  PRIMARY KEY (stream, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS conflict (stream INTEGER, seq INTEGER, canonical BLOB, request INTEGER);
CREATE TABLE IF NOT EXISTS request (number INTEGER PRIMARY KEY, received_us INTEGER,
  answered_us INTEGER, path TEXT, batch TEXT, sent_at_us INTEGER, clock TEXT, key TEXT,
  encoding TEXT, body_size INTEGER, json_size INTEGER, body_sha TEXT, json_sha TEXT,
  streams INTEGER, records INTEGER, accepted INTEGER, duplicate INTEGER, rejected INTEGER,
  status INTEGER, did TEXT);
CREATE INDEX IF NOT EXISTS request_batch ON request (batch);
CREATE TABLE IF NOT EXISTS clock (boot_id TEXT, boot_us INTEGER, utc_us INTEGER, received_us INTEGER,
  PRIMARY KEY (boot_id, boot_us)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS estimate (stream INTEGER, seq INTEGER, boot_id TEXT, boot_us INTEGER,
  PRIMARY KEY (stream, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS object (sha256 TEXT PRIMARY KEY, stream TEXT, first_seq INTEGER,
  last_seq INTEGER, size INTEGER, data BLOB);
CREATE VIEW IF NOT EXISTS records AS
  SELECT s.uuid AS stream, s.kind, s.device, s.subject, s.gateway, r.seq, r.seq >> 28 AS run,
    r.seq & 268435455 AS n, r.t_us, r.clk, r.type, r.payload, r.received_us, r.sent_at_us, r.request
  FROM record r JOIN stream s ON s.number = r.stream;
CREATE VIEW IF NOT EXISTS corrected AS
  SELECT s.uuid AS stream, e.seq, r.t_us, e.boot_id, e.boot_us,
    e.boot_us + c.utc_us - c.boot_us AS true_us, min(abs(c.boot_us - e.boot_us)) AS far_us
  FROM estimate e JOIN record r ON r.stream = e.stream AND r.seq = e.seq
    JOIN stream s ON s.number = e.stream LEFT JOIN clock c ON c.boot_id = e.boot_id
  GROUP BY e.stream, e.seq;
"""
TABLES = ("stream", "run", "record", "rejected", "conflict", "request", "clock", "estimate", "object")
REQUEST_COLUMNS = (
    "number received_us answered_us path batch sent_at_us clock key encoding body_size json_size "
    "body_sha json_sha streams records accepted duplicate rejected status did"
).split()


@dataclass
class Came:
    """How a request came: what the rows beside its records say."""

    number: int
    received_us: int
    sent_at_us: int | None


class Records:
    def __init__(self, path):
        self.path = str(path)
        self.lock = threading.RLock()
        self.log = []  # request rows that wait for the next commit
        self.db = None
        self.open()

    def open(self):
        self.db = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=FULL")
        self.db.executescript(SCHEMA)
        row = self.db.execute("SELECT max(number) FROM request").fetchone()
        row2 = self.db.execute("SELECT max(request) FROM record").fetchone()
        self.last_request = max(row[0] or 0, row2[0] or 0)

    def close(self):
        with self.lock:
            if self.db:
                self.flush()
                self.db.close()
            self.db = None

    def next_request(self):
        with self.lock:
            self.last_request += 1
            return self.last_request

    def flush(self):
        """Writes the request rows that wait."""
        with self.lock, Transaction(self.db):
            self._write_log()

    def _write_log(self):
        log, self.log = self.log, []
        marks = ",".join("?" * len(REQUEST_COLUMNS))
        self.db.executemany(
            f"INSERT OR REPLACE INTO request VALUES ({marks})",
            [[row.get(name) for name in REQUEST_COLUMNS] for row in log],
        )

    def note(self, row):
        with self.lock:
            self.log.append(row)
            if len(self.log) >= 256:
                self.flush()

    def other_body(self, batch_id, json_sha, body_sha, encoding):
        """True if this batch id came before with another body: a breach of the contract."""
        with self.lock:
            rows = self.db.execute(
                "SELECT json_sha, body_sha, encoding FROM request WHERE batch = ?", (batch_id,)
            ).fetchall()
            rows += [
                (r["json_sha"], r["body_sha"], r["encoding"])
                for r in self.log
                if r.get("batch") == batch_id
            ]
        return any(
            row[0] != json_sha or (row[2] == encoding and row[1] != body_sha) for row in rows if row[0]
        )

    def take(self, batch, came, reject, conflict=None, identity_conflict=None):
        """Stores a batch, commits, and returns its receipt entries. `reject(entry, record)` returns
        (code, detail) or None; `conflict` and `identity_conflict` pretend that they are one."""
        with self.lock, Transaction(self.db):
            self._write_log()
            return [
                self._take_entry(batch, entry, came, reject, conflict, identity_conflict)
                for entry in batch.entries
            ]

    def _stream(self, batch, entry):
        self.db.execute(
            "INSERT OR IGNORE INTO stream (uuid, kind, device, subject, gateway) VALUES (?,?,?,?,?)",
            (entry.stream, entry.kind, entry.device, entry.subject, batch.gateway),
        )
        return self.db.execute(
            "SELECT number FROM stream WHERE uuid = ?", (entry.stream,)
        ).fetchone()[0]

    def _bound_elsewhere(self, stream, entry):
        self.db.execute(
            "INSERT OR IGNORE INTO run VALUES (?,?,?)", (stream, entry.run_number, entry.run)
        )
        nonce = self.db.execute(
            "SELECT nonce FROM run WHERE stream = ? AND run = ?", (stream, entry.run_number)
        ).fetchone()[0]
        return nonce != entry.run

    def _holds(self, stream, seq):
        return bool(
            self.db.execute(
                "SELECT 1 FROM record WHERE stream = ?1 AND seq = ?2 UNION ALL "
                "SELECT 1 FROM rejected WHERE stream = ?1 AND seq = ?2",
                (stream, seq),
            ).fetchone()
        )

    def _take_entry(self, batch, entry, came, reject, conflict, identity_conflict):
        answer = {"stream": entry.stream, "acked_through": 0, "accepted": 0, "duplicate": 0}
        answer["rejected"] = rejected = []
        if identity_conflict and identity_conflict(entry):
            return answer | {"identity_conflict": True}
        stream = self._stream(batch, entry)
        if self._bound_elsewhere(stream, entry):
            return answer | {"identity_conflict": True}
        first, last = entry.records[0].seq, entry.records[-1].seq
        held = {
            row[0]: HEAD.pack(*row[:3]) + row[4]
            for row in self.db.execute(
                "SELECT seq, t_us, clk, type, payload FROM record "
                "WHERE stream = ? AND seq BETWEEN ? AND ?",
                (stream, first, last),
            )
        }
        if entry.after and not self._holds(stream, entry.after):
            answer["missing_after"] = True
        new, refused = [], []
        for record in entry.records:
            row = (stream, record.seq, record.t_us, record.clk, record.type, record.payload)
            known = held.get(record.seq)
            if (known is not None and known != record.canonical) or (conflict and conflict(entry, record)):
                rejected.append({"seq": record.seq, "code": "conflict", "detail": "other content held"})
                self.db.execute(
                    "INSERT INTO conflict VALUES (?,?,?,?)",
                    (stream, record.seq, record.canonical, came.number),
                )
            elif known is not None:
                answer["duplicate"] += 1
            elif why := reject(entry, record):
                rejected.append({"seq": record.seq, "code": why[0], "detail": why[1]})
                refused.append(row + (why[0], why[1], came.number))
            else:
                answer["accepted"] += 1
                new.append(row + (came.received_us, came.sent_at_us, came.number))
        self.db.executemany("INSERT INTO record VALUES (?,?,?,?,?,?,?,?,?)", new)
        self.db.executemany("INSERT OR REPLACE INTO rejected VALUES (?,?,?,?,?,?,?,?,?)", refused)
        self.db.executemany(
            "INSERT OR IGNORE INTO estimate VALUES (?,?,?,?)",
            [(stream, r.seq, batch.boot_id, r.boot_us) for r in entry.records if r.boot_us is not None],
        )
        self.db.execute(
            "DELETE FROM rejected WHERE stream = ?1 AND seq BETWEEN ?2 AND ?3 AND EXISTS "
            "(SELECT 1 FROM record WHERE stream = ?1 AND record.seq = rejected.seq)",
            (stream, first, last),
        )
        answer["acked_through"] = last
        return answer

    def take_clocks(self, clocks, received_us):
        with self.lock, Transaction(self.db):
            self._write_log()
            self.db.executemany(
                "INSERT OR REPLACE INTO clock VALUES (?,?,?,?)",
                [(c["boot_id"], c["boot_us"], c["utc_us"], received_us) for c in clocks],
            )

    def has_object(self, sha256):
        with self.lock:
            return bool(
                self.db.execute("SELECT 1 FROM object WHERE sha256 = ?", (sha256,)).fetchone()
            )

    def put_object(self, sha256, stream, first_seq, last_seq, data):
        with self.lock, Transaction(self.db):
            self.db.execute(
                "INSERT OR IGNORE INTO object VALUES (?,?,?,?,?,?)",
                (sha256, stream, first_seq, last_seq, len(data), data),
            )

    def streams(self, gateway):
        """What was rejected counts: else a hub would take its own quarantine for our rollback."""
        with self.lock:
            rows = self.db.execute(
                "SELECT s.uuid, max(coalesce((SELECT max(seq) FROM record WHERE stream = s.number), 0),"
                " coalesce((SELECT max(seq) FROM rejected WHERE stream = s.number), 0)) AS last"
                " FROM stream s WHERE gateway = ? ORDER BY uuid",
                (gateway,),
            ).fetchall()
        return [{"stream": stream, "last_seq": last} for stream, last in rows if last]

    def windows(self, stream, from_seq, to_seq, width):
        """Windows of `width` numbers counted from from_seq, empty ones left out; first and last are
        the lowest and highest seq that is held in the window."""
        with self.lock:
            rows = self.db.execute(
                "SELECT seq, t_us, clk, payload FROM record r JOIN stream s ON s.number = r.stream "
                "WHERE s.uuid = ? AND seq BETWEEN ? AND ? ORDER BY seq",
                (stream, from_seq, to_seq),
            ).fetchall()
        windows, current = [], None
        for seq, t_us, clk, payload in rows:
            slot = (seq - from_seq) // width
            if slot != current:
                current, digest = slot, hashlib.sha256()
                windows.append({"first": seq, "last": seq, "count": 0, "digest": digest})
            windows[-1]["last"] = seq
            windows[-1]["count"] += 1
            windows[-1]["digest"].update(HEAD.pack(seq, t_us, clk) + payload)
        for window in windows:
            window["sha256"] = window.pop("digest").hexdigest()
        return windows

    def count(self, where="1"):
        with self.lock:
            return self.db.execute(f"SELECT count(*) FROM records WHERE {where}").fetchone()[0]

    def query(self, sql, args=()):
        with self.lock:
            self.flush()
            return self.db.execute(sql, args).fetchall()

    def wipe(self):
        with self.lock, Transaction(self.db):
            self.log = []
            for table in TABLES:
                self.db.execute(f"DELETE FROM {table}")

    def _snapshot_path(self, name):
        assert name.isalnum(), name
        return f"{self.path}.{name}"

    def snapshot(self, name):
        with self.lock:
            self.flush()
            copy = sqlite3.connect(self._snapshot_path(name))
            self.db.backup(copy)
            copy.close()

    def rollback(self, name):
        with self.lock:
            copy = sqlite3.connect(self._snapshot_path(name))
            copy.backup(self.db)
            copy.close()


class Transaction:
    def __init__(self, db):
        self.db = db

    def __enter__(self):
        # flush() inside a transaction joins it
        self.mine = not self.db.in_transaction
        if self.mine:
            self.db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind, value, trace):
        if self.mine:
            self.db.execute("ROLLBACK" if kind else "COMMIT")


