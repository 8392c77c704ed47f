"""The host's packet filters as nft lists them, and what they say to a first packet. Pure.

Rules of iptables (of the kind that is nftables below) are in the listing too. What a rule asks that is not known
here (marks, limits, sources, extensions) makes its verdict one that may come: the answer is "depends" then, never a
guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}]|!=|==|[^\s{},;"]+|,')
PRIORITIES = {
    "raw": -300,
    "mangle": -150,
    "dstnat": -100,
    "filter": 0,
    "security": 50,
    "srcnat": 100,
}
STOPS, PASSES = ("drop", "reject"), ("accept", "queue")
PLAIN = (*STOPS, *PASSES, "return", "continue")
SELECTORS = (
    ("meta", "iifname"),
    ("meta", "iif"),
    ("meta", "l4proto"),
    ("meta", "nfproto"),
    ("ip", "protocol"),
    ("ip6", "nexthdr"),
    ("ip", "daddr"),
    ("ip6", "daddr"),
    ("tcp", "dport"),
    ("udp", "dport"),
    ("sctp", "dport"),
    ("th", "dport"),
    ("ct", "state"),
    ("ct", "status"),
    ("fib", "daddr", "type"),
    ("iifname",),
    ("iif",),
)
MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Packet:
    """The first of a flow to an address of the host."""

    interface: str
    address: str
    protocol: str
    port: int

    @property
    def version(self) -> int:
        return 6 if ":" in self.address else 4


@dataclass(slots=True)
class Chain:
    family: str
    table: str
    name: str
    kind: str = ""
    hook: str = ""
    priority: int = 0
    policy: str = "accept"
    rules: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Ruleset:
    """Chains and the elements of sets and maps, by family, table and name."""

    chains: dict[tuple[str, str, str], Chain] = field(default_factory=dict)
    elements: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)

    def bases(self, hook: str, version: int) -> list[Chain]:
        """Of filters at a hook of IP packets, in the kernel's order."""
        families = ("inet", "ip6" if version == 6 else "ip")
        found = [
            chain
            for chain in self.chains.values()
            if chain.hook == hook and chain.kind == "filter" and chain.family in families
        ]
        return sorted(found, key=lambda chain: chain.priority)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`passes` None: it depends on what is not known. `rule`: which one decides, "" for none."""

    passes: bool | None
    rule: str = ""


def parse(listing: str) -> Ruleset:
    """From `list ruleset`."""
    found = Ruleset()
    family = table = ""
    chain: Chain | None = None
    elements: list[str] | None = None
    open_elements = False
    for line in map(str.strip, listing.splitlines()):
        words = line.split()
        if open_elements and elements is not None:
            open_elements = not line.endswith("}")
            elements += _split(line.rstrip("}"))
        elif words[:1] == ["table"] and line.endswith("{"):
            family, table = words[1], words[2]
        elif words[:1] == ["chain"] and line.endswith("{"):
            chain = found.chains[family, table, words[1]] = Chain(family, table, words[1])
        elif words[:1] in (["set"], ["map"]) and line.endswith("{"):
            elements = found.elements[family, table, words[1]] = []
        elif elements is not None and line.startswith("elements = {"):
            text = line.removeprefix("elements = {")
            open_elements = not text.endswith("}")
            elements += _split(text.rstrip("}"))
        elif line == "}":
            chain, elements = None, None
        elif chain is not None and line.startswith("type ") and " hook " in line:
            _read_base(chain, line)
        elif chain is not None and line:
            chain.rules.append(line)
    return found


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _read_base(chain: Chain, line: str) -> None:
    """`type filter hook input priority filter + 5; policy drop;`"""
    match = re.match(r"type (\S+) hook (\S+) .*?priority ([^;]+);(?: policy (\w+);)?", line)
    if match is None:
        return
    chain.kind, chain.hook, chain.policy = match[1], match[2], match[4] or "accept"
    name, _, offset = match[3].replace(" ", "").replace("-", "+-").lstrip("+").partition("+")
    base = PRIORITIES.get(name)
    number = name if base is None else offset or "0"
    chain.priority = (base or 0) + (int(number) if number.lstrip("-").isdigit() else 0)


def judge(rules: Ruleset, hooks: Sequence[str], packet: Packet, *, but: Sequence[str]) -> Verdict:
    """What all filters at these hooks say together; tables named in `but` are passed over.

    A drop anywhere is final. Of several that let it pass the last with a rule about it is named."""
    last, doubt = Verdict(True), None
    for hook in hooks:
        for chain in rules.bases(hook, packet.version):
            if chain.table in but:
                continue
            verdict = _in_base(rules, chain, packet)
            if verdict.passes is False:
                return verdict
            if verdict.passes is None:
                doubt = doubt or verdict
            elif verdict.rule:
                last = verdict
    return doubt or last


def _in_base(rules: Ruleset, chain: Chain, packet: Packet) -> Verdict:
    maybe: list[Verdict] = []
    found = _in_chain(rules, chain, packet, maybe, 0)
    if found is None:
        name = f"{chain.family} {chain.table} {chain.name}"
        dropped = chain.policy == "drop"
        found = Verdict(not dropped, f"{name}: policy drop" if dropped else "")
    other = next((each for each in maybe if each.passes is not found.passes), None)
    return Verdict(None, other.rule) if other is not None else found


def _in_chain(
    rules: Ruleset, chain: Chain, packet: Packet, maybe: list[Verdict], depth: int
) -> Verdict | None:
    """None: it comes out at the end, or returns."""
    for rule in chain.rules:
        for matches, words in _verdicts(rules, chain, rule, packet):
            if matches is False:
                continue
            where = f"{chain.family} {chain.table} {chain.name}: {_plain(rule)}"
            if words[0] in ("jump", "goto"):
                target = rules.chains.get((chain.family, chain.table, words[1]))
                if target is None or depth >= MAX_DEPTH:
                    continue
                inner = maybe if matches else []
                found = _in_chain(rules, target, packet, inner, depth + 1)
                if not matches:
                    maybe += [*inner, *([found] if found is not None else [])]
                    continue
                if found is not None or words[0] == "goto":
                    return found
                continue
            if words[0] in ("return", "continue"):
                if words[0] == "return":
                    if matches:
                        return None
                    maybe.append(Verdict(None, where))
                continue
            verdict = Verdict(words[0] in PASSES, where)
            if matches:
                return verdict
            maybe.append(verdict)
    return None


def _plain(rule: str) -> str:
    return re.sub(r" ?counter packets \d+ bytes \d+", "", rule).strip()


def _verdicts(
    rules: Ruleset, chain: Chain, rule: str, packet: Packet
) -> Iterator[tuple[bool | None, list[str]]]:
    """Each verdict that the rule may give, and whether it is this packet's."""
    tokens = TOKEN.findall(rule)
    matches: bool | None = True
    at = 0
    while at < len(tokens):
        word = tokens[at]
        if word in PLAIN:
            yield matches, [word]
            return
        if word in ("jump", "goto"):
            yield matches, tokens[at : at + 2]
            return
        if word == "counter":
            at += 5 if tokens[at + 1 : at + 2] == ["packets"] else 1
        elif word in ("log", "comment"):
            at = _after_statement(tokens, at + 1)
        elif word == "{":
            at = _closing(tokens, at)
        else:
            selector = next((s for s in SELECTORS if tuple(tokens[at : at + len(s)]) == s), None)
            if selector is None:
                matches = None if matches is not False else False
                at += 1
                continue
            at += len(selector)
            said, at, mapped = _condition(rules, chain, selector, tokens, at, packet)
            matches = (
                False if False in (matches, said) else None if None in (matches, said) else True
            )
            for verdict in mapped:
                yield matches, verdict


def _after_statement(tokens: list[str], at: int) -> int:
    while at < len(tokens) and tokens[at] not in (*PLAIN, "jump", "goto"):
        at += 1
    return at


def _closing(tokens: list[str], at: int) -> int:
    return tokens.index("}", at) + 1 if "}" in tokens[at:] else len(tokens)


def _condition(
    rules: Ruleset,
    chain: Chain,
    selector: tuple[str, ...],
    tokens: list[str],
    at: int,
    packet: Packet,
) -> tuple[bool | None, int, list[list[str]]]:
    """Whether it holds, where what follows it begins, and the verdicts of a verdict map."""
    negated = tokens[at : at + 1] == ["!="]
    at += tokens[at : at + 1] in (["!="], ["=="])
    if tokens[at : at + 1] == ["vmap"]:
        return _mapped(rules, chain, selector, tokens, at + 1, packet)
    if tokens[at : at + 1] == ["{"]:
        end = _closing(tokens, at)
        values = [word for word in tokens[at + 1 : end - 1] if word != ","]
        at = end
    elif tokens[at : at + 1] and tokens[at].startswith("@"):
        values = rules.elements.get((chain.family, chain.table, tokens[at][1:]), [])
        at += 1
    else:
        values = tokens[at : at + 1]
        at += 1
        while tokens[at : at + 1] == [","]:  # ct state related,established
            values += tokens[at + 1 : at + 2]
            at += 2
    holds = _holds(selector, values, packet)
    return (not holds if negated and holds is not None else holds), at, []


def _mapped(
    rules: Ruleset,
    chain: Chain,
    selector: tuple[str, ...],
    tokens: list[str],
    at: int,
    packet: Packet,
) -> tuple[bool | None, int, list[list[str]]]:
    if tokens[at : at + 1] == ["{"]:
        end = _closing(tokens, at)
        pairs = " ".join(tokens[at + 1 : end - 1]).split(",")
        at = end
    else:
        pairs = rules.elements.get((chain.family, chain.table, tokens[at][1:]), [])
        at += 1
    found = []
    for pair in pairs:
        key, _, verdict = pair.partition(" : ")
        if _holds(selector, [key.strip()], packet):
            found.append(verdict.split())
    return (bool(found)), at, found


def _holds(selector: tuple[str, ...], values: Sequence[str], packet: Packet) -> bool | None:
    values = [value.strip('"') for value in values]
    last = selector[-1]
    if last in ("iifname", "iif"):
        return any(
            packet.interface.startswith(value[:-1])
            if value.endswith("*")
            else value == packet.interface
            for value in values
        )
    if last == "dport":
        return selector[0] in ("th", packet.protocol) and any(
            _in_range(packet.port, value) for value in values
        )
    if last in ("l4proto", "protocol", "nexthdr"):
        return packet.protocol in values
    if last == "nfproto":
        return f"ipv{packet.version}" in values
    if last == "daddr":
        return selector[0] == ("ip6" if packet.version == 6 else "ip") and any(
            _has_address(value, packet.address) for value in values
        )
    if last == "state":
        return "new" in values
    if last == "status":
        return None if "dnat" in values else False
    return "local" in values  # fib daddr type


def _in_range(port: int, text: str) -> bool:
    first, _, last = text.partition("-")
    if not first.isdigit() or not (last or first).isdigit():
        return False
    return int(first) <= port <= int(last or first)


def _has_address(text: str, address: str) -> bool:
    first, dash, last = text.partition("-")
    try:
        if dash:
            return int(ip_address(first)) <= int(ip_address(address)) <= int(ip_address(last))
        return ip_address(address) in ip_network(text, strict=False)
    except ValueError:
        return False


def ports_in(rules: Ruleset) -> set[int]:
    """Where what is said of ports may change: the first of each number and range, and the one behind it."""
    found: set[int] = set()
    for chain in rules.chains.values():
        for rule in chain.rules:
            for first, last in re.findall(r"\b(\d{1,5})(?:-(\d{1,5}))?\b", rule):
                found |= {int(first), int(last or first) + 1}
    for values in rules.elements.values():
        for first, last in re.findall(r"\b(\d{1,5})(?:-(\d{1,5}))?\b", " ".join(values)):
            found |= {int(first), int(last or first) + 1}
    return found
