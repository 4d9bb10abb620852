"""Which ports that nodes need does a firewall of this machine close, and what opens them? Pure.

Asked when something does not get through, and before: what it says is advice. A rule that names the port
counts, the first one in its chain; else whether the firewall drops what nobody names.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise

Signs = Mapping[str, Sequence[str]]  # what `look.sh` printed: the values of each key

_DOCKERS = frozenset({"2377/tcp", "4789/udp"})  # in firewalld's service `docker-swarm`
_NFT_TABLE = re.compile(r"table (\w+ \S+) \{")
_NFT_CHAIN = re.compile(r"chain (\S+) \{")
_NFT_HOOK = re.compile(r"type (\w+) hook (\w+) ")
_NFT_PORTS = re.compile(r"\b(tcp|udp|th) dport (\{[^}]*\}|\S+)")
_NFT_CATCH_ALL = re.compile(r"(counter )?(drop|reject.*)")
_UFW_LINE = re.compile(r"(\S+)(?: on \S+)? +(ALLOW|LIMIT|DENY|REJECT)\b(?! OUT)")
_NODES = "  # NODES: their addresses, e.g. 10.0.0.0/24"
_SPECIAL = ("-m u32", "-m policy", "-m string", "-m bpf")  # drops some packets of a port only


@dataclass(frozen=True, slots=True)
class Closed:
    """A port that a firewall of this machine lets nobody reach."""

    port: str  # PORT/PROTOCOL
    firewall: str  # ufw, firewalld, nftables or iptables
    why: str  # for people
    fix: str  # a command; NODES in it stands for who may come

    def __str__(self) -> str:
        """Return a sentence."""
        return f"{self.firewall} on this node closes {self.port} ({self.why}): {self.fix}"


def script(ports: Iterable[str]) -> str:
    """Return a shell script that prints the signs for these ports (PORT/PROTOCOL), as root."""
    text = resources.files("swarm.firewalls").joinpath("look.sh").read_text()
    return f"ports='{' '.join(ports)}'\n{text}"


def read_signs(text: str) -> dict[str, list[str]]:
    """Return the values of each key in the lines KEY=VALUE of a text."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found.setdefault(key, []).append(value.strip())
    return found


def closed(signs: Signs, ports: Iterable[str]) -> tuple[Closed, ...]:
    """Return those of the ports that are closed here, each with the firewall that is to be asked first."""
    return tuple(found for port in ports if (found := _closed(signs, port)))


def _closed(signs: Signs, port: str) -> Closed | None:
    ufw = "Status: active" in signs.get("ufw", ())
    if ufw and _ufw_closes(signs["ufw"], port):
        return Closed(port, "ufw", "no rule of it allows the port", _ufw_fix(port))
    if _firewalld_closes(signs, port):
        return Closed(
            port, "firewalld", f"zone {signs['firewalld'][0]} does not have it", _firewalld_fix(port)
        )
    number, protocol = port.split("/")
    # Managers know who comes to their port, by TLS. Packets of networks are believed.
    believed = protocol == "udp"
    for (table, chain), rules in _nft_chains(signs.get("nft", ())).items():
        if why := _verdict(rules, int(number), protocol):
            source = "ip saddr NODES " if believed else ""
            fix = f"nft insert rule {table} {chain} {source}{protocol} dport {number} accept"
            fix += _NODES if believed else ""
            return Closed(port, "nftables", f"table {table}, chain {chain}: {why}", fix)
    for chain, rules in () if ufw else _iptables_chains(signs.get("iptables", ())).items():
        if why := _verdict(rules, int(number), protocol):
            source = " -s NODES" if believed else ""
            fix = f"iptables -I {chain} -p {protocol}{source} --dport {number} -j ACCEPT"
            fix += _NODES if believed else ""
            return Closed(port, "iptables", f"chain {chain}: {why}", fix)
    return None


def _ufw_fix(port: str) -> str:
    number, protocol = port.split("/")
    if protocol == "tcp":
        return f"ufw allow {port}"
    return f"ufw allow proto {protocol} from NODES to any port {number}{_NODES}"


def _firewalld_fix(port: str) -> str:
    number, protocol = port.split("/")
    add = f"--add-port={port}"
    if protocol == "udp":
        rule = f"rule family=ipv4 source address=NODES port port={number} protocol={protocol} accept"
        add = f"--add-rich-rule='{rule}'"
    return f"firewall-cmd --permanent {add} && firewall-cmd --reload{_NODES if protocol == 'udp' else ''}"


@dataclass(frozen=True, slots=True)
class _Rule:
    text: str
    accepts: bool
    protocol: str = ""  # of the ports; empty: any
    ports: tuple[tuple[int, int], ...] = ()  # from, to; none: whatever is not named


def _verdict(rules: Iterable[_Rule], number: int, protocol: str) -> str:
    """Return the rule of a chain that closes a port; empty when none does."""
    for rule in rules:
        named = any(first <= number <= last for first, last in rule.ports)
        if not rule.ports or (named and rule.protocol in ("", protocol)):
            return "" if rule.accepts else rule.text
    return ""


def _ufw_closes(lines: Sequence[str], port: str) -> bool:
    number, protocol = port.split("/")
    for line in lines:
        found = _UFW_LINE.match(line)
        if found is None:
            continue
        to, _, over = found[1].partition("/")
        if over not in ("", protocol):
            continue
        if to == "Anywhere" or any(first <= int(number) <= last for first, last in _ranges(to, ":")):
            return found[2] in ("DENY", "REJECT")
    default = next((line for line in lines if line.startswith("Default:")), "")
    return "deny (incoming)" in default or "reject (incoming)" in default


def _firewalld_closes(signs: Signs, port: str) -> bool:
    if "firewalld" not in signs or signs["firewalld"][0] == "trusted":
        return False
    opened = signs.get("firewalld_open", ())
    if port in opened or "sources" in opened or (port in _DOCKERS and "docker-swarm" in opened):
        return False
    number, protocol = port.split("/")
    wanted = f'port port="{number}" protocol="{protocol}"'
    return not any(wanted in rule and "accept" in rule for rule in signs.get("firewalld_rule", ()))


def _nft_chains(lines: Iterable[str]) -> Mapping[tuple[str, str], list[_Rule]]:
    """Return what decides in each chain whether packets to the node itself may pass."""
    chains: dict[tuple[str, str], list[_Rule]] = {}
    table = chain = hook = policy = ""
    for line in lines:
        if found := _NFT_TABLE.match(line):
            table, chain = found[1], ""
        elif found := _NFT_CHAIN.match(line):
            chain, hook, policy = "" if _is_others(table) else found[1], "", ""
        elif line == "}":
            if chain and policy:
                chains.setdefault((table, chain), []).append(_Rule(policy, accepts=False))
            chain = ""
        elif found := _NFT_HOOK.match(line):
            hook = found[2]
            policy = "policy drop" if hook == "input" and "policy drop" in line else ""
            if found[1] != "filter" or hook == "forward":
                chain = ""
        elif chain and (rule := _nft_rule(line)) and (rule.ports or hook == "input"):
            chains.setdefault((table, chain), []).append(rule)
    return _without_opened_elsewhere(chains)


def _without_opened_elsewhere(
    chains: Mapping[tuple[str, str], list[_Rule]],
) -> Mapping[tuple[str, str], list[_Rule]]:
    """Let what another chain of the same table accepts by name come before what closes all the rest."""
    result = {}
    for (table, chain), rules in chains.items():
        accepted = [
            rule
            for (its, other), theirs in chains.items()
            if its == table and other != chain
            for rule in theirs
            if rule.accepts and rule.ports
        ]
        named = [rule for rule in rules if rule.ports]
        result[table, chain] = [*named, *accepted, *(rule for rule in rules if not rule.ports)]
    return result


def _is_others(table: str) -> bool:
    """Whether a table is seen otherwise: iptables' and firewalld's; ours close nothing."""
    family, _, name = table.partition(" ")
    return name.startswith(("firewalld", "swarm")) or (family in ("ip", "ip6") and name == "filter")


def _nft_rule(line: str) -> _Rule | None:
    accepts = line.endswith(" accept") or line == "accept"
    if _NFT_CATCH_ALL.fullmatch(line):
        return _Rule(line, accepts=False)
    if not accepts and " drop" not in line and " reject" not in line:
        return None
    found = _NFT_PORTS.search(line)
    if found is None:
        return _Rule(line, accepts=True) if line == "accept" else None
    protocol = "" if found[1] == "th" else found[1]
    ranges = tuple(one for text in found[2].strip("{} ").split(",") for one in _ranges(text, "-"))
    return _Rule(line, accepts, protocol, ranges) if ranges else None


def _iptables_chains(lines: Iterable[str]) -> Mapping[str, list[_Rule]]:
    chains: dict[tuple[str, str], list[_Rule]] = {}
    policy = ""
    for line in lines:
        words = line.split()
        if words[:2] == ["-P", "INPUT"]:
            policy = words[2]
        elif words[:1] == ["-A"] and words[1] != "FORWARD" and (rule := _iptables_rule(line, words)):
            chains.setdefault(("", words[1]), []).append(rule)
    if policy == "DROP":
        chains.setdefault(("", "INPUT"), []).append(_Rule("policy DROP", accepts=False))
    return {chain: rules for (_, chain), rules in _without_opened_elsewhere(chains).items()}


def _iptables_rule(line: str, words: Sequence[str]) -> _Rule | None:
    target = _after(words, "-j")
    if target not in ("ACCEPT", "DROP", "REJECT") or any(one in line for one in _SPECIAL):
        return None
    ports = _after(words, "--dport") or _after(words, "--dports")
    if ports:
        ranges = tuple(one for text in ports.split(",") for one in _ranges(text, ":"))
        return _Rule(line, target == "ACCEPT", _after(words, "-p"), ranges)
    unconditional = words[1] == "INPUT" and words[2] == "-j"
    return _Rule(line, target == "ACCEPT") if unconditional else None


def _after(words: Sequence[str], option: str) -> str:
    return next((after for word, after in pairwise(words) if word == option), "")


def _ranges(text: str, separator: str) -> Iterator[tuple[int, int]]:
    """Yield the numbers that a text like `4789` or `4000-5000` stands for; nothing for other texts."""
    first, _, last = text.strip().partition(separator)
    if first.isdigit() and (last or first).isdigit():
        yield int(first), int(last or first)
