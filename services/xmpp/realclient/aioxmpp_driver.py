"""A client of aioxmpp, driven like slixmpp_driver.py."""
import argparse
import asyncio
import json
import socket
import sys
import time
from datetime import timedelta

import aioopenssl
import aiosasl
import aioxmpp
import aioxmpp.connector
import aioxmpp.security_layer
import OpenSSL.SSL


def say(event, **values):
    print(json.dumps({"event": event, "at": time.time_ns(), **values}), flush=True)


def options():
    p = argparse.ArgumentParser()
    p.add_argument("--jid", required=True)
    p.add_argument("--host", required=True)
    p.add_argument("--port", type=int, required=True)
    p.add_argument("--ca", required=True)
    p.add_argument("--direct-tls", action="store_true")
    p.add_argument("--other", action="append", default=[])
    p.add_argument("--reconnect", action="store_true")
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
    addresses = [(o.host, o.port)] + [(h.strip("[]"), int(p)) for h, _, p in (a.rpartition(":") for a in o.other)]
    client = aioxmpp.PresenceManagedClient(
        aioxmpp.JID.fromstr(o.jid), security, override_peer=[(h, p, kind()) for h, p in addresses], max_initial_attempts=1,
        negotiation_timeout=timedelta(seconds=8))
    client.backoff_start, client.backoff_cap = timedelta(milliseconds=200), timedelta(seconds=1)
    return client


def take_turns():
    """Each attempt begins with the next address: by itself aioxmpp would ask one for ever that answers with a stream error."""
    connect = aioxmpp.node.connect_xmlstream
    turn = 0

    async def next_first(jid, metadata, override_peer=(), **kwargs):
        nonlocal turn
        if turn:
            await asyncio.sleep(0.1)
        at = turn % len(override_peer)
        turn += 1
        return await connect(jid, metadata, override_peer=list(override_peer[at:]) + list(override_peer[:at]), **kwargs)

    aioxmpp.node.connect_xmlstream = next_first


def write_after_loss():
    """What is written between the loss of a connection and the call that tells of it is dropped, as by asyncio's own transports:
    of an exception there aioxmpp makes the end of the client, instead of resuming its stream."""
    write = aioopenssl.STARTTLSTransport.write

    def unless_closed(self, data):
        if self._state is not aioopenssl._State.CLOSED:
            write(self, data)

    aioopenssl.STARTTLSTransport.write = unless_closed


async def no_connectors(*args, **kwargs):
    """The addresses are all there are: the domain is not in the DNS."""
    return []


def address(client):
    try:
        return "%s:%d" % client.stream._xmlstream.transport.get_extra_info("peername")[:2]
    except Exception:
        return ""


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
    client.on_failure.connect(lambda e: say("failed", reason="auth" if isinstance(e, aiosasl.AuthenticationFailure) else repr(e)))
    client.on_stream_destroyed.connect(lambda *_: say("disconnected"))
    client.on_stream_suspended.connect(lambda *_: say("disconnected"))
    client.on_stream_established.connect(lambda: say("connected", jid=str(client.local_jid), mechanism="", address=address(client)))
    client.on_stream_resumed.connect(lambda: say("resumed", jid=str(client.local_jid), address=address(client)))

    def send(to, body, id):
        m = aioxmpp.Message(type_=aioxmpp.MessageType.CHAT, to=aioxmpp.JID.fromstr(to))
        m.body[None] = body
        m.id_ = id
        try:
            token = client.enqueue(m)
        except ConnectionError as e:
            say("error", **{"from": to, "condition": repr(e)})
            return False
        # Without a session to resume aioxmpp is content with having sent it.
        token.future.add_done_callback(lambda f: say("acked", id=id) if token.state == aioxmpp.stream.StanzaState.ACKED else None)
        return True

    async def steadily(to, prefix, milliseconds):
        n = 0
        try:
            while True:
                if send(to, "%s-%d" % (prefix, n), "%s-%d" % (prefix, n)):
                    n += 1
                await asyncio.sleep(milliseconds / 1000)
        except asyncio.CancelledError:
            say("halted", id=prefix, count=n)

    steady = {}
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    client.presence = aioxmpp.PresenceState(True)
    while line := await reader.readline():
        verb, *args = json.loads(line)
        if verb == "send":
            send(*args)
        elif verb == "steady":
            steady[args[1]] = asyncio.ensure_future(steadily(args[0], args[1], int(args[2])))
        elif verb == "halt":
            steady.pop(args[0]).cancel()
        elif verb == "subscribe":
            roster.subscribe(aioxmpp.JID.fromstr(args[0]))
        elif verb == "ping":
            await aioxmpp.ping.ping(client, aioxmpp.JID.fromstr(args[0]))
            say("pong", **{"from": args[0]})
        elif verb == "roster":
            say("roster", items={str(j): i.subscription for j, i in roster.items.items()})
        elif verb == "drop":
            client.stream._xmlstream.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        elif verb == "quit":
            break
    client.stop()
    while client.running:
        await asyncio.sleep(0.02)


def main():
    o = options()
    aioxmpp.node.discover_connectors = no_connectors
    take_turns()
    write_after_loss()
    asyncio.run(run(o))


main()
