"""`docker top`: the host's `ps` with the caller's options, and of what it says only the container's processes."""

from __future__ import annotations

import re
from typing import NamedTuple

from sampan.engine import transitions
from sampan.engine.create import attributes_of
from sampan.engine.groups import cgroup_of
from sampan.engine.program import run_program
from sampan.engine.services import Services
from sampan.errors import InvalidParameter, SampanError

DEFAULT = "-ef"
# A title of the caller's own that looks like the pid would choose other processes than the container's.
_RENAMED = re.compile(r"\s+(\S*)=\s*(PID\S*)")


class Processes(NamedTuple):
    titles: list[str]
    rows: list[list[str]]


async def list_processes(services: Services, ref: str, options: str = "") -> Processes:
    """`options` as a user gives them to ps(1).
    Raises NotFound, Conflict (it does not run), InvalidParameter (what ps does not take), SampanError."""
    options = options or DEFAULT
    if "\0" in options:
        raise InvalidParameter("invalid ps options: they contain a NUL byte")
    for name, title in _RENAMED.findall(options):
        if name != "pid":
            raise InvalidParameter(f'specifying "{name}={title}" is not allowed')
    record = services.containers.get(ref)
    transitions.check_top(record)
    pids = cgroup_of(services, record).processes()
    words = options.split(" ")
    # All of the host's where ps does not understand this (busybox); the filter is below.
    chosen = await _ps(services, [*words, "-q", ",".join(map(str, pids))]) if pids else None
    output = chosen if chosen is not None else await _ps(services, words, last=True)
    found = parse_output(output or "", set(pids))
    services.events.emit("container", "top", record.id, attributes_of(record))
    return found


async def _ps(services: Services, words: list[str], *, last: bool = False) -> str | None:
    try:
        done = await run_program(services, "ps", words)
    except OSError as error:
        raise SampanError(f"error running ps: {error.strerror}") from None
    if done.status == 0:
        return done.output.decode("utf-8", "replace")
    if not last:
        return None
    said = done.errors.decode("utf-8", "replace").partition("\n")[0].strip()
    raise InvalidParameter(
        f"ps: {said}" if said else f"error running ps: exit status {done.status}"
    )


def parse_output(output: str, pids: set[int]) -> Processes:
    """Columns of ps(1), whose last one may hold blanks. Raises InvalidParameter without a column `PID`."""
    lines = output.split("\n")
    titles = lines[0].split()
    if "PID" not in titles:
        raise InvalidParameter("Couldn't find PID field in ps output")
    at = titles.index("PID")
    rows = []
    shown = False
    for line in lines[1:]:
        fields = line.split()
        if len(fields) <= at:
            continue
        if fields[at] != "-":  # a thread, which belongs to the process before it
            if not fields[at].isdigit():
                raise InvalidParameter(f"Unexpected pid '{fields[at]}'")
            shown = int(fields[at]) in pids
        if shown:
            head = fields[: len(titles) - 1]
            rows.append([*head, " ".join(fields[len(titles) - 1 :])])
    return Processes(titles, rows)
