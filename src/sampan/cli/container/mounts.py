"""`--mount`, `--volume` and `--tmpfs`."""

from __future__ import annotations

import os

from sampan.cli.container import csv
from sampan.cli.kinds import Kind, parse_bool
from sampan.cli.units import parse_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SWITCHES = ("readonly", "ro", "volume-nocopy", "bind-nonrecursive")
_OPTIONS = {
    "bind": "BindOptions",
    "volume": "VolumeOptions",
    "image": "ImageOptions",
    "tmpfs": "TmpfsOptions",
}
_RECURSIVE = ("enabled", "disabled", "writable", "readonly")


def parse_mount(text: str) -> dict[str, Any]:
    """`type=bind,src=/a,dst=/b,ro` as the API's Mount. Raises ValueError with docker's text."""
    mount = _Mount()
    for field in csv.split(text):
        mount.take(field)
    return mount.finish()


class _Mount:
    """A mount while its fields are read. Options of a kind are made when one of them is named."""

    def __init__(self) -> None:
        self.type = "volume"
        self.plain: dict[str, Any] = {}
        self.options: dict[str, dict[str, Any]] = {}
        self.recursive = ""

    def take(self, field: str) -> None:
        name, equals, value = field.partition("=")
        name = name.lower()
        if not equals and name not in _SWITCHES:
            raise ValueError(f"invalid field '{field}' must be a key=value pair")
        taker = getattr(self, "_take_" + name.replace("-", "_"), None)
        if taker is None:
            raise ValueError(f"unexpected key '{name}' in '{field}'")
        taker(name, value if equals else "true")

    def finish(self) -> dict[str, Any]:
        if not self.type:
            raise ValueError("type is required")
        if not self.plain.get("Target"):
            raise ValueError("target is required")
        for prefix in ("volume", "bind", "image", "tmpfs"):
            if prefix in self.options and self.type != prefix:
                raise ValueError(f"cannot mix '{prefix}-*' options with mount type '{self.type}'")
        self._check_recursive()
        mount: dict[str, Any] = {"Type": self.type} | {
            key: self.plain[key]
            for key in ("Source", "Target", "ReadOnly", "Consistency")
            if self.plain.get(key)
        }
        for prefix, options in self.options.items():
            mount[_OPTIONS[prefix]] = {
                key: value for key, value in options.items() if value or value == {}
            }
        return mount

    def _check_recursive(self) -> None:
        if self.recursive != "readonly":
            return
        if not self.plain.get("ReadOnly"):
            raise ValueError(
                "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction"
            )
        if self.options["bind"].get("Propagation") != "rprivate":
            raise ValueError(
                "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction"
            )

    def _of(self, prefix: str) -> dict[str, Any]:
        first: dict[str, Any] = {"DriverConfig": {}} if prefix == "volume" else {}
        return self.options.setdefault(prefix, first)

    def _take_type(self, name: str, value: str) -> None:
        self.type = value.lower()

    def _take_source(self, name: str, value: str) -> None:
        if value.startswith("./") or value == ".":
            value = os.path.abspath(value)
        self.plain["Source"] = value

    def _take_target(self, name: str, value: str) -> None:
        self.plain["Target"] = value

    def _take_readonly(self, name: str, value: str) -> None:
        self.plain["ReadOnly"] = _switch(name, value)

    def _take_consistency(self, name: str, value: str) -> None:
        self.plain["Consistency"] = value.lower()

    def _take_bind_propagation(self, name: str, value: str) -> None:
        self._of("bind")["Propagation"] = value.lower()

    def _take_bind_nonrecursive(self, name: str, value: str) -> None:
        self._of("bind")["NonRecursive"] = _switch(name, value)

    def _take_bind_recursive(self, name: str, value: str) -> None:
        if value not in _RECURSIVE:
            raise ValueError(
                f"invalid value for {name}: {value} "
                '(must be "enabled", "disabled", "writable", or "readonly")'
            )
        self.recursive = value
        options = self._of("bind")
        options["NonRecursive"] = value == "disabled"
        options["ReadOnlyNonRecursive"] = value == "writable"
        options["ReadOnlyForceRecursive"] = value == "readonly"

    def _take_volume_nocopy(self, name: str, value: str) -> None:
        self._of("volume")["NoCopy"] = _switch(name, value)

    def _take_volume_subpath(self, name: str, value: str) -> None:
        self._of("volume")["Subpath"] = value

    def _take_volume_label(self, name: str, value: str) -> None:
        _put(self._of("volume"), "Labels", value)

    def _take_volume_driver(self, name: str, value: str) -> None:
        self._of("volume")["DriverConfig"]["Name"] = value

    def _take_volume_opt(self, name: str, value: str) -> None:
        _put(self._of("volume")["DriverConfig"], "Options", value)

    def _take_image_subpath(self, name: str, value: str) -> None:
        self._of("image")["Subpath"] = value

    def _take_tmpfs_size(self, name: str, value: str) -> None:
        try:
            self._of("tmpfs")["SizeBytes"] = parse_bytes(value)
        except ValueError:
            raise ValueError(f"invalid value for {name}: {value}") from None

    def _take_tmpfs_mode(self, name: str, value: str) -> None:
        if not value or not set(value) <= set("01234567") or int(value, 8) >= 1 << 32:
            raise ValueError(f"invalid value for {name}: {value}")
        self._of("tmpfs")["Mode"] = int(value, 8)

    _take_src = _take_source
    _take_dst = _take_destination = _take_target
    _take_ro = _take_readonly


def parse_tmpfs(texts: list[str]) -> dict[str, str]:
    return {path: options for path, _, options in (text.partition(":") for text in texts)}


def split_volumes(texts: list[str]) -> tuple[list[str] | None, dict[str, Any]]:
    """Binds for the host, and anonymous volumes for the image's configuration."""
    binds: list[str] = []
    volumes: dict[str, Any] = {}
    for text in dict.fromkeys(texts):
        source = _source(text)
        if not source:
            volumes[text] = {}
            continue
        host, _, rest = text.partition(":")
        if source[0] in "./~" and host.startswith("."):
            text = f"{os.path.abspath(host)}:{rest}"
        binds.append(text)
    return binds or None, volumes


def _source(text: str) -> str:
    """The part before the first colon that parts anything (`c:` is a drive); empty when there is only a target."""
    if not text:
        raise ValueError("invalid empty volume spec")
    if len(text) <= 2:
        return ""
    fields, field = [], ""
    for character in text:
        if character == ":" and not (len(field) == 1 and field.isalpha()):
            fields.append(field)
            field = ""
        else:
            field += character
    fields.append(field)
    for index, part in enumerate(fields):
        if not part:
            raise ValueError(f"invalid spec: {text}: empty section between colons")
        if index == 2 and len(fields) > 3:
            raise ValueError(f"invalid spec: {text}: too many colons")
    return fields[0] if len(fields) > 1 else ""


def _switch(name: str, value: str) -> bool:
    try:
        return parse_bool(value)
    except ValueError:
        raise ValueError(f"invalid value for {name}: {value}") from None


def _put(owner: dict[str, Any], key: str, text: str) -> None:
    name, _, value = text.partition("=")
    if name:
        owner.setdefault(key, {})[name] = value


MOUNT = Kind("mount", parse_mount, many=True)
