"""What is said over the control socket of wireguard-go: lines of `key=value`. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network

from swarm.agent.tunnel.plan import KEEPALIVE_S, Device, KnownPeer, PeerChange

GET = b"get=1\n\n"
_NO_KEY = bytes(32)


def set_own(private: bytes, port: int) -> bytes:
    """Ask for a private key and a UDP port."""
    return f"set=1\nprivate_key={private.hex()}\nlisten_port={port}\n\n".encode()


def set_peers(changes: Sequence[PeerChange]) -> bytes:
    """Ask for changes of peers."""
    return "".join(f"{line}\n" for line in ("set=1", *_lines(changes), "")).encode()


def parse(reply: str) -> Device:
    """Return what the reply to GET says; raises ValueError for one that is none."""
    device, key, status = Device(), None, -1
    peers: dict[bytes, KnownPeer] = {}
    for line in reply.splitlines():
        name, _, value = line.partition("=")
        match name:
            case "errno":
                status = int(value)
            case "private_key":
                device = replace(device, private=bytes.fromhex(value))
            case "listen_port":
                device = replace(device, port=int(value))
            case "public_key":
                key = bytes.fromhex(value)
                peers[key] = KnownPeer()
            case _ if key is not None:
                peers[key] = _with(peers[key], name, value)
    if status != 0:
        raise ValueError(f"the tunnel answers with error {status}")
    return replace(device, peers=peers)


def refusal(reply: str) -> int:
    """Return the errno of a reply to a request for changes; 0: done."""
    found = [line.partition("=")[2] for line in reply.splitlines() if line.startswith("errno=")]
    return int(found[-1]) if found else 5


def _lines(changes: Sequence[PeerChange]) -> Iterator[str]:
    for change in changes:
        yield f"public_key={change.key.hex()}"
        peer = change.peer
        if peer is None:
            yield "remove=true"
            continue
        if peer.shared:
            yield f"preshared_key={peer.shared.hex()}"
        if change.redirect:
            host = f"[{peer.address}]" if peer.address.version == 6 else str(peer.address)
            yield f"endpoint={host}:{peer.port}"
        yield "replace_allowed_ips=true"
        yield f"allowed_ip={ip_network(peer.address)}"
        yield f"persistent_keepalive_interval={KEEPALIVE_S}"


def _with(peer: KnownPeer, name: str, value: str) -> KnownPeer:
    match name:
        case "preshared_key":
            shared = bytes.fromhex(value)
            return replace(peer, shared=b"" if shared == _NO_KEY else shared)
        case "endpoint":
            host, _, port = value.rpartition(":")
            return replace(peer, endpoint=(ip_address(host.strip("[]")), int(port)))
        case "allowed_ip":
            return replace(peer, allowed=peer.allowed | {ip_network(value).network_address})
        case "persistent_keepalive_interval":
            return replace(peer, keepalive_s=int(value))
        case "last_handshake_time_sec":
            return replace(peer, handshake_s=peer.handshake_s + int(value))
        case "last_handshake_time_nsec":
            return replace(peer, handshake_s=peer.handshake_s + int(value) / 1e9)
        case "rx_bytes":
            return replace(peer, received_bytes=int(value))
        case "tx_bytes":
            return replace(peer, sent_bytes=int(value))
    return peer
