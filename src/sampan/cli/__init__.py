"""The command `sampan`: words, flags, tables, messages and exit codes of `docker`.

It starts in a few milliseconds because it imports nothing that is slow to import: the tests name the modules
that must not appear on the way of `ps`, `run`, `inspect` and `version`. Hence the sockets of `_socket`, the JSON
scanner of `_json`, plain classes instead of dataclasses, and commands that are imported when they are called.
Out of scope here: everything the daemon decides.
"""
