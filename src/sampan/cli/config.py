"""The user's `config.json` (detach keys, formats, proxies, passwords), read when something is asked of it."""

from __future__ import annotations

import os

from sampan.cli import output
from sampan.cli.failure import Failure
from sampan.spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Config:
    """`directory` is that of `--config`; the file may be missing."""

    def __init__(self, directory: str) -> None:
        self.path = os.path.join(directory, "config.json")
        self._content: dict[str, Any] | None = None
        self._broken = ""

    def text(self, key: str) -> str:
        value = self._load().get(key)
        return value if isinstance(value, str) else ""

    def texts(self, key: str) -> list[str]:
        value = self._load().get(key)
        return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

    def table(self, key: str) -> dict[str, Any]:
        """An object of the file; empty when it is missing."""
        value = self._load().get(key)
        return value if isinstance(value, dict) else {}

    def auths(self) -> dict[str, Any]:
        """Entries by registry."""
        return self.table("auths")

    def has_passwords(self) -> bool:
        """Whether the file says anything about where passwords are."""
        return any(self._load().get(key) for key in ("credsStore", "credHelpers", "auths"))

    def set_auth(self, server: str, entry: dict[str, str]) -> bool:
        """Write an entry of `auths`; whether that changed anything. Raises Failure."""
        auths = self.auths()
        if auths.get(server) == entry:
            return False
        self._save({**self._load(), "auths": dict(sorted({**auths, server: entry}.items()))})
        return True

    def remove_auth(self, server: str) -> None:
        """Raises Failure."""
        auths = self.auths()
        if server in auths:
            rest = {key: entry for key, entry in auths.items() if key != server}
            self._save({**self._load(), "auths": rest})

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
            self._broken = str(error)
            return {}
        return content if isinstance(content, dict) else {}

    def _save(self, content: dict[str, Any]) -> None:
        """Replace the file, or what a link of its name leads to, as a whole. Raises Failure."""
        if self._broken:
            raise Failure(f"error saving credentials: {self.path} is broken: {self._broken}")
        path = os.path.realpath(self.path)
        temporary = f"{path}{os.getpid()}"
        try:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o600)
            try:
                _keep_owner(descriptor, path)
                text = jsontext.indent(jsontext.dumps(content), "\t")
                output.write_all(descriptor, output.encode(text))
                os.fsync(descriptor)
                os.rename(temporary, path)
            except BaseException:
                os.unlink(temporary)
                raise
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Failure(f"error saving credentials: {error.filename}: {error.strerror}") from None
        self._content = content


def default_directory() -> str:
    """DOCKER_CONFIG, else `~/.docker`: the same file serves both commands."""
    return os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")


def _keep_owner(descriptor: int, path: str) -> None:
    """The new file belongs to whom the old one did, and is no more open than that."""
    try:
        before = os.stat(path)
    except FileNotFoundError:
        return
    os.fchmod(descriptor, before.st_mode & 0o777)
    os.fchown(descriptor, before.st_uid, before.st_gid)
