#!/usr/bin/python3
"""The reference receiver: contract 1 to the letter over HTTP/1.1, durable before it answers, and told
at run time to misbehave (misbehave.py names the ways). One thread a connection, one SQLite writer.

    POST /v1/batches                      gzip or plain; the receipt
    POST /v1/clocks                       {"clocks": [{boot_id, boot_us, utc_us}]}
    GET  /v1/streams?gateway=             [{stream, last_seq}]
    GET  /v1/streams/<id>/windows         ?from_seq=&to_seq=&width=
    POST /v1/uploads, PUT /v1/objects/..  {"already": true} or where to put it
    POST /control                         {"call": name, "args": {...}}; loopback only, see CALLS

As a module: Receiver(db).start() ... .stop(). As a process:
    receiver.py --db FILE --port N|0 --port-file F [--token T] [--control]
The control port is one of its own (so that it answers while the receiver is down) as well as the main
one; the port file holds "PORT CONTROL_PORT". Remote(...) has the same methods, over that port.
"""

import argparse
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import select
import signal
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse
import uuid
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import contract  # noqa: E402
from misbehave import EARLY, Rules  # noqa: E402
from records import Came, Records  # noqa: E402

BODY_MAX = 64 << 20
CALLS = (
    "misbehave clear down up restart wipe snapshot rollback set_token wait state streams query"
).split()
PORTAL = b"<!DOCTYPE html><title>Welcome</title><h1>Please accept our terms</h1>"


def now_us():
    return time.time_ns() // 1000


class Refuse(Exception):
    """An honest answer that is not a receipt."""

    def __init__(self, status, error, **headers):
        super().__init__(error)
        self.status = status
        self.error = error
        self.headers = headers


class Drop(Exception):
    """The connection ends here; reset: with a RST."""

    def __init__(self, reset):
        super().__init__()
        self.reset = reset


class Door:
    """A listening socket and the connections that came through it."""

    def __init__(self, receiver, host, port, tls=None):
        self.receiver = receiver
        self.tls = tls
        self.lock = threading.Lock()
        self.connections = set()
        self.open = True
        self.listener = socket.create_server((host, port), backlog=128, reuse_port=False)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while self.open:
            try:
                sock, address = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if not self.open:
                    sock.close()
                    return
                self.connections.add(sock)
            threading.Thread(target=self._serve, args=(sock, address), daemon=True).start()

    def _serve(self, sock, address):
        talk = sock
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                talk = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                with self.lock:  # wrapping took the descriptor away from sock
                    self.connections.discard(sock)
                    self.connections.add(talk)
                talk.do_handshake()
            Handler(talk, address, self)
        except (OSError, ValueError, Drop):
            pass
        finally:
            with self.lock:
                self.connections -= {sock, talk}
            talk.close()

    def close(self):
        """Nobody comes in any more, and those who are in are thrown out."""
        with self.lock:
            self.open = False
            connections = list(self.connections)
        for sock in (self.listener, *connections):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.listener.close()
        self.thread.join()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server_version = "reference-receiver/1"

    def log_message(self, *_):
        pass

    @property
    def receiver(self):
        return self.server.receiver

    def handle_expect_100(self):
        self.send_response_only(100)
        self.end_headers()
        self.wfile.flush()
        return True

    # -- reading

    def _body(self, half=False):
        """The whole body, or the half that is read before a reset."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._chunks()
        size = self.headers.get("Content-Length", "0")
        if not size.isdecimal() or int(size) > BODY_MAX:
            self.close_connection = True
            raise Refuse(413, "a body like that is not read")
        body = self.rfile.read(int(size) // 2 if half else int(size))
        if len(body) < int(size) and not half:
            raise Drop(reset=False)
        return body

    def _chunks(self):
        body = b""
        while size := int(self.rfile.readline(100).split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline(100)
            if len(body) > BODY_MAX:
                raise Drop(reset=True)
        while self.rfile.readline(1000).strip():
            pass
        return body

    # -- answering

    def _answer(self, status, body=b"", type_="application/json", headers=None, how=None):
        """Sends an answer; `how` is the rule that spoils the sending."""
        do = how.do if how else None
        if do == "cut_json":
            body = body[: len(body) // 2]
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, str(value))
        if body:
            self.send_header("Content-Type", type_)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        if do == "half_answer":
            self._headers_buffer = [b"".join(self._headers_buffer)[:-20]]
            self.flush_headers()
            raise Drop(reset=False)
        self.end_headers()
        if do in ("truncated", "reset_answer"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            raise Drop(reset=do == "reset_answer")
        if do == "drip":
            for i in range(len(body)):
                self.wfile.write(body[i : i + 1])
                self.wfile.flush()
                self.receiver.stopping.wait(how.get("delay", 1) / len(body))
        else:
            self.wfile.write(body)
        self.wfile.flush()

    def _json(self, value, status=200, headers=None, how=None):
        headers = {"X-Ingest-Contract": "1"} | (headers or {})
        if how and how.do == "no_contract":
            del headers["X-Ingest-Contract"]
        self._answer(status, json.dumps(value).encode(), headers=headers, how=how)

    def _drop(self, reset):
        self.close_connection = True
        try:
            self.wfile.flush()
            if reset:
                self.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            else:
                self.connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    # -- one request

    def do_GET(self):
        self._request()

    do_POST = do_PUT = do_GET

    def _request(self):
        self.row = {"received_us": now_us(), "path": self.path}
        self.url = urllib.parse.urlsplit(self.path)
        try:
            if self.url.path == "/control":
                self._control()
                return
            self.row["number"] = self.receiver.records.next_request()
            self._route()
        except Refuse as refuse:
            self.row["status"] = refuse.status
            headers = {name.replace("_", "-"): value for name, value in refuse.headers.items()}
            self._json({"error": refuse.error}, refuse.status, headers)
        except Drop as drop:
            self.row["status"] = 0
            self._drop(drop.reset)
        except OSError:
            self.close_connection = True
        finally:
            if "number" in self.row:
                self.row["answered_us"] = now_us()
                self.receiver.done(self.row)

    def _route(self):
        kind = {"batches": "batches", "clocks": "clocks", "uploads": "uploads"}
        parts = self.url.path.strip("/").split("/")
        name = kind.get(parts[1]) if len(parts) == 2 and parts[0] == "v1" else None
        if parts == ["v1", "streams"]:
            name = "streams"
        elif len(parts) == 4 and parts[:2] == ["v1", "streams"] and parts[3] == "windows":
            name = "windows"
        elif len(parts) == 3 and parts[:2] == ["v1", "objects"]:
            name = "object"
        rule = self.receiver.rules.choose(name)
        if rule:
            self.row["did"] = rule.label()
            self.receiver.rules.count(rule.label())
        body = self._body(half=bool(rule and rule.do == "reset_request"))
        self.row["body_size"] = len(body)
        if rule and rule.do in EARLY:
            self._early(rule)
            return
        self._authorize()
        if name is None:
            raise Refuse(404, "no such thing here")
        if self.command != {"streams": "GET", "windows": "GET", "object": "PUT"}.get(name, "POST"):
            raise Refuse(405, "not with this method")
        answer = getattr(self, "_" + name)(body, parts, rule)
        self._late(answer, rule)

    def _authorize(self):
        token = self.receiver.token
        if token and self.headers.get("Authorization") != f"Bearer {token}":
            raise Refuse(401, "no such token", WWW_Authenticate="Bearer")

    def _early(self, rule):
        if rule.do == "reset_request":
            raise Drop(reset=True)
        if rule.do == "stall":
            # readable is: the client went away, or we are told to stop
            select.select([self.connection], [], [])
            raise Drop(reset=False)
        if rule.do == "captive":
            self.row["status"] = 200
            self._answer(200, PORTAL, "text/html")
            return
        if rule.do == "empty":
            self.row["status"] = 200
            self._answer(200, headers={"X-Ingest-Contract": "1"})
            return
        status = self.row["status"] = rule.get("code", 500)
        headers = dict(rule.get("headers", {}))
        if rule.get("retry_after") is not None:
            headers["Retry-After"] = rule.get("retry_after")
        if 300 <= status < 400:
            headers.setdefault("Location", "/elsewhere")
        if rule.get("contract"):
            headers["X-Ingest-Contract"] = "1"
        body = rule.get("body", "" if status == 204 else json.dumps({"error": f"told to say {status}"}))
        self._answer(status, body.encode(), rule.get("type", "application/json"), headers)

    def _late(self, answer, rule):
        self.row.setdefault("status", 200)
        do = rule.do if rule else None
        if do == "lose_answer":
            raise Drop(reset=True)
        if do == "slow":
            self.receiver.stopping.wait(rule.get("delay", 1))
        entries = answer.get("streams", []) if isinstance(answer, dict) else answer
        for entry in entries:
            if do == "acked_outside":
                entry["acked_through"] += 1000
            elif do == "sums":
                entry["accepted"] += 1
            elif do == "missing_after":
                entry["missing_after"] = True
            elif do == "ahead":
                entry["last_seq"] += rule.get("by", 1) << contract.SEQ_N_BITS
        if do == "wrong_batch":
            answer["batch"] = str(uuid.uuid4())
        if do == "other_contract":
            answer["contract"] = 2
        headers = {"X-Ingest-Contract": "2"} if do == "other_contract" else None
        self._json(answer, headers=headers, how=rule)

    # -- the routes: each returns what is answered

    def _plain(self, body):
        encoding = self.headers.get("Content-Encoding", "identity").lower()
        self.row["encoding"] = encoding
        self.row["body_sha"] = hashlib.sha256(body).hexdigest()
        if encoding == "gzip":
            inflate = zlib.decompressobj(wbits=31)
            try:
                plain = inflate.decompress(body, BODY_MAX)
            except zlib.error as why:
                raise Refuse(400, f"not gzip: {why}") from None
            if not inflate.eof or inflate.unused_data or inflate.unconsumed_tail:
                raise Refuse(400, "gzip ends early, late, or is too large")
            body = plain
        elif encoding != "identity":
            raise Refuse(415, "gzip or nothing")
        self.row["json_size"] = len(body)
        self.row["json_sha"] = hashlib.sha256(body).hexdigest()
        return body

    def _batches(self, body, _parts, rule):
        sent_at = self.headers.get("X-Sent-At-Us", "")
        self.row |= {
            "sent_at_us": int(sent_at) if sent_at.isdecimal() else None,
            "clock": self.headers.get("X-Clock"),
            "key": self.headers.get("Idempotency-Key"),
        }
        plain = self._plain(body)
        if self.headers.get_content_type() != "application/json":
            raise Refuse(415, "application/json or nothing")
        try:
            batch = contract.parse(plain)
        except contract.BadBatch as why:
            self.receiver.rules.count("bad_request")
            raise Refuse(400, str(why)) from None
        if self.row["key"] not in (None, f'"{batch.id}"'):
            raise Refuse(400, "Idempotency-Key is not the batch, quoted")
        answer = self.receiver.take(batch, self.row)
        if rule and rule.do == "twice":
            answer = self.receiver.take(batch, self.row)
        return answer

    def _clocks(self, body, _parts, _rule):
        try:
            clocks = json.loads(self._plain(body))["clocks"]
            for clock in clocks:
                if not contract.UUID_RE.fullmatch(clock["boot_id"]) or not all(
                    contract.is_int(clock[name], 0, 2**63 - 1) for name in ("boot_us", "utc_us")
                ):
                    raise ValueError
        except (ValueError, TypeError, KeyError):
            raise Refuse(400, "not a list of clocks") from None
        self.receiver.records.take_clocks(clocks, self.row["received_us"])
        return {"contract": 1, "clocks": len(clocks)}

    def _query(self, *names, **defaults):
        given = urllib.parse.parse_qs(self.url.query)
        try:
            return [
                given[name][0] if default is str else int(given.get(name, [default])[0])
                for name, default in (dict.fromkeys(names, str) | defaults).items()
            ]
        except (KeyError, ValueError, TypeError):
            raise Refuse(400, "the query lacks something") from None

    def _streams(self, _body, _parts, _rule):
        (gateway,) = self._query("gateway")
        return self.receiver.records.streams(gateway)

    def _windows(self, _body, parts, _rule):
        first, last, width = self._query(from_seq=None, to_seq=None, width=4096)
        if width < 1 or last < first:
            raise Refuse(400, "width < 1, or to_seq < from_seq")
        return self.receiver.records.windows(parts[2], first, last, width)

    def _uploads(self, body, _parts, _rule):
        try:
            ask = json.loads(self._plain(body))
            sha256 = ask["sha256"]
            where = (ask["stream"], int(ask["first_seq"]), int(ask["last_seq"]))
        except (ValueError, TypeError, KeyError):
            raise Refuse(400, "not an upload") from None
        if self.receiver.records.has_object(sha256):
            return {"already": True}
        self.receiver.uploads[sha256] = where
        url = f"{self.receiver.url}/v1/objects/{sha256}"
        return {"url": url, "headers": {}, "expires_at": int(time.time()) + 900}

    def _object(self, body, parts, _rule):
        sha256 = hashlib.sha256(body).hexdigest()
        if sha256 != parts[2] or sha256 not in self.receiver.uploads:
            raise Refuse(403, "this was not asked for")
        self.receiver.records.put_object(sha256, *self.receiver.uploads[sha256], body)
        return {"already": True}

    def _control(self):
        body = self._body()
        if not self.receiver.control or not self.client_address[0].startswith("127."):
            raise Refuse(404, "no such thing here")
        try:
            ask = json.loads(body)
            name, args = ask["call"], ask.get("args", {})
            if name not in CALLS:
                raise ValueError(f"no such call: {name}")
            result = getattr(self.receiver, name)(**args)
        except Exception as why:  # whatever it is belongs to whoever asked
            self._json({"error": f"{type(why).__name__}: {why}"}, 400)
            return
        self._json({"result": result})


class Receiver:
    def __init__(self, db, port=0, token=None, control=False, cert=None, key=None, client_ca=None,
                 host="127.0.0.1", bpm_range=(0, 0xFFFF), seed=1):
        self.records = Records(db)
        self.rules = Rules(seed)
        self.token = token
        self.control = control
        self.bpm_range = bpm_range
        self.host = host
        self.port = port
        self.control_port = None
        self.uploads = {}
        self.stopping = threading.Event()
        self.changed = threading.Condition()
        self.totals = {"requests": 0, "receipts": 0, "rejected": 0, "duplicate": 0}
        self.totals["accepted"] = self.records.count()
        self.main_door = self.control_door = None
        self.tls = None
        if cert:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(cert, key)
            if client_ca:
                self.tls.verify_mode = ssl.CERT_REQUIRED
                self.tls.load_verify_locations(client_ca)

    # -- life

    def start(self):
        self.up()
        if self.control and not self.control_door:
            self.control_door = Door(self, "127.0.0.1", 0)
            self.control_port = self.control_door.port
        return self

    def stop(self):
        self.stopping.set()
        self.down()
        if self.control_door:
            self.control_door.close()
            self.control_door = None
        self.records.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    @property
    def is_up(self):
        return self.main_door is not None

    # -- told to misbehave

    def misbehave(self, do, **params):
        return self.rules.add(params | {"do": do})

    def clear(self, number=None):
        self.rules.clear(number)

    def down(self):
        """Connections are refused, those that are open end."""
        if self.main_door:
            self.rules.count("down")
            door, self.main_door = self.main_door, None
            door.close()

    def up(self):
        if not self.main_door:
            self.main_door = Door(self, self.host, self.port, self.tls)
            self.port = self.main_door.port

    def restart(self):
        """A new process as far as anybody can see: what was not durable is gone."""
        self.rules.count("restart")
        self.down()
        self.records.close()
        self.records.open()
        self.up()

    def wipe(self):
        self.rules.count("wipe")
        self.records.wipe()

    def snapshot(self, name):
        self.records.snapshot(name)

    def rollback(self, name):
        self.rules.count("rollback")
        self.records.rollback(name)

    def set_token(self, token):
        self.token = token

    # -- looked at

    @property
    def counters(self):
        return dict(self.rules.counters)

    def state(self):
        return {"counters": self.counters, "totals": dict(self.totals), "up": self.is_up}

    def streams(self, gateway):
        return self.records.streams(gateway)

    def query(self, sql, args=()):
        return self.records.query(sql, args)

    def wait(self, timeout=30, until=None, sql=None, **at_least):
        """Until totals or counters have reached what is named, or `until(self)`, or the first value of an SQL query
        is true; False: they did not."""

        def there():
            seen = self.totals | self.counters
            return all(seen.get(k, 0) >= v for k, v in at_least.items()) and (
                until is None or until(self)
            ) and (sql is None or bool(self.query(sql)[0][0]))

        with self.changed:
            return self.changed.wait_for(there, timeout)

    # -- the work

    def _reject(self, entry, record):
        if record.bad:
            return record.bad.code, record.bad.detail
        if record.type == "heart_rate":
            bpm = struct.unpack_from("<H", record.payload)[0]
            if not self.bpm_range[0] <= bpm <= self.bpm_range[1]:
                return "value_out_of_range", f"bpm {bpm}"
        for rule in self.rules.looking("reject"):
            if rule.matches(entry, record):
                self.rules.spend(rule)
                return rule.get("code_name", "value_out_of_range"), rule.get("detail", "told to reject")
        return None

    def _looks(self, do):
        def look(entry, record=None):
            for rule in rules:
                if rule.matches(entry, record):
                    self.rules.spend(rule)
                    return True
            return False

        rules = self.rules.looking(do)
        return look if rules else None

    def _refuse(self, batch, row):
        n = sum(len(entry.records) for entry in batch.entries)
        for rule in self.rules.looking("no_gzip"):
            if row["encoding"] == "gzip":
                self.rules.spend(rule)
                raise Refuse(415, "no gzip here")
        for rule in self.rules.looking("too_large"):
            if (
                row["body_size"] > rule.get("limit", BODY_MAX)
                or row["json_size"] > rule.get("limit_json", BODY_MAX)
                or n > rule.get("records", n)
            ):
                self.rules.spend(rule)
                raise Refuse(413, "too large")
        for rule in self.rules.looking("bad_batch"):
            if any(rule.matches(e, r) for e in batch.entries for r in e.records):
                self.rules.spend(rule)
                raise Refuse(rule.get("code", 400), "something in this batch")

    def take(self, batch, row):
        row |= {
            "batch": batch.id,
            "streams": len(batch.entries),
            "records": sum(len(entry.records) for entry in batch.entries),
        }
        self._refuse(batch, row)
        if batch.unknown:
            self.rules.count("unknown_field", len(batch.unknown))
        if self.records.other_body(batch.id, row["json_sha"], row["body_sha"], row["encoding"]):
            self.rules.count("same_batch_other_body")
        came = Came(row["number"], row["received_us"], row["sent_at_us"])
        entries = self.records.take(
            batch, came, self._reject, self._looks("conflict"), self._looks("identity_conflict")
        )
        row["accepted"] = sum(entry["accepted"] for entry in entries)
        row["duplicate"] = sum(entry["duplicate"] for entry in entries)
        row["rejected"] = sum(len(entry["rejected"]) for entry in entries)
        for entry in entries:
            if entry.get("identity_conflict"):
                self.rules.count("identity_conflict_answered")
            if any(r["code"] == "conflict" for r in entry["rejected"]):
                self.rules.count("conflict_answered")
        return {"contract": 1, "batch": batch.id, "streams": entries}

    def done(self, row):
        if self.records.db:
            self.records.note(row)
        with self.changed:
            self.totals["requests"] += 1
            if row.get("batch") and row.get("status") == 200:
                self.totals["receipts"] += 1
            for name in ("accepted", "duplicate", "rejected"):
                self.totals[name] += row.get(name) or 0
            self.changed.notify_all()


class Remote:
    """The methods of a Receiver in another process, over its control port."""

    def __init__(self, port, control_port):
        self.port = port
        self.control_port = control_port
        self.url = f"http://127.0.0.1:{port}"

    def call(self, name, /, **args):
        connection = http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=60)
        try:
            connection.request("POST", "/control", json.dumps({"call": name, "args": args}))
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def __getattr__(self, name):
        if name not in CALLS:
            raise AttributeError(name)
        return lambda *args, **kwargs: self.call(name, **self._named(name, args), **kwargs)

    @staticmethod
    def _named(name, args):
        first = {"misbehave": "do", "clear": "number", "set_token": "token", "query": "sql"}
        return {first.get(name, "name"): args[0]} if args else {}

    @property
    def counters(self):
        return self.state()["counters"]

    @property
    def totals(self):
        return self.state()["totals"]


def main():
    parser = argparse.ArgumentParser(description="the reference receiver of contract 1")
    parser.add_argument("--db", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--port-file", help="written when it listens: PORT, then CONTROL_PORT")
    parser.add_argument("--token")
    parser.add_argument("--control", action="store_true", help="POST /control, from loopback only")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--client-ca")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--bpm-min", type=int, default=0, help="reject below")
    parser.add_argument("--bpm-max", type=int, default=0xFFFF, help="reject above")
    options = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    receiver = Receiver(
        options.db, options.port, options.token, options.control, options.cert, options.key,
        options.client_ca, options.host, (options.bpm_min, options.bpm_max),
    ).start()
    line = " ".join(str(port) for port in (receiver.port, receiver.control_port) if port)
    if options.port_file:
        half = options.port_file + ".new"
        pathlib.Path(half).write_text(line + "\n")
        os.rename(half, options.port_file)
    print(line, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    receiver.stop()


if __name__ == "__main__":
    main()
