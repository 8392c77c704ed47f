"""Lists as tables, lines or JSON, as `--format` asks."""
