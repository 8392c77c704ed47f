"""`version`: of this command and of the daemon."""

from __future__ import annotations

import os
import sys

from sampan.cli.command import App
from sampan.cli.failure import Failure
from sampan.cli.flags import Flag
from sampan.cli.formats.help import FORMAT
from sampan.cli.identity import API_VERSION, BUILD, VERSION
from sampan.cli.kinds import STRING
from sampan.cli.moments import ansi_date
from sampan.cli.output import out
from sampan.cli.tabwriter import align

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.flags import Values

FLAGS = (Flag("format", "f", STRING, FORMAT, default=""),)
_ENGINE = {
    "Version": "Version",
    "API version": "ApiVersion",
    "Go version": "GoVersion",
    "Git commit": "GitCommit",
    "Built": "BuildTime",
    "OS/Arch": "Os",
    "Experimental": "Experimental",
}
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def run(app: App, values: Values, arguments: list[str]) -> int:
    template = _template(values["format"]) if values["format"] else None
    server, failure = None, None
    try:
        server = app.client.get("/version")
    except Failure as error:
        failure = error
    if server is not None:
        _complete(server)
    client = client_version(app)
    if template is not None:
        _print_template(template, client, server)
    else:
        out(align(_text(client, server), minimum=20, padding=1))
    if failure is not None:
        raise failure
    return 0


def client_version(app: App) -> dict[str, Any]:
    """As the API's objects are spelled."""
    machine = os.uname().machine
    return {
        "Version": VERSION,
        "ApiVersion": app.client.version or API_VERSION,
        "DefaultAPIVersion": API_VERSION,
        "GitCommit": BUILD,
        "GoVersion": f"python{sys.version.partition(' ')[0]}",
        "Os": "linux",
        "Arch": _MACHINES.get(machine, machine),
        "Context": "default",
    }


def _template(source: str) -> Any:
    from sampan.spec.template.executor import Template, TemplateError

    try:
        return Template("{{json .}}" if source == "json" else source, name="version")
    except TemplateError as error:
        raise Failure(f"template parsing error: {error}", 64) from None


def _print_template(template: Any, client: dict[str, Any], server: dict[str, Any] | None) -> None:
    from sampan.cli.types.system import SCHEMA
    from sampan.spec.template.executor import ExecutionError

    data = SCHEMA.decode("system.versionInfo", {"Client": client, "Server": server})
    try:
        out(f"{template.execute(data)}\n")
    except ExecutionError as error:
        out("\n")
        raise Failure(str(error)) from None


def _complete(server: dict[str, Any]) -> None:
    """Old daemons have no list of components; dates are shown in the short form."""
    if not server.get("Components"):
        details = {key: str(server.get(key) or "") for key in ("ApiVersion", "MinAPIVersion")}
        for key in ("GitCommit", "GoVersion", "Os", "Arch", "KernelVersion", "BuildTime"):
            details[key] = server.get(key) or ""
        details["Experimental"] = "true" if server.get("Experimental") else "false"
        server["Components"] = [
            {"Name": "Engine", "Version": server.get("Version", ""), "Details": details}
        ]
    for component in server["Components"]:
        details = component.get("Details") or {}
        if details.get("BuildTime"):
            details["BuildTime"] = ansi_date(details["BuildTime"])


def _text(client: dict[str, Any], server: dict[str, Any] | None) -> str:
    version = client["ApiVersion"]
    if version != client["DefaultAPIVersion"]:
        version += f" (downgraded from {client['DefaultAPIVersion']})"
    lines = [
        "Client:",
        f" Version:\t{client['Version']}",
        f" API version:\t{version}",
        f" Go version:\t{client['GoVersion']}",
        f" Git commit:\t{client['GitCommit']}",
        " Built:\t",
        f" OS/Arch:\t{client['Os']}/{client['Arch']}",
        f" Context:\t{client['Context']}",
    ]
    if server is not None:
        name = (server.get("Platform") or {}).get("Name")
        lines += ["", f"Server: {name}" if name else "Server:"]
        for component in server["Components"]:
            lines += _component(component)
    return "".join(f"{line}\n" for line in lines)


def _component(component: dict[str, Any]) -> list[str]:
    name, details = component["Name"], component.get("Details") or {}
    if name != "Engine":
        rest = [f"  {key}:\t{details[key]}" for key in sorted(details)]
        return [f" {name}:", f"  Version:\t{component['Version']}", *rest]
    known = {key: details.get(source, "") for key, source in _ENGINE.items()}
    known["Version"] = component["Version"]
    known["API version"] += f" (minimum version {details.get('MinAPIVersion', '')})"
    known["OS/Arch"] += f"/{details.get('Arch', '')}"
    return [f" {name}:", *(f"  {key}:\t{value}" for key, value in known.items())]
