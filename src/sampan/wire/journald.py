"""Lines as journald takes them: a datagram of fields (systemd, "Native Journal Protocol"). Pure."""

from __future__ import annotations

from collections.abc import Mapping

ERROR, INFORMATION = 3, 6


class JournalEncoder:
    def __init__(
        self,
        *,
        container_id: str,
        name: str,
        image: str,
        tag: str,
        attributes: Mapping[str, str],
    ) -> None:
        fields = {field_name(key): value for key, value in attributes.items()}
        fields |= {
            "CONTAINER_ID": container_id[:12],
            "CONTAINER_ID_FULL": container_id,
            "CONTAINER_NAME": name,
            "CONTAINER_TAG": tag,
            "IMAGE_NAME": image,
            "SYSLOG_IDENTIFIER": tag,
        }
        self._head = b"".join(
            field(key, value.encode("utf-8", "surrogateescape")) for key, value in fields.items()
        )

    def encode(self, line: bytes, *, error: bool, partial: bool, moment: int) -> bytes:
        """One datagram. `moment`: nanoseconds since 1970."""
        priority = b"%d" % (ERROR if error else INFORMATION)
        message = self._head + field("PRIORITY", priority) + field("MESSAGE", line)
        message += field("SYSLOG_TIMESTAMP", b"%d" % (moment // 1000))
        return message + field("CONTAINER_PARTIAL_MESSAGE", b"true") if partial else message


def field(name: str, value: bytes) -> bytes:
    """`NAME=value`, or the form with a length for what contains a newline."""
    if b"\n" not in value:
        return name.encode() + b"=" + value + b"\n"
    return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"


def field_name(text: str) -> str:
    """What journald accepts as a name: capitals, digits, underscores, a letter first."""
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in text.upper())
    return name.lstrip("_0123456789")[:64] or "X"
