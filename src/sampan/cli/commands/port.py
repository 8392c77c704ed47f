"""`port`"""

from __future__ import annotations

from sampan.cli import output
from sampan.cli.command import App
from sampan.cli.failure import Failure
from sampan.cli.flags import Flag
from sampan.cli.kinds import parse_uint
from sampan.cli.names import container_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS: tuple[Flag, ...] = ()


def run(app: App, values: Values, arguments: list[str]) -> int:
    name = arguments[0]
    ports = app.client.get(container_path(name, "/json"))["NetworkSettings"].get("Ports") or {}
    if len(arguments) == 1:
        lines = [
            f"{port} -> {_address(binding)}" for port in ports for binding in ports[port] or []
        ]
        lines.sort(key=_order)
    else:
        lines = [_address(binding) for binding in _published(ports, arguments[1], name)]
        lines.sort()
    output.out("".join(f"{line}\n" for line in lines))
    return 0


def _published(
    ports: dict[str, list[dict[str, str]]], wanted: str, name: str
) -> list[dict[str, str]]:
    number, _, protocol = wanted.partition("/")
    try:
        parse_uint(number, 16, 10)
    except ValueError as error:
        raise Failure(f"Error: invalid port ({number}): {error}") from None
    bindings = ports.get(f"{number}/{protocol or 'tcp'}")
    if not bindings:
        raise Failure(f"Error: No public port '{wanted}' published for {name}")
    return bindings


def _address(binding: dict[str, str]) -> str:
    host = binding["HostIp"]
    return f"[{host}]:{binding['HostPort']}" if ":" in host else f"{host}:{binding['HostPort']}"


def _order(line: str) -> tuple[int, str]:
    """By the container's port as a number, then by the line."""
    number = line.partition("/")[0]
    return int(number) if number.isdigit() else 0, line
