"""Where the files of a container are (docs/ARCHITECTURE.md, "On disk")."""

from __future__ import annotations

import os
from typing import NamedTuple


class Paths(NamedTuple):
    data_root: str
    exec_root: str

    @property
    def containers(self) -> str:
        return os.path.join(self.data_root, "containers")

    @property
    def running(self) -> str:
        return os.path.join(self.exec_root, "containers")

    @property
    def network_state(self) -> str:
        """Which interfaces forward because of us: known until the next boot, as the switches are."""
        return os.path.join(self.exec_root, "network.json")

    @property
    def receipts(self) -> str:
        return os.path.join(self.data_root, "receipts")

    @property
    def events(self) -> str:
        return os.path.join(self.data_root, "events")

    @property
    def network_socket(self) -> str:
        """Where the warden of the network listens."""
        return os.path.join(self.exec_root, "network.sock")

    @property
    def init(self) -> str:
        """The first process of `--init`; here because /run is often mounted noexec."""
        return os.path.join(self.data_root, "init")

    def home(self, container_id: str) -> str:
        """What stays: log, hostname, hosts, resolv.conf."""
        return os.path.join(self.containers, container_id)

    def run(self, container_id: str) -> str:
        """What goes with the process: config.json, monitor.json, monitor.sock, exit.json."""
        return os.path.join(self.running, container_id)

    def log(self, container_id: str) -> str:
        return os.path.join(self.home(container_id), f"{container_id}-json.log")

    def socket(self, container_id: str) -> str:
        return os.path.join(self.run(container_id), "monitor.sock")

    def make_roots(self) -> None:
        for path, mode in (
            (self.data_root, 0o710),
            (self.containers, 0o710),
            (self.receipts, 0o710),
            (self.exec_root, 0o711),
            (self.running, 0o700),
        ):
            os.makedirs(path, mode, exist_ok=True)
            os.chmod(path, mode)
