"""The log option `tag`: a Go template over what is known of a container, dockerd's `logger.Info`. Pure."""

from __future__ import annotations

from typing import Any

from sampan.engine.records import ContainerRecord
from sampan.engine.times import to_text
from sampan.spec.template.executor import ExecutionError, Template
from sampan.spec.template.lexer import TemplateError
from sampan.spec.template.values import Moment, Pointer, Slice, Struct


class TagError(ValueError):
    """In text/template's words."""


def expand_tag(text: str, record: ContainerRecord, daemon_name: str) -> str:
    """Raises TagError."""
    try:
        template = Template(text, name="log-tag")
        return template.execute(Pointer(_Info(record, daemon_name)))
    except (TemplateError, ExecutionError) as error:
        raise TagError(str(error)) from None


class _Info(Struct):
    """Its methods are found as fields are, but are not printed with it."""

    def __init__(self, record: ContainerRecord, daemon_name: str) -> None:
        log = record.host_config.log_config
        fields: dict[str, Any] = {
            "Config": dict(log.config or {}) if log is not None else {},
            "ContainerID": record.id,
            "ContainerName": f"/{record.name}",
            "ContainerEntrypoint": record.path,
            "ContainerArgs": Slice(list(record.args), "[]string"),
            "ContainerImageID": record.image_id,
            "ContainerImageName": record.image_name,
            "ContainerCreated": Moment(to_text(record.created)),
            "ContainerEnv": Slice(list(record.config.env or ()), "[]string"),
            "ContainerLabels": dict(record.config.labels or {}),
            "LogPath": record.log_path,
            "DaemonName": "docker",
        }
        super().__init__("logger.Info", fields, fields, frozenset())
        self._methods = {
            "ID": record.id[:12],
            "FullID": record.id,
            "Name": record.name,
            "ImageID": record.image_id[:12],
            "ImageFullID": record.image_id,
            "ImageName": record.image_name,
            "Hostname": daemon_name,
            "Command": " ".join([record.path, *record.args]),
        }

    def find(self, name: str) -> Any:
        return self._methods[name] if name in self._methods else super().find(name)
