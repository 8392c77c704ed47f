"""What the engine asks of monitors and networks, and nothing more.

`monitor/client.py` (through `monitors.py`) and `network/networks.py` do it; tests have fakes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any, Protocol

from sampan.monitor.messages import Arguments, AttachOptions, ExecOptions, WaitOptions
from sampan.network.config import BridgeConfig, ParentConfig
from sampan.network.endpoint import Endpoint
from sampan.network.exposure import Exposure
from sampan.network.naming import Naming
from sampan.network.overlay import Overlay, OverlayWish
from sampan.network.warden.holds import Held, Wanted

Message = dict[str, Any]


class Monitor(Protocol):
    """One container's monitor. At EOF `on_lost` is called, and what waits raises.

    Failures of the container raise `runtime.failure.RuntimeFailure`, those of the monitor SampanError;
    everything has a deadline.
    """

    on_event: Callable[[Message], None]
    on_lost: Callable[[], None]

    async def created(self) -> Message:
        """{pid, start_time, warnings}: init has done everything and waits."""
        ...

    async def start(self) -> Message:
        """{started_at}: the command runs."""
        ...

    async def attach(self, options: AttachOptions, client_fd: int) -> None:
        """`client_fd` stays the caller's."""
        ...

    async def wait(self, options: WaitOptions, client_fd: int) -> None:
        """As `attach`, for a client of `wait` whom the daemon answers if it can."""
        ...

    async def expect_exec(self) -> None:
        """An exec is likely to follow soon."""
        ...

    async def exec(self, options: ExecOptions, client_fd: int | None) -> Message:
        """{pid}. `client_fd` stays the caller's."""
        ...

    async def kill(self, signal: int, *, exec_id: str = "", all: bool = False) -> None:
        """`all`: of an exec, what it has started too; else the whole container."""
        ...

    async def pause(self) -> None: ...
    async def resume(self) -> None: ...
    async def resize(self, rows: int, columns: int, *, exec_id: str = "") -> None: ...
    async def update(self, resources: Message) -> list[str]:
        """OCI's `linux.resources`; what it says nothing about stays. Returns warnings."""
        ...

    async def state(self) -> Message: ...
    async def delete(self) -> None:
        """After the exit: the monitor removes its socket and ends."""
        ...

    async def abort(self) -> None:
        """Before `start`: everything is undone. Returns when it is."""
        ...

    def close(self) -> None:
        """Let go of it; it goes on."""
        ...


class Monitors(Protocol):
    async def launch(self, arguments: Arguments, fds: Sequence[int]) -> Monitor:
        """Fork a monitor, which begins to create the container. `fds` stay the caller's."""
        ...

    async def connect(self, socket_path: str) -> Monitor: ...


class Bridge(Protocol):
    """A network that containers are plugged into."""

    network_id: str

    @property
    def name(self) -> str: ...
    @property
    def gateway(self) -> object:
        """The address that containers route through."""
        ...

    @property
    def subnet(self) -> object: ...
    @property
    def gateway6(self) -> object: ...
    @property
    def subnet6(self) -> object: ...

    async def create_namespace(self) -> int: ...
    async def plug(
        self,
        container_id: str,
        netns_fd: int,
        *,
        mac: str = "",
        address: str = "",
        address6: str = "",
        inside_name: str = "eth0",
        default_route: bool = True,
        up: bool = True,
    ) -> Endpoint: ...
    async def bring_up(self, endpoint: Endpoint) -> None: ...
    async def release(self, endpoint: Endpoint) -> None: ...
    async def unplug(self, endpoint: Endpoint, netns_fd: int | None = None) -> None: ...
    def restore(self, endpoint: Endpoint) -> None: ...


class Networks(Protocol):
    on_refused: Callable[[str, dict[str, str]], None]
    """Called with a container's id and what its egress policy did not allow."""

    @property
    def default(self) -> Bridge | None: ...
    async def create_namespace(self) -> int: ...
    async def prepare_namespace(self, netns_fd: int) -> None: ...
    async def set_inside(
        self,
        netns_fd: int,
        settings: Sequence[tuple[tuple[str, ...], str]],
        more: Sequence[tuple[str, IPv4Interface | IPv6Interface]] = (),
    ) -> None:
        """Kernel settings below /proc/sys of a namespace: the parts of a name, and its value; and more addresses of
        its interfaces, by their names."""
        ...

    def bridge(self, network_id: str) -> Bridge | None: ...
    async def add_bridge(self, config: BridgeConfig) -> Bridge: ...
    async def add_parented(self, config: ParentConfig) -> Bridge: ...
    async def settle_overlay(self, wish: OverlayWish, known: str = "") -> tuple[Overlay, int]:
        """The overlay and its MTU; `known`: this host's address, as far as it still is."""
        ...

    async def remove_bridge(self, network_id: str) -> None: ...
    def spare(self, network_id: str, link: str) -> None:
        """`reconcile` leaves it, and what belongs to it, as they are."""
        ...

    async def set_default_route(self, netns_fd: int, gateways: Sequence[str]) -> None:
        """None: there is none any more."""
        ...

    async def reserve_ports(self, owner: str, wishes: Sequence[Wanted]) -> list[Held]:
        """Raises `warden.holds.Refused`."""
        ...

    async def open_ports(
        self, owner: str, held: Sequence[Held], addresses: Sequence[str]
    ) -> None: ...
    async def expose(self, held: Sequence[Held]) -> list[list[Exposure]]:
        """Who can reach each of them. Raises SampanError."""
        ...

    async def close_ports(self, owner: str) -> None: ...
    async def restore_ports(
        self, owner: str, held: Sequence[Held], addresses: Sequence[str]
    ) -> None: ...
    async def serve_names(self, owner: str, netns_fd: int, naming: Naming) -> None: ...
    async def forget_names(self, owner: str) -> None: ...
    async def reconcile(
        self, live: Iterable[Endpoint] = (), running: Mapping[str, bool] | None = None
    ) -> list[str]:
        """`running`: containers, and whether each has an egress policy."""
        ...
