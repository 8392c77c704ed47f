"""What our own disk does to us, in words for the user."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sampan.errors import SampanError


@contextmanager
def disk_told() -> Iterator[None]:
    """A failure of the disk becomes a SampanError in Go's words: `write /…/x: no space left on device`."""
    try:
        yield
    except OSError as error:
        text = (os.strerror(error.errno) if error.errno else str(error)).lower()
        where = f" {error.filename}" if error.filename else ""
        raise SampanError(f"write{where}: {text}") from error
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        raise SampanError("write sampan.db: no space left on device") from error
