"""JSON becomes Go's structures: names, zero values, what is left out, what is embedded."""

from __future__ import annotations

import pytest

from sampan.cli.types import container, image, system
from sampan.cli.types.schema import Schema
from sampan.spec.template.executor import ExecutionError, Template
from tests import cli_cases

SCHEMA = Schema("""
t.Root:
ID=Id string
Count int
Names []string
Labels? map[string]
Inner *t.Inner
+ t.Base
When? time
Any any
t.Inner:
Flag bool
t.Base:
Shared string
Hidden? *int
""")


def execute(text: str, value: object) -> str:
    return Template(text).execute(SCHEMA.decode("t.Root", value))


def test_zero_values() -> None:
    assert (
        execute("{{.}}", {}) == "{ 0 [] map[] <nil> { <nil>} 0001-01-01 00:00:00 +0000 UTC <nil>}"
    )
    assert (
        execute("{{json .}}", {})
        == '{"Id":"","Count":0,"Names":null,"Inner":null,"Shared":"","Any":null}'
    )


def test_names_and_embedding() -> None:
    value = {
        "Id": "x",
        "Shared": "s",
        "Hidden": 5,
        "Labels": {"b": "2", "a": "1"},
        "Inner": {"Flag": True, "New": 1},
        "Any": {"z": 1, "a": 2},
    }
    assert (
        execute(
            "{{.ID}} {{.Shared}} {{.Base.Shared}} {{.Hidden}} {{.Inner.Flag}} {{.Labels}}", value
        )
        == "x s s 5 true map[a:1 b:2]"
    )
    assert execute("{{json .}}", value) == (
        '{"Id":"x","Count":0,"Names":null,"Labels":{"a":"1","b":"2"},"Inner":{"Flag":true},"Shared":"s","Hidden":5,"Any":{"a":2,"z":1}}'
    )
    with pytest.raises(ExecutionError, match=r"can't evaluate field Id in type t.Root"):
        execute("{{.Id}}", value)


@pytest.mark.parametrize("schema", [SCHEMA, container.SCHEMA, image.SCHEMA, system.SCHEMA])
def test_every_type_that_is_named_is_described(schema: Schema) -> None:
    simple = {"string", "int", "bool", "float", "any", "time"}
    for kind in list(schema._lines):
        for field in schema._fields_of(kind):
            name = field.type
            while name.startswith(("[]", "*", "map[")):
                name = (
                    name[4:-1]
                    if name.startswith("map[")
                    else name.lstrip("*")
                    if name[0] == "*"
                    else name[2:]
                )
            assert name in simple or name in schema._lines, (kind, field.name, name)


def test_a_container_keeps_what_it_was_sent() -> None:
    sent = cli_cases.container()
    decoded = container.SCHEMA.decode(container.ROOT, sent)
    assert set(sent) - set(decoded.json) == {"Extra"}
