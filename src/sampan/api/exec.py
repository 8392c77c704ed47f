"""Processes run in containers that run already."""

from __future__ import annotations

import base64
from typing import Any

from aiohttp import web

from sampan.api.call import Call
from sampan.api.containers import terminal_size
from sampan.api.routing import Route
from sampan.api.shapes import ExecCreateRequest, ExecStartRequest
from sampan.engine import exec as engine
from sampan.engine.exec import ExecRequest
from sampan.engine.records import ExecRecord
from sampan.errors import InvalidParameter
from sampan.wire import detach


async def create_exec(call: Call) -> web.StreamResponse:
    body = await call.json(ExecCreateRequest)
    if not body.cmd:
        raise InvalidParameter("No exec command specified")
    exec_id = await engine.create_exec(
        call.services,
        call.name,
        ExecRequest(
            command=tuple(body.cmd),
            attach_stdin=body.attach_stdin,
            attach_stdout=body.attach_stdout,
            attach_stderr=body.attach_stderr,
            tty=body.tty,
            user=body.user,
            privileged=body.privileged,
            env=tuple(body.env or ()),
            working_dir=body.working_dir,
            detach_keys=body.detach_keys or None,
            console_size=console_size(call, body.console_size) if body.tty else None,
        ),
    )
    return call.answer({"Id": exec_id}, status=201)


def console_size(call: Call, value: list[int] | None) -> tuple[int, int] | None:
    """Rows and columns, since API 1.42. Raises InvalidParameter."""
    if value is None or call.version < (1, 42):
        return None
    if len(value) != 2 or not all(0 <= number < 1 << 16 for number in value):
        raise InvalidParameter("invalid console size")
    return (value[0], value[1]) if any(value) else None


async def start_exec(call: Call) -> web.StreamResponse:
    body = await call.json(ExecStartRequest)
    options: dict[str, Any] = {
        "tty": body.tty,
        "console_size": console_size(call, body.console_size) if body.tty else None,
    }
    if body.detach:
        await engine.start_exec(call.services, call.name, **options)
        return call.empty(200)
    session = engine.prepare_exec(call.services, call.name, **options)
    return await call.hand_over(session.connect, multiplexed=session.multiplexed)


async def resize_exec(call: Call) -> web.StreamResponse:
    height, width = terminal_size(call)
    await engine.resize_exec(call.services, call.name, height=height, width=width)
    return call.empty(200)


async def inspect_exec(call: Call) -> web.StreamResponse:
    return call.view("ExecInspect", view(engine.inspect_exec(call.services, call.name)))


def view(record: ExecRecord) -> dict[str, Any]:
    process: dict[str, Any] = {
        "tty": record.tty,
        "entrypoint": record.arguments[0] if record.arguments else "",
        "arguments": list(record.arguments[1:]),
        "privileged": record.privileged,
    }
    if record.user:
        process["user"] = record.user
    return {
        "ID": record.id,
        "Running": record.running,
        "ExitCode": record.exit_code,
        "ProcessConfig": process,
        "OpenStdin": record.attach_stdin,
        "OpenStderr": record.attach_stderr,
        "OpenStdout": record.attach_stdout,
        "CanRemove": False,
        "ContainerID": record.container_id,
        "DetachKeys": base64.b64encode(detach.parse(record.detach_keys)).decode(),
        "Pid": record.pid,
    }


ROUTES = [
    Route("POST", "/containers/{name}/exec", create_exec),
    Route("POST", "/exec/{name}/start", start_exec),
    Route("POST", "/exec/{name}/resize", resize_exec),
    Route("GET", "/exec/{name}/json", inspect_exec),
]
