"""A client of aioxmpp, driven like slixmpp_driver.py."""
import argparse
import asyncio
import json
import sys

import aioxmpp
import aioxmpp.connector
import aioxmpp.security_layer
import OpenSSL.SSL


def say(event, **values):
    print(json.dumps({"event": event, **values}), flush=True)


def options():
    p = argparse.ArgumentParser()
    p.add_argument("--jid", required=True)
    p.add_argument("--host", required=True)
    p.add_argument("--port", type=int, required=True)
    p.add_argument("--ca", required=True)
    p.add_argument("--direct-tls", action="store_true")
    o = p.parse_args()
    o.password = sys.stdin.readline().rstrip("\n")
    return o


def make_client(o):
    def context():
        c = aioxmpp.security_layer.default_ssl_context()
        c.load_verify_locations(o.ca, None)
        return c

    security = aioxmpp.make_security_layer(o.password)._replace(
        ssl_context_factory=context,
        certificate_verifier_factory=aioxmpp.security_layer.PKIXCertificateVerifier,
    )
    kind = aioxmpp.connector.XMPPOverTLSConnector if o.direct_tls else aioxmpp.connector.STARTTLSConnector
    return aioxmpp.PresenceManagedClient(
        aioxmpp.JID.fromstr(o.jid), security, override_peer=[(o.host, o.port, kind())], max_initial_attempts=1)


async def run(o):
    client = make_client(o)

    def message(m):
        if m.type_ == aioxmpp.MessageType.ERROR:
            say("error", **{"from": str(m.from_), "condition": str(m.error.condition)})
        elif m.body:
            say("message", **{"from": str(m.from_), "body": m.body.any(), "id": m.id_, "delayed": bool(m.xep0203_delay)})

    dispatcher = client.summon(aioxmpp.dispatcher.SimpleMessageDispatcher)
    dispatcher.register_callback(None, None, message)
    presences = client.summon(aioxmpp.PresenceClient)
    presences.on_available.connect(lambda j, p: say("presence", **{"from": str(j), "type": "available"}))
    presences.on_unavailable.connect(lambda j, p: say("presence", **{"from": str(j), "type": "unavailable"}))
    roster = client.summon(aioxmpp.RosterClient)

    def subscribe(p):
        say("presence", **{"from": str(p.from_), "type": "subscribe"})
        roster.approve(p.from_)
        roster.subscribe(p.from_)

    roster.on_subscribe.connect(subscribe)
    client.on_failure.connect(lambda e: say("failed", reason="auth" if isinstance(e, aioxmpp.errors.AuthenticationFailure) else repr(e)))
    client.on_stream_destroyed.connect(lambda *_: say("disconnected"))
    client.on_stream_established.connect(lambda: say("connected", jid=str(client.local_jid), mechanism=""))

    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    client.presence = aioxmpp.PresenceState(True)
    while line := await reader.readline():
        verb, *args = json.loads(line)
        if verb == "send":
            m = aioxmpp.Message(type_=aioxmpp.MessageType.CHAT, to=aioxmpp.JID.fromstr(args[0]))
            m.body[None] = args[1]
            m.id_ = args[2]
            token = client.enqueue(m)
            token.future.add_done_callback(lambda f, i=args[2]: say("acked", id=i) if not f.cancelled() and f.exception() is None else None)
        elif verb == "subscribe":
            roster.subscribe(aioxmpp.JID.fromstr(args[0]))
        elif verb == "ping":
            await aioxmpp.ping.ping(client, aioxmpp.JID.fromstr(args[0]))
            say("pong", **{"from": args[0]})
        elif verb == "roster":
            say("roster", items={str(j): i.subscription for j, i in roster.items.items()})
        elif verb == "quit":
            break
    client.stop()
    while client.running:
        await asyncio.sleep(0.02)


def main():
    o = options()
    asyncio.run(run(o))


main()
