"""Networks: the three that are always there. Networks of users are out of scope here."""

from __future__ import annotations

from sampan.api.routing import Route

ROUTES: list[Route] = []
