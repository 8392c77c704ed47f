"""What `inspect` gets about a volume."""

from __future__ import annotations

from sampan.cli.types.schema import Schema

ROOT = "volume.Volume"

SCHEMA = Schema("""
volume.Volume:
CreatedAt? string
Driver string
Labels map[string]
Mountpoint string
Name string
Options map[string]
Scope string
Status? map[any]
UsageData? *volume.UsageData
volume.UsageData:
RefCount int
Size int
""")
