"""A client or component of slixmpp, driven by lines on standard input.

Commands are JSON arrays, one a line; events are JSON objects, one a line.
"""
import argparse
import asyncio
import json
import sys
import time

import slixmpp
import slixmpp.plugins.xep_0198.stream_management


def say(event, **values):
    print(json.dumps({"event": event, "at": time.time_ns(), **values}), flush=True)


def options():
    p = argparse.ArgumentParser()
    p.add_argument("--jid", required=True)
    p.add_argument("--host", required=True)
    p.add_argument("--port", type=int, required=True)
    p.add_argument("--ca", required=True)
    p.add_argument("--direct-tls", action="store_true")
    p.add_argument("--mechanism")
    p.add_argument("--component", action="store_true")
    p.add_argument("--other", action="append", default=[])
    p.add_argument("--reconnect", action="store_true")
    p.add_argument("--no-resume", action="store_true")
    o = p.parse_args()
    o.password = sys.stdin.readline().rstrip("\n")
    return o


def stanza_events(x):
    def message(m):
        delayed = m.xml.find("{urn:xmpp:delay}delay") is not None
        if m["type"] == "error":
            say("error", **{"from": m["from"].full, "condition": m["error"]["condition"]})
        elif m["body"]:
            say("message", **{"from": m["from"].full, "body": m["body"], "id": m["id"], "delayed": delayed})

    def presence(p):
        say("presence", **{"from": p["from"].full, "type": p.xml.get("type") or "available"})

    x.add_event_handler("message", message)
    x.add_event_handler("message_error", message)
    for e in ("presence_available", "presence_unavailable", "presence_subscribe", "presence_subscribed"):
        x.add_event_handler(e, presence)
    x.add_event_handler("failed_auth", lambda e: say("failed", reason="auth"))
    x.add_event_handler("stream_error", lambda e: say("stream-error", condition=e["condition"]))
    x.add_event_handler("ssl_invalid_chain", lambda e: say("failed", reason="tls"))
    x.add_event_handler("ssl_invalid_cert", lambda e: say("failed", reason="tls"))
    x.add_event_handler("connection_failed", lambda e: say("failed", reason="connect"))
    x.add_event_handler("disconnected", lambda e: say("disconnected"))
    x.add_event_handler("failed_all_auth", lambda e: say("failed", reason="auth"))
    x.add_event_handler("stanza_acked", lambda s: say("acked", id=s["id"]))


async def ask_for_acks(x):
    """By itself slixmpp asks once in five stanzas."""
    while True:
        await asyncio.sleep(0.1)
        if x["xep_0198"].enabled_in and x["xep_0198"].unacked_queue and x.is_connected():
            x["xep_0198"].request_ack()


class Addresses:
    """Where the service is; next() has it tried at another address."""

    def __init__(self, o):
        self.all = [(o.host, o.port)] + [(h.strip("[]"), int(p)) for h, _, p in (a.rpartition(":") for a in o.other)]
        self.at = 0

    def next(self):
        self.at = (self.at + 1) % len(self.all)

    def now(self):
        return self.all[self.at]

    def text(self):
        return "%s:%d" % self.now()


def keep_unacked():
    """slixmpp 1.8.3 forgets, when it asks to resume, what it would have to send again."""
    plugin = slixmpp.plugins.xep_0198.stream_management.XEP_0198
    outgoing = plugin._handle_outgoing

    def keeping(self, stanza):
        if isinstance(stanza, slixmpp.plugins.xep_0198.stanza.Resume):
            self.enabled_out = True
            return stanza
        return outgoing(self, stanza)

    plugin._handle_outgoing = keeping


async def come_back(x, addresses, o):
    """Connects again when the connection is gone, or nothing comes of it."""
    gone = asyncio.Event()
    there = asyncio.Event()
    x.add_event_handler("disconnected", lambda _: gone.set())
    for e in ("session_start", "session_resumed"):
        x.add_event_handler(e, lambda _: there.set())
    while True:
        try:
            await asyncio.wait_for(there.wait(), 8)
            await gone.wait()
        except asyncio.TimeoutError:
            say("failed", reason="timeout")
            x.abort()
        if not x.coming_back:
            return
        gone.clear()
        there.clear()
        await asyncio.sleep(0.1)
        addresses.next()
        gone.clear()
        x.connect(addresses.now(), use_ssl=o.direct_tls)


def send(x, to, body, id):
    m = x.make_message(mto=to, mbody=body, mtype="chat")
    m["id"] = id
    if x.is_component:
        m["from"] = x.boundjid
    m.send()


async def steadily(x, to, prefix, milliseconds):
    """While there is no session it pauses: slixmpp would put what it has to send again behind what is new."""
    n = 0
    try:
        while True:
            if x.there:
                send(x, to, "%s-%d" % (prefix, n), "%s-%d" % (prefix, n))
                n += 1
            await asyncio.sleep(milliseconds / 1000)
    except asyncio.CancelledError:
        say("halted", id=prefix, count=n)


async def commands(x):
    steady = {}
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        verb, *args = json.loads(line)
        if verb == "send":
            send(x, *args)
        elif verb == "steady":
            steady[args[1]] = asyncio.ensure_future(steadily(x, args[0], args[1], int(args[2])))
        elif verb == "halt":
            steady.pop(args[0]).cancel()
        elif verb == "subscribe":
            x.send_presence(pto=args[0], ptype="subscribe")
        elif verb == "presence":
            x.send_presence(ppriority=args[0])
        elif verb == "ping":
            try:
                await x["xep_0199"].ping(args[0], timeout=20)
                say("pong", **{"from": args[0]})
            except Exception as e:
                say("error", **{"from": args[0], "condition": repr(e)})
        elif verb == "roster":
            r = await x.get_roster()
            items = {str(i["jid"]): i["subscription"] for i in r["roster"]}
            say("roster", items=items)
        elif verb == "drop":
            x.abort()
        elif verb == "quit":
            break
    x.coming_back = False
    gone = asyncio.get_running_loop().create_future()
    x.add_event_handler("disconnected", lambda _: gone.done() or gone.set_result(None))
    x.disconnect()
    await asyncio.wait([gone], timeout=10)


def client(o, addresses):
    keep_unacked()
    x = slixmpp.ClientXMPP(o.jid, o.password, sasl_mech=o.mechanism)
    x.ca_certs = o.ca
    x.auto_subscribe = x.auto_authorize = True
    x.register_plugin("xep_0198", {"allow_resume": not o.no_resume})
    x.register_plugin("xep_0199")
    x.register_plugin("xep_0203")

    async def started(_):
        await x.get_roster()
        x.send_presence()
        say("connected", jid=x.boundjid.full, mechanism=x["feature_mechanisms"].mech.name, address=addresses.text())

    x.add_event_handler("session_start", started)
    x.add_event_handler("session_resumed", lambda _: say("resumed", jid=x.boundjid.full, address=addresses.text()))
    return x


def component(o):
    x = slixmpp.ComponentXMPP(o.jid, o.password, o.host, o.port)
    x.ca_certs = o.ca
    x.register_plugin("xep_0199")
    x.add_event_handler("session_start", lambda _: say("connected", jid=o.jid, mechanism="handshake"))
    return x


def main():
    o = options()
    asyncio.set_event_loop(asyncio.new_event_loop())
    addresses = Addresses(o)
    x = component(o) if o.component else client(o, addresses)
    stanza_events(x)
    x.there = False
    for e, there in (("session_start", True), ("session_resumed", True), ("disconnected", False)):
        x.add_event_handler(e, lambda _, there=there: setattr(x, "there", there))
    if o.component:
        x.connect(o.host, o.port, use_ssl=True)
    else:
        x.connect(addresses.now(), use_ssl=o.direct_tls)
    if not o.component:
        asking = x.loop.create_task(ask_for_acks(x))
    x.coming_back = not o.component and bool(o.reconnect or o.other)
    if x.coming_back:
        coming = x.loop.create_task(come_back(x, addresses, o))
    x.loop.run_until_complete(commands(x))


main()
