"""The log option `tag`: a Go template over what is known of a container. Pure.

Fields and simple text are understood, which is all that documented tags are made of; other actions are refused.
"""

from __future__ import annotations

import re

from sampan.engine.records import ContainerRecord

_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_FIELD = re.compile(r"\.([A-Za-z_]\w*)", re.ASCII)


class TagError(ValueError):
    """In text/template's words."""


def expand_tag(text: str, record: ContainerRecord, daemon_name: str) -> str:
    """Raises TagError."""
    if "{{" in _ACTION.sub("", text):
        raise TagError("template: log-tag:1: unclosed action")
    fields = _fields(record, daemon_name)

    def value(match: re.Match[str]) -> str:
        field = _FIELD.fullmatch(match[1])
        if field is None:
            raise TagError(f'template: log-tag:1: "{match[1]}" is not supported in a tag')
        if field[1] not in fields:
            where = f"log-tag:1:{match.start() + 2}"
            raise TagError(
                f'template: {where}: executing "log-tag" at <{field[0]}>: '
                f"can't evaluate field {field[1]} in type *logger.Info"
            )
        return fields[field[1]]

    return _ACTION.sub(value, text)


def _fields(record: ContainerRecord, daemon_name: str) -> dict[str, str]:
    image = record.image_id.removeprefix("sha256:")
    return {
        "ID": record.id[:12],
        "FullID": record.id,
        "Name": record.name,
        "ImageID": image[:12],
        "ImageFullID": record.image_id,
        "ImageName": record.image_name,
        "DaemonName": "docker",
        "Hostname": daemon_name,
        "Command": " ".join([record.path, *record.args]),
        "ContainerID": record.id,
        "ContainerName": f"/{record.name}",
        "ContainerImageID": record.image_id,
        "ContainerImageName": record.image_name,
        "ContainerEntrypoint": record.path,
        "LogPath": record.log_path,
    }
