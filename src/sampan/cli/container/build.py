"""The body of `POST /containers/create` from a command line: every field docker sends, with its zero values."""

from __future__ import annotations

from sampan.cli.container.devices import split_devices
from sampan.cli.container.files import go_reason, read_environment, read_pairs
from sampan.cli.container.mounts import parse_tmpfs, split_volumes
from sampan.cli.container.networks import build_endpoints, check_mac
from sampan.cli.container.ports import parse_exposed, parse_published
from sampan.spec import jsontext
from sampan.spec.goquote import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.flags import Values

    Object = dict[str, Any]

_NOT_NEGATIVE = ("interval", "timeout", "retries", "start-period", "start-interval")


def build_create(values: Values, image: str, command: list[str], proxies: dict[str, str]) -> Object:
    """The whole body. Raises ValueError with docker's text."""
    mac = values["mac-address"]
    if mac:
        check_mac(mac)
    swappiness = values["memory-swappiness"]
    if not -1 <= swappiness <= 100:
        raise ValueError(f"invalid value: {swappiness}. Valid memory swappiness range is 0-100")
    binds, volumes = split_volumes(values["volume"])
    bindings = parse_published(values["publish"])
    exposed: Object = {port: {} for port in bindings} | parse_exposed(values["expose"])
    config = _config(values, image, command)
    config |= {"ExposedPorts": exposed} if exposed else {}
    devices, names = split_devices(values["device"])
    config["Env"] = (
        read_environment(values["env-file"], _environment(values["env"], proxies)) or None
    )
    labels = read_pairs(values["label-file"], None) + values["label"]
    config["Labels"] = _pairs(labels) | _egress(values)
    config["Volumes"] = volumes
    host = _host_config(values)
    host |= {"Binds": binds, "PortBindings": bindings}
    host |= _namespaces(values)
    host |= _resources(values)
    host["Devices"] = devices
    host["DeviceRequests"] = _device_requests(values["gpus"], names)
    if health := _health(values):
        config["Healthcheck"] = health
    if host["AutoRemove"] and host["RestartPolicy"]["Name"] not in ("", "no"):
        raise ValueError("conflicting options: cannot specify both --restart and --rm")
    mode, endpoints = build_endpoints(values)
    host["NetworkMode"] = mode
    return config | {"HostConfig": host, "NetworkingConfig": {"EndpointsConfig": endpoints}}


def _config(values: Values, image: str, command: list[str]) -> Object:
    attach = values["attach"]
    stdin = values["interactive"] or "stdin" in attach
    config: Object = {
        "Hostname": values["hostname"],
        "Domainname": values["domainname"],
        "User": values["user"],
        "AttachStdin": stdin,
        "AttachStdout": not attach or "stdout" in attach,
        "AttachStderr": not attach or "stderr" in attach,
        "Tty": values["tty"],
        "OpenStdin": values["interactive"],
        "StdinOnce": values["interactive"] and stdin,
        "Env": None,
        "Cmd": command or None,
        "Image": image,
        "Volumes": {},
        "WorkingDir": values["workdir"],
        "Entrypoint": [values["entrypoint"]] if values.changed("entrypoint") else None,
        "OnBuild": None,
        "Labels": {},
    }
    if values["stop-signal"]:
        config["StopSignal"] = values["stop-signal"]
    if values.changed("stop-timeout"):
        config["StopTimeout"] = values["stop-timeout"]
    return config


def _host_config(values: Values) -> Object:
    security, paths = _security(values["security-opt"])
    host: Object = {
        "Binds": None,
        "ContainerIDFile": values["cidfile"],
        "LogConfig": {"Type": values["log-driver"], "Config": _log_options(values)},
        "NetworkMode": "",
        "PortBindings": {},
        "RestartPolicy": parse_restart(values["restart"]),
        "AutoRemove": values["rm"],
        "VolumeDriver": values["volume-driver"],
        "VolumesFrom": values["volumes-from"] or None,
        "ConsoleSize": [0, 0],
        "CapAdd": _capabilities(values["cap-add"]),
        "CapDrop": _capabilities(values["cap-drop"]),
        "Dns": values["dns"],
        "DnsOptions": values["dns-option"],
        "DnsSearch": values["dns-search"],
        "ExtraHosts": values["add-host"] or None,
        "GroupAdd": values["group-add"] or None,
        "Cgroup": "",
        "Links": values["link"] or None,
        "OomScoreAdj": values["oom-score-adj"],
        "Privileged": values["privileged"],
        "PublishAllPorts": values["publish-all"],
        "ReadonlyRootfs": values["read-only"],
        "SecurityOpt": security,
        "ShmSize": values["shm-size"],
        "Isolation": values["isolation"],
        "MaskedPaths": paths,
        "ReadonlyPaths": paths,
    }
    optional = {
        "StorageOpt": _storage_options(values["storage-opt"]),
        "Tmpfs": parse_tmpfs(values["tmpfs"]),
        "Sysctls": dict(values["sysctl"]),
        "Annotations": dict(values["annotation"]),
        "Runtime": values["runtime"],
        "Mounts": values["mount"],
    }
    host |= {key: value for key, value in optional.items() if value}
    if values.changed("init"):
        host["Init"] = values["init"]
    return host


def _namespaces(values: Values) -> Object:
    """The daemon would refuse these too; docker refuses them before it asks."""
    for flag, kind, allowed in (
        ("pid", "PID", ("", "host")),
        ("uts", "UTS", ("", "host")),
        ("userns", "USER", ("", "host")),
        ("cgroupns", "CGROUP", ("", "host", "private")),
    ):
        joins = flag == "pid" and values[flag].startswith("container:") and len(values[flag]) > 10
        if values[flag] not in allowed and not joins:
            raise ValueError(f"--{flag}: invalid {kind} mode")
    return {
        "PidMode": values["pid"],
        "UTSMode": values["uts"],
        "UsernsMode": values["userns"],
        "CgroupnsMode": values["cgroupns"],
        "IpcMode": values["ipc"],
    }


def _resources(values: Values) -> Object:
    ulimits = {limit["Name"]: limit for limit in values["ulimit"]}
    return {
        "CpuShares": values["cpu-shares"],
        "Memory": values["memory"],
        "NanoCpus": values["cpus"],
        "CgroupParent": values["cgroup-parent"],
        "BlkioWeight": values["blkio-weight"],
        "BlkioWeightDevice": values["blkio-weight-device"],
        "BlkioDeviceReadBps": values["device-read-bps"],
        "BlkioDeviceWriteBps": values["device-write-bps"],
        "BlkioDeviceReadIOps": values["device-read-iops"],
        "BlkioDeviceWriteIOps": values["device-write-iops"],
        "CpuPeriod": values["cpu-period"],
        "CpuQuota": values["cpu-quota"],
        "CpuRealtimePeriod": values["cpu-rt-period"],
        "CpuRealtimeRuntime": values["cpu-rt-runtime"],
        "CpusetCpus": values["cpuset-cpus"],
        "CpusetMems": values["cpuset-mems"],
        "DeviceCgroupRules": values["device-cgroup-rule"] or None,
        "MemoryReservation": values["memory-reservation"],
        "MemorySwap": values["memory-swap"],
        "MemorySwappiness": values["memory-swappiness"],
        "OomKillDisable": values["oom-kill-disable"],
        "PidsLimit": values["pids-limit"],
        "Ulimits": [ulimits[name] for name in sorted(ulimits)],
        "CpuCount": values["cpu-count"],
        "CpuPercent": values["cpu-percent"],
        "IOMaximumIOps": values["io-maxiops"],
        "IOMaximumBandwidth": values["io-maxbandwidth"],
    }


def _egress(values: Values) -> Object:
    """sampan's own: by a label, which docker can set too."""
    if not values.changed("egress"):
        return {}
    from sampan.spec.egress import LABEL, parse

    parse(values["egress"])
    return {LABEL: values["egress"]}


def _health(values: Values) -> Object:
    """Empty when nothing is said. Zero values are left out, as Go's omitempty does."""
    given = {name: values[f"health-{name}"] for name in _NOT_NEGATIVE}
    command = values["health-cmd"]
    if values["no-healthcheck"]:
        if command or any(given.values()):
            raise ValueError("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    for name, value in given.items():
        if value < 0:
            raise ValueError(f"--health-{name} cannot be negative")
    fields = {
        "Test": ["CMD-SHELL", command] if command else None,
        "Interval": given["interval"],
        "Timeout": given["timeout"],
        "StartPeriod": given["start-period"],
        "StartInterval": given["start-interval"],
        "Retries": given["retries"],
    }
    return {key: value for key, value in fields.items() if value}


def parse_restart(text: str) -> Object:
    """`on-failure:3`"""
    name, colon, count = text.partition(":")
    if colon and not name:
        raise ValueError("invalid restart policy format: no policy provided before colon")
    try:
        retries = int(count) if count else 0
    except ValueError:
        raise ValueError(
            "invalid restart policy format: maximum retry count must be an integer"
        ) from None
    return {"Name": name, "MaximumRetryCount": retries}


def _capabilities(names: list[str]) -> list[str] | None:
    """In the kernel's spelling, sorted, once each; ALL first."""
    found = set()
    for name in names:
        upper = name.strip().upper()
        found.add(upper if upper == "ALL" or upper.startswith("CAP_") else f"CAP_{upper}")
    return sorted(found) or None


def _environment(given: list[str], proxies: dict[str, str]) -> list[str]:
    """One entry a name, the last one said; a name without a value unsets it. Proxies only where nothing is said."""
    merged = {}
    for text in given:
        name, equals, value = text.partition("=")
        merged[name] = f"{name}={value}" if equals else name
    for name, value in proxies.items():
        merged.setdefault(name, f"{name}={value}")
    return list(merged.values())


def _pairs(texts: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def _log_options(values: Values) -> dict[str, str]:
    if values["log-driver"] == "none" and values["log-opt"]:
        raise ValueError("invalid logging opts for driver none")
    return _pairs(values["log-opt"])


def _storage_options(texts: list[str]) -> dict[str, str]:
    if any("=" not in text for text in texts):
        raise ValueError("invalid storage option")
    return _pairs(texts)


def _device_requests(gpus: list[Object], names: list[str]) -> list[Object] | None:
    requests = list(gpus)
    if names:
        requests.append(
            {"Driver": "cdi", "Count": 0, "DeviceIDs": names, "Capabilities": None, "Options": None}
        )
    return requests or None


def _security(texts: list[str]) -> tuple[list[str] | None, list[str] | None]:
    """The options, a seccomp profile by its content; and the masked paths, none at all when unconfined."""
    options = [_security_option(text) for text in texts]
    if "systempaths=unconfined" not in options:
        return options or None, None
    return [option for option in options if option != "systempaths=unconfined"], []


def _security_option(text: str) -> str:
    name, separator, value = text.partition("=")
    if not separator and name != "no-new-privileges":
        name, separator, value = text.partition(":")
    if not value and name != "no-new-privileges":
        raise ValueError(f"Invalid --security-opt: {go_quote(text)}")
    if name != "seccomp" or value in ("builtin", "unconfined"):
        return text
    try:
        with open(value, "rb") as file:
            profile = file.read().decode("utf-8", "replace")
    except OSError as error:
        raise ValueError(
            f"opening seccomp profile ({value}) failed: open {value}: {go_reason(error)}"
        ) from None
    try:
        jsontext.loads(profile)
    except ValueError as error:
        raise ValueError(f"compacting json for seccomp profile ({value}) failed: {error}") from None
    return f"seccomp={jsontext.compact(profile)}"
