"""The user's `config.json` (detach keys, formats, proxies), read when something is asked of it."""

from __future__ import annotations

import os

from sampan.cli import jsontext, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Config:
    """`directory` is that of `--config`; the file may be missing."""

    def __init__(self, directory: str) -> None:
        self.path = os.path.join(directory, "config.json")
        self._content: dict[str, Any] | None = None

    def text(self, key: str) -> str:
        value = self._load().get(key)
        return value if isinstance(value, str) else ""

    def auth(self, server: str) -> dict[str, str]:
        """The entry of `auths` for a registry, or nothing."""
        entry = (self._load().get("auths") or {}).get(server)
        return entry if isinstance(entry, dict) else {}

    def proxies(self, host: str) -> dict[str, str]:
        """Environment for new containers: `proxies` of this host, else `proxies.default`."""
        proxies = self._load().get("proxies") or {}
        chosen = proxies.get(host) or proxies.get("default") or {}
        found: dict[str, str] = {}
        for key in ("httpProxy", "httpsProxy", "ftpProxy", "noProxy", "allProxy"):
            if value := chosen.get(key):
                name = key.removesuffix("Proxy").upper() + "_PROXY"
                found[name] = value
                found[name.lower()] = value
        return found

    def _load(self) -> dict[str, Any]:
        if self._content is None:
            self._content = self._read()
        return self._content

    def _read(self) -> dict[str, Any]:
        try:
            with open(self.path, "rb") as file:
                content = jsontext.loads(file.read())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError) as error:
            output.error(f"WARNING: Error parsing config file ({self.path}): {error}\n")
            return {}
        return content if isinstance(content, dict) else {}


def default_directory() -> str:
    """DOCKER_CONFIG, else `~/.docker`: the same file serves both commands."""
    return os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
