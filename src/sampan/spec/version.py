"""What this is called to the outside."""

from __future__ import annotations

VERSION = "0.1.0"
