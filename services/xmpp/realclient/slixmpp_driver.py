"""A client or component of slixmpp, driven by lines on standard input.

Commands are JSON arrays, one a line; events are JSON objects, one a line.
"""
import argparse
import asyncio
import json
import sys

import slixmpp


def say(event, **values):
    print(json.dumps({"event": event, **values}), flush=True)


def options():
    p = argparse.ArgumentParser()
    p.add_argument("--jid", required=True)
    p.add_argument("--host", required=True)
    p.add_argument("--port", type=int, required=True)
    p.add_argument("--ca", required=True)
    p.add_argument("--direct-tls", action="store_true")
    p.add_argument("--mechanism")
    p.add_argument("--component", action="store_true")
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
        if x["xep_0198"].unacked_queue:
            x["xep_0198"].request_ack()


async def commands(x):
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        verb, *args = json.loads(line)
        if verb == "send":
            m = x.make_message(mto=args[0], mbody=args[1], mtype="chat")
            m["id"] = args[2]
            if x.is_component:
                m["from"] = x.boundjid
            m.send()
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
        elif verb == "quit":
            break
    gone = asyncio.get_running_loop().create_future()
    x.add_event_handler("disconnected", lambda _: gone.done() or gone.set_result(None))
    x.disconnect()
    await asyncio.wait([gone], timeout=10)


def client(o):
    x = slixmpp.ClientXMPP(o.jid, o.password, sasl_mech=o.mechanism)
    x.ca_certs = o.ca
    x.auto_subscribe = x.auto_authorize = True
    for plugin in ("xep_0198", "xep_0199", "xep_0203"):
        x.register_plugin(plugin)

    async def started(_):
        await x.get_roster()
        x.send_presence()
        say("connected", jid=x.boundjid.full, mechanism=x["feature_mechanisms"].mech.name)

    x.add_event_handler("session_start", started)
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
    x = component(o) if o.component else client(o)
    stanza_events(x)
    if o.component:
        x.connect(o.host, o.port, use_ssl=True)
    else:
        x.connect((o.host, o.port), use_ssl=o.direct_tls)
    if not o.component:
        asking = x.loop.create_task(ask_for_acks(x))
    x.loop.run_until_complete(commands(x))


main()
