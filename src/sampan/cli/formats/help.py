"""What `--help` says of `--format`."""

from __future__ import annotations

_PLAIN = """\
'json':             JSON
'TEMPLATE':         whatever a Go template makes of it"""

FORMAT = f"How to show it:\n{_PLAIN}"
FORMAT_TABLE = f"""\
How to show it:
'table':            a table with headings (default)
'table TEMPLATE':   a table of the columns in a Go template
{_PLAIN}"""
