"""Simulated wearables behind a simulated Bluetooth controller: the kernel sees an ordinary adapter, bluetoothd and all
above it are real. Needs root and the module hci_vhci.

    python3 radio [-n WEARABLES] [-c CONFIG] [-l LOG] [-s SOCKET] [-v]

CONFIG: {"adapter": "02:00:00:AA:00:01", "slots": 5, "devices": [{...}, ...]}; what a wearable may be told is in
wearable.py, `slots` is how many links the controller can hold. Without it: WEARABLES straps with heart rate and ECG.

LOG: one JSON object a line: {"t": CLOCK_MONOTONIC, "dev": index or null, "ev": ...}. "tx" with "hex" is a notification
that was handed to the host; with "dropped" or "toolong" it was not. "cccd", "write": what the host asked for.
"connected", "disconnected", "paired", "encrypted", "key-missing": links. "recording", "beat", "removed": a memory.

SOCKET: one JSON object a line there, one back, {"ok": true}. `dev`: an index, an address, a name, or "all".

    {"op":"state"}                          the whole
    {"op":"set","dev":0,"key":"mtu","value":64}
    {"op":"disconnect","dev":0,"reason":19}
    {"op":"link_loss","dev":0,"after":2}    silent now, gone after 2 s; else after the supervision timeout
    {"op":"mute","dev":0,"on":true}         the link stays, nothing is said or answered
    {"op":"notify","dev":0,"uuid":"2a37","hex":""}     whatever value, if it is subscribed
    {"op":"att","dev":0,"hex":"1b"}  {"op":"l2cap","dev":0,"cid":5,"hex":""}    payloads to the host
    {"op":"acl","hex":""}  {"op":"event","hex":""}     packets to the host
    {"op":"forget_bond","dev":0}  {"op":"rotate","dev":0}    its key is lost; another private address
    {"op":"unplug"}  {"op":"plug"}          the adapter
    {"op":"hang","on":true}                 it neither answers nor says anything
    {"op":"quit"}
"""

import argparse
import json
import os
import signal
import socket
import sys
import time

import controller
import timers
import wearable


class Radio:
    def __init__(self, options):
        self.loop, self.verbose = timers.Loop(), options.verbose
        self.file = open(options.log, "a", buffering=1, encoding="utf-8") if options.log else None
        config = {}
        if options.config:
            with open(options.config, encoding="utf-8") as file:
                config = json.load(file)
        devices = config.get("devices") or [{"name": f"Polar H10 SIM{i + 1:02d}", "serial": f"{i + 1:08d}"}
                                            for i in range(options.n)]
        self.wearables = []
        self.controller = controller.Controller(self, config.get("adapter", "02:00:00:AA:00:01"), config.get("slots"))
        self.wearables += wearable.make_all(self, devices)
        self.ops = {name[3:]: getattr(self, name) for name in dir(self) if name.startswith("op_")}

    def log(self, one, event, **more):
        if self.file or self.verbose:
            line = json.dumps({"t": round(time.monotonic(), 4), "dev": one.index if one else None, "ev": event, **more})
            if self.file:
                self.file.write(line + "\n")
            if self.verbose:
                print(line, flush=True)

    # -- control

    def serve(self, path):
        if os.path.exists(path):
            os.unlink(path)
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen(8)
        self.loop.watch(self.server, self.accept)

    def accept(self):
        client, _ = self.server.accept()
        client.settimeout(5)  # for those who do not read
        rest = b""

        def readable():
            nonlocal rest
            try:
                data = client.recv(65536)
            except OSError:
                data = b""
            if not data:
                self.loop.forget(client)
                client.close()
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.control(client, line)

        self.loop.watch(client, readable)

    def control(self, client, line):
        try:
            ask = json.loads(line)
            self.log(None, "control", q=ask)
            answer = {"ok": True} | (self.ops[ask["op"]](ask) or {})
            self.controller.listen()
        except Exception as error:  # pylint: disable=broad-except
            answer = {"ok": False, "err": repr(error)}
        self.answer(client, answer)

    @staticmethod
    def answer(client, what):
        try:
            client.sendall(json.dumps(what).encode() + b"\n")
        except OSError:
            pass  # gone; its descriptor tells the loop

    def chosen(self, ask):
        dev = ask.get("dev", "all")
        if dev == "all":
            return self.wearables
        found = [one for one in self.wearables if dev in (one.index, one.settings["name"], one.settings["addr"])]
        if not found:
            raise KeyError(dev)
        return found

    def linked(self, ask):
        return [one for one in self.chosen(ask) if one.link]

    def op_state(self, ask):
        return {"scan": int(self.controller.scanning), "devs": [one.state() for one in self.wearables]}

    def op_set(self, ask):
        for one in self.chosen(ask):
            if ask["key"] not in one.settings:
                raise KeyError(ask["key"])
            one.settings[ask["key"]] = ask["value"]

    def op_disconnect(self, ask):
        for one in self.linked(ask):
            self.controller.end(one, one.link, ask.get("reason", controller.REMOTE_ENDED))

    def op_link_loss(self, ask):
        for one in self.linked(ask):
            one.link.muted = True
            self.controller.end_later(ask.get("after", one.link.timeout_s), one, controller.LINK_TIMEOUT)

    def op_mute(self, ask):
        for one in self.linked(ask):
            one.link.muted = ask["on"]

    def op_att(self, ask):
        for one in self.linked(ask):
            one.send(wearable.ATT, bytes.fromhex(ask["hex"]))

    def op_l2cap(self, ask):
        for one in self.linked(ask):
            one.send(ask["cid"], bytes.fromhex(ask["hex"]))

    def op_notify(self, ask):
        for one in self.linked(ask):
            one.notify(ask["uuid"], bytes.fromhex(ask["hex"]), injected=True)

    def op_forget_bond(self, ask):
        for one in self.chosen(ask):
            one.pairing.bond = None

    def op_rotate(self, ask):
        for one in self.chosen(ask):
            one.rotate()

    def op_acl(self, ask):
        self.controller.write(controller.ACL, bytes.fromhex(ask["hex"]))

    def op_event(self, ask):
        self.controller.write(controller.EVENT, bytes.fromhex(ask["hex"]))

    def op_unplug(self, ask):
        self.controller.unplug()

    def op_plug(self, ask):
        self.controller.plug()

    def op_hang(self, ask):
        self.controller.hung = ask["on"]

    def op_quit(self, ask):
        self.loop.running = False


def main():
    parser = argparse.ArgumentParser(description="simulated wearables behind a simulated Bluetooth controller")
    parser.add_argument("-n", type=int, default=1, help="straps, if there is no CONFIG")
    parser.add_argument("-c", "--config")
    parser.add_argument("-l", "--log")
    parser.add_argument("-s", "--socket", default="/run/radio.sock")
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    radio = Radio(options)
    radio.serve(options.socket)
    radio.controller.plug()
    radio.loop.run()


main()
