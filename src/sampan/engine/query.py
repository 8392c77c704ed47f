"""`docker ps` and `docker inspect`: looking at records. Nothing here waits for a container."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sampan.engine import filters as rules
from sampan.engine.filters import Filters
from sampan.engine.records import ContainerRecord, State
from sampan.engine.services import Services
from sampan.errors import InvalidParameter, NotFound, SampanError
from sampan.spec.pattern import Pattern, PatternError
from sampan.store.changes import Change

ACCEPTED = frozenset(
    (
        *(
            "ancestor",
            "before",
            "exited",
            "expose",
            "health",
            "id",
            "isolation",
            "is-task",
            "label",
        ),
        *("name", "network", "publish", "since", "status", "volume"),
    )
)
_HEALTH = frozenset(("none", "starting", "healthy", "unhealthy"))

Test = Callable[[ContainerRecord], bool]


@dataclass(frozen=True, slots=True)
class Sizes:
    writable: int  # bytes that the container itself has written
    root: int  # with the image's


def inspect_container(services: Services, ref: str) -> ContainerRecord:
    """Also one that has just been auto-removed, by id. Raises NotFound, InvalidParameter (ambiguous)."""
    try:
        return services.containers.get(ref)
    except NotFound:
        receipt = services.receipts.find(ref, by_hand=False)
        if receipt is None:
            raise
        return receipt


def list_containers(
    services: Services,
    *,
    everything: bool = False,
    limit: int = 0,
    filters: dict[str, list[str]] | None = None,
) -> list[ContainerRecord]:
    """Newest first. `filters` as decoded from the API ({"status": ["running"]}).

    Raises InvalidParameter ("invalid filter 'x'"), NotFound (before, since)."""
    filters = filters or {}
    rules.check_filters(filters, ACCEPTED)
    tests = _tests(services, filters)
    # As in dockerd: asking for a state or for the last n means all, running or not.
    if not (everything or limit > 0 or filters.get("status")):
        tests.append(lambda record: record.state.alive or record.state is State.RESTARTING)
    found = services.containers.all()
    for test in tests:
        found = [record for record in found if test(record)]
    return found[:limit] if limit > 0 else found


def _tests(services: Services, filters: Filters) -> list[Test]:
    tests: list[Test] = []
    if filters:
        tests += (
            lambda record: rules.labels_hold(filters, "label", record.labels),
            lambda record: rules.prefix(filters, "id", record.id),
            lambda record: _network_matches(filters, record),
            lambda record: _volume_matches(filters, record),
        )
    for wanted, make in (
        ("name", _name_test),
        ("status", _status_test),
        ("exited", _exited_test),
        ("health", _health_test),
    ):
        if filters.get(wanted):
            tests.append(make(filters[wanted]))
    for key in ("before", "since"):
        if filters.get(key):
            tests.append(_age_test(services, key, filters[key][-1]))
    if filters.get("ancestor"):
        tests.append(_ancestor_test(services, filters["ancestor"]))
    if filters.get("expose") or filters.get("publish"):
        exposed, published = (_ports(key, filters.get(key) or []) for key in ("expose", "publish"))
        tests.append(_port_test(exposed, published))
    if rules.boolean(filters, "is-task"):
        tests.append(lambda record: False)
    return tests


def _name_test(wanted: list[str]) -> Test:
    """Regular expressions, on the name with and without its slash; one that is none fits nothing."""
    patterns = []
    for text in wanted:
        try:
            patterns.append(Pattern(text))
        except PatternError:
            continue
    return lambda record: any(
        pattern.found_in(f"/{record.name}") or pattern.found_in(record.name) for pattern in patterns
    )


def _network_matches(filters: Filters, record: ContainerRecord) -> bool:
    wanted = filters.get("network")
    if not wanted:
        return True
    known = {record.host_config.network_mode, *record.endpoints}
    ids = [endpoint.network_id for endpoint in record.endpoints.values()]
    return any(word in known or any(i.startswith(word) for i in ids) for word in wanted)


def _volume_matches(filters: Filters, record: ContainerRecord) -> bool:
    wanted = filters.get("volume")
    if not wanted:
        return True
    known = {text for point in record.mounts for text in (point.name, point.destination) if text}
    return not known.isdisjoint(wanted)


def _status_test(wanted: list[str]) -> Test:
    for word in wanted:
        if word not in State.__members__.values():
            raise InvalidParameter(f"invalid filter 'status={word}'")
    return lambda record: record.state in wanted


def _exited_test(wanted: list[str]) -> Test:
    codes = set()
    for word in wanted:
        try:
            codes.add(int(word))
        except ValueError:
            raise InvalidParameter(f'strconv.Atoi: parsing "{word}": invalid syntax') from None
    return lambda record: (
        record.exit_code in codes and not record.state.alive and record.started_at > 0
    )


def _health_test(wanted: list[str]) -> Test:
    for word in wanted:
        if word not in _HEALTH:
            raise InvalidParameter(f"Unrecognised filter value for health: {word}")
    return lambda record: (record.health.status if record.health else "none") in wanted


def _age_test(services: Services, key: str, ref: str) -> Test:
    try:
        other = services.containers.get(ref)
    except NotFound:
        raise NotFound(f"no such container {ref}") from None
    if key == "before":
        return lambda record: record.created < other.created
    return lambda record: record.created > other.created


def _ancestor_test(services: Services, wanted: list[str]) -> Test:
    """The image itself, or one that stands on its layers."""
    chains: set[str] = set()
    ids: set[str] = set()
    for ref in wanted:
        try:
            image = services.store.images.resolve(ref)
        except SampanError:
            continue
        ids.add(image.id)
        if image.top:
            chains.add(image.top)
    for image in services.store.images.list():
        if not chains.isdisjoint(image.chain):
            ids.add(image.id)
    return lambda record: record.image_id in ids


def _ports(key: str, wanted: list[str]) -> set[str]:
    """`80/tcp` of `80`, `80/udp` or `80-90/tcp`. Raises InvalidParameter."""
    found: set[str] = set()
    for value in wanted:
        if ":" in value:
            raise InvalidParameter(f"filter for '{key}' should not contain ':': {value}")
        numbers, _, protocol = value.partition("/")
        low, _, high = numbers.partition("-")
        first, last = (_port_number(key, value, text) for text in (low, high or low))
        if last < first:
            text = f"error while looking up for {key} {value}: invalid range specified for port"
            raise InvalidParameter(f"{text}: {numbers}")
        found.update(f"{number}/{protocol or 'tcp'}" for number in range(first, last + 1))
    return found


def _port_number(key: str, value: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        problem = "invalid syntax"
    elif len(text) > 5 or int(text) > 65535:
        problem = "value out of range"
    else:
        return int(text)
    raise InvalidParameter(
        f'error while looking up for {key} {value}: strconv.ParseUint: parsing "{text}": {problem}'
    )


def _port_test(exposed: set[str], published: set[str]) -> Test:
    def test(record: ContainerRecord) -> bool:
        bound = set(record.host_config.port_bindings or {})
        open_ports = set(record.config.exposed_ports or {}) | bound
        return (not exposed or not exposed.isdisjoint(open_ports)) and (
            not published or not published.isdisjoint(bound)
        )

    return test


async def container_sizes(services: Services, record: ContainerRecord) -> Sizes:
    """Raises NotFound when it is being removed."""
    usage = await services.store.snapshots.usage(record.id)
    image = services.store.images.get(record.image_id) if record.image_id else None
    return Sizes(usage.size, usage.size + (image.size if image else 0))


async def list_changes(services: Services, ref: str) -> list[Change]:
    """`docker diff`, by path. Raises NotFound."""
    return await services.store.snapshots.changes(services.containers.get(ref).id)
