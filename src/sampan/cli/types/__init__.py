"""The Engine API's objects as docker's client knows them: names, order and types of fields.

Templates show it: `{{.HostConfig.CPUShares}}`, `{{.State}}` printed as a structure, `null` lists as `[]`.
"""
