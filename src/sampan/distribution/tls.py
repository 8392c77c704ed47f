"""TLS to registries: the system's CAs, and per registry `certs.d/HOST[:PORT]/`:

    *.crt               a CA, besides the system's
    NAME.cert NAME.key  what this client shows of itself

The folders are read for each operation, so that a change needs no restart. Blocking; the caller uses a thread.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence

from sampan.errors import InvalidParameter


def certificates(authority: str, folders: Sequence[str]) -> str | None:
    """The first folder there is for a registry."""
    if "/" in authority or authority in ("", ".", ".."):
        return None
    paths = (os.path.join(folder, authority) for folder in folders)
    return next((path for path in paths if os.path.isdir(path)), None)


def has_authority(folder: str) -> bool:
    """Whether a folder of certificates names a CA."""
    return any(name.endswith(".crt") for name in os.listdir(folder))


def context(folder: str | None, *, verify: bool) -> ssl.SSLContext:
    """Raises InvalidParameter, with dockerd's texts, for a folder that is not complete."""
    made = ssl.create_default_context()
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 refuses CAs that do not say what their keys are for; private ones often do not, and Go takes them.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    made.set_alpn_protocols(["http/1.1"])
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if folder is not None:
        _load(made, folder)
    return made


def _load(made: ssl.SSLContext, folder: str) -> None:
    names = sorted(os.listdir(folder))
    for name in names:
        path = os.path.join(folder, name)
        try:
            if name.endswith(".crt"):
                made.load_verify_locations(path)
            elif name.endswith(".cert"):
                key = name.removesuffix(".cert") + ".key"
                if key not in names:
                    raise InvalidParameter(
                        f"missing key {key} for client certificate {name}. CA certificates must use the "
                        "extension .crt"
                    )
                made.load_cert_chain(path, os.path.join(folder, key), password=_no_password)
            elif name.endswith(".key") and name.removesuffix(".key") + ".cert" not in names:
                raise InvalidParameter(
                    f"missing client certificate {name.removesuffix('.key')}.cert for key {name}"
                )
        except (ssl.SSLError, OSError) as error:
            raise InvalidParameter(f"cannot use {path}: {error}") from None


def _no_password() -> str:
    raise ssl.SSLError("the key is encrypted")
