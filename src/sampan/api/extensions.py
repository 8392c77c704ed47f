"""What is no part of Docker's API, below /sampan: exec'd processes as things of their own, ports of all containers."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from msgspec import Struct, field

from sampan.api import exec as execs
from sampan.api.call import Call
from sampan.api.routing import Route
from sampan.engine import exec_control as engine
from sampan.engine import times
from sampan.engine.network import exposure
from sampan.engine.records import ExecRecord


class Limits(Struct, kw_only=True):
    """Body of POST /sampan/execs/{id}/limits; the timeout in nanoseconds, as Docker's durations are."""

    timeout: int = field(default=0, name="Timeout")
    die_with_client: bool = field(default=False, name="DieWithClient")


async def list_execs(call: Call) -> web.StreamResponse:
    found = engine.list_execs(
        call.services, container=call.query.text("container"), everything=call.query.flag("all")
    )
    return call.answer([_view(call, record) for record in found])


async def inspect_exec(call: Call) -> web.StreamResponse:
    return call.answer(_view(call, engine.find_exec(call.services, call.name)))


async def limit_exec(call: Call) -> web.StreamResponse:
    limits = await call.json(Limits, required=True)
    engine.limit_exec(
        call.services,
        call.name,
        timeout=limits.timeout / 1e9,
        die_with_client=limits.die_with_client,
    )
    return call.empty()


async def kill_exec(call: Call) -> web.StreamResponse:
    await engine.kill_exec(call.services, call.name, signal=call.query.text("signal"))
    return call.empty()


async def list_ports(call: Call) -> web.StreamResponse:
    return call.answer(await exposure.list_ports(call.services, exposed=call.query.flag("exposed")))


def _view(call: Call, record: ExecRecord) -> dict[str, Any]:
    container = call.services.containers.get(record.container_id)
    return {
        **execs.view(record),
        "ContainerName": f"/{container.name}",
        "Command": list(record.arguments),
        "User": record.user,
        "Created": times.to_text(record.created),
        "StartedAt": times.to_text(record.started_at),
        "Timeout": int(record.timeout * 1e9),
        "DieWithClient": record.die_with_client,
        "Reason": record.reason,
    }


ROUTES = [
    Route("GET", "/sampan/ports", list_ports),
    Route("GET", "/sampan/execs", list_execs),
    Route("GET", "/sampan/execs/{name}", inspect_exec),
    Route("POST", "/sampan/execs/{name}/limits", limit_exec),
    Route("POST", "/sampan/execs/{name}/kill", kill_exec),
]
