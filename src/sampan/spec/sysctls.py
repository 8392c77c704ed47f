"""Which sysctls a container may set: those that the kernel keeps apart for each namespace."""

from __future__ import annotations

from sampan.errors import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# What docker's client and runc let pass; the daemon knows some that came to IPC namespaces later.
COMMON_IPC = frozenset(
    "kernel." + name
    for name in (
        *("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"),
    )
)
_IPC = COMMON_IPC | {
    "kernel." + name for name in ("auto_msgmni", "msg_next_id", "sem_next_id", "shm_next_id")
}
_UTS = ("kernel.domainname", "kernel.hostname")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@")
_VALUE_LIMIT = 4096


def namespace_of(key: str, ipc: frozenset[str] = COMMON_IPC) -> str | None:
    """The kind of namespace that holds the setting of this dotted name, None for one of the host's."""
    if key in ipc or key.startswith("fs.mqueue."):
        return "ipc"
    if key.startswith("net."):
        return "network"
    return "uts" if key in _UTS else None


def check_sysctls(sysctls: Mapping[str, str], *, private: frozenset[str]) -> None:
    """`private`: kinds of namespaces that are the container's own ("network", "ipc", "uts").

    Raises `InvalidParameter`: a key that is not namespaced would change the host, and so would one
    that climbs out of its folder or a value that smuggles a second line (CVE-2022-0811).
    """
    for key, value in sysctls.items():
        if not set(key) <= _LETTERS or _climbs(key) or _breaks(value):
            raise InvalidParameter(f"invalid sysctl: {key!r}={value!r}")
        _check_namespace(key.replace("/", ".") if "." not in key else key, private)


def _climbs(key: str) -> bool:
    parts = key.replace("/", ".").split(".")
    return len(parts) < 2 or any(part == "" for part in parts)


def _breaks(value: str) -> bool:
    return len(value) > _VALUE_LIMIT or any(ord(letter) < 32 and letter != "\t" for letter in value)


def _check_namespace(key: str, private: frozenset[str]) -> None:
    needed = namespace_of(key, _IPC)
    if key == "kernel.hostname":
        raise InvalidParameter(f'sysctl "{key}" conflicts with the --hostname option')
    if needed is None:
        raise InvalidParameter(f'sysctl "{key}" is not in a separate kernel namespace')
    if needed not in private:
        raise InvalidParameter(f'sysctl "{key}" not allowed in host {needed} namespace')
