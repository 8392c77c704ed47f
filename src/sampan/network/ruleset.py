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
LONGEST = 4  # words of a selector
EXTRAS = re.compile(r" (?:timeout|expires|counter|comment|limit) .*?(?= : |$)")
Selector = tuple[str, ...]


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
    """Elements, without how long each stays and what is counted at it."""
    parts = (EXTRAS.sub("", part).strip() for part in text.split(","))
    return [part for part in parts if part]


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
            selectors, behind = _selectors(tokens, at)
            if not selectors:
                matches = None if matches is not False else False
                at += 1
                continue
            said, at, mapped = _condition(rules, chain, selectors, tokens, behind, packet)
            for holds, verdict in mapped:
                yield _both(matches, holds), verdict
            matches = _both(matches, said)


def _both(one: bool | None, other: bool | None) -> bool | None:
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def _selectors(tokens: list[str], at: int) -> tuple[list[Selector | None], int]:
    """What is compared, several in a concatenation (`ip daddr . tcp dport`), None for one that is not known here;
    and where the comparison goes on. Empty when nothing is known."""
    found: list[Selector | None] = []
    while True:
        known = next((s for s in SELECTORS if tuple(tokens[at : at + len(s)]) == s), None)
        end = at + len(known) if known else _behind_unknown(tokens, at)
        joined = tokens[end : end + 1] == ["."]
        if known is None and not joined and not found:
            return [], at
        found.append(known)
        if not joined:
            return found, end
        at = end + 1


def _behind_unknown(tokens: list[str], at: int) -> int:
    """At the dot, or where the values begin."""
    for end in range(at, min(at + LONGEST, len(tokens))):
        if tokens[end] in (".", "{", "!=", "==", "vmap") or tokens[end].startswith("@"):
            return end
    return at


def _after_statement(tokens: list[str], at: int) -> int:
    while at < len(tokens) and tokens[at] not in (*PLAIN, "jump", "goto"):
        at += 1
    return at


def _closing(tokens: list[str], at: int) -> int:
    return tokens.index("}", at) + 1 if "}" in tokens[at:] else len(tokens)


def _condition(
    rules: Ruleset,
    chain: Chain,
    selectors: list[Selector | None],
    tokens: list[str],
    at: int,
    packet: Packet,
) -> tuple[bool | None, int, list[tuple[bool | None, list[str]]]]:
    """Whether it holds, where what follows it begins, and, of a verdict map, the verdicts that may come."""
    operator = tokens[at] if tokens[at : at + 1] and tokens[at] in ("!=", "==", "vmap") else ""
    values, at = _values(rules, chain, tokens, at + bool(operator))
    if not all(_applies(selector, packet) for selector in selectors):
        return False, at, []
    if operator == "vmap":
        mapped: list[tuple[bool | None, list[str]]] = []
        for key, _, verdict in (value.partition(" : ") for value in values):
            holds = _fits(selectors, key.strip(), packet)
            if holds is not False:
                mapped.append((holds, verdict.split()))
        return bool(mapped), at, mapped
    found = [_fits(selectors, value, packet) for value in values]
    holds = True if True in found else None if None in found else False
    return (not holds if operator == "!=" and holds is not None else holds), at, []


def _values(rules: Ruleset, chain: Chain, tokens: list[str], at: int) -> tuple[list[str], int]:
    """What is compared with: a set in braces, one with a name, or values with commas between them."""
    if tokens[at : at + 1] == ["{"]:
        end = _closing(tokens, at)
        return _split(" ".join(tokens[at + 1 : end - 1])), end
    if tokens[at : at + 1] and tokens[at].startswith("@"):
        return rules.elements.get((chain.family, chain.table, tokens[at][1:]), []), at + 1
    end = at + 1
    while tokens[end : end + 1] and tokens[end] in (",", "."):  # ct state related,established
        end += 2
    return _split(" ".join(tokens[at:end])), end


def _applies(selector: Selector | None, packet: Packet) -> bool:
    """Whether the packet has that at all; if not, no comparison holds, not even with `!=`."""
    if selector is None or selector[0] in ("meta", "th", "ct", "fib", "iifname", "iif"):
        return True
    if selector[0] in ("ip", "ip6"):
        return selector[0] == ("ip6" if packet.version == 6 else "ip")
    return selector[0] == packet.protocol


def _fits(selectors: list[Selector | None], value: str, packet: Packet) -> bool | None:
    parts = value.split(" . ")
    if len(parts) != len(selectors):
        return None
    found: bool | None = True
    for selector, part in zip(selectors, parts, strict=True):
        found = _both(found, None if selector is None else _holds(selector, part, packet))
    return found


def _holds(selector: Selector, value: str, packet: Packet) -> bool | None:
    value = value.strip('"')
    match selector[-1]:
        case "iifname" | "iif":
            if value.endswith("*"):
                return packet.interface.startswith(value[:-1])
            return value == packet.interface
        case "dport":
            return _in_range(packet.port, value)
        case "l4proto" | "protocol" | "nexthdr":
            return value == packet.protocol
        case "nfproto":
            return value == f"ipv{packet.version}"
        case "daddr":
            return _has_address(value, packet.address)
        case "state":
            return value == "new"
        case "status":
            return None if value == "dnat" else False
    return value == "local"  # fib daddr type


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
