"""Templates on plain data; the recorded table compares many more with docker's own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.spec.template.executor import ExecutionError, Template, TemplateError
from sampan.spec.template.functions import FUNCTIONS, HEADER_FUNCTIONS
from sampan.spec.template.values import Header, Map, Nil, Pointer, Record, Slice, Struct

DATA: dict[str, Any] = {
    "Name": "x",
    "List": ["a", "b"],
    "Map": {"k": 1, "j": [True, 1.5]},
    "Nothing": None,
    "Number": 3,
    "Struct": Struct(
        "t.S",
        {"A": 1, "B": Pointer(Struct("t.P", {"C": "c"}, {"C": "c"}, frozenset()))},
        {"A": 1},
        frozenset(),
    ),
    "NilSlice": Nil("slice", "[]string"),
    "NilMap": Nil("map", "map[string]string"),
    "NilPointer": Nil("pointer", "*t.P"),
    "Labels": Map({"a": "1"}, ""),
    "Strings": Slice(["p", "q"], "[]string"),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{.Missing}} {{.Nothing}}", "<no value> <no value>"),
        ("{{.NilSlice}} {{.NilMap}} {{.NilPointer}}", "[] map[] <nil>"),
        ("{{len .NilSlice}} {{range .NilMap}}x{{else}}none{{end}}", "0 none"),
        ("{{.Struct}} {{.Struct.B.C}} {{.Struct.B}}", "{1 0xc000010000} c {c}"),
        ("{{.Map}} {{.List}}", "map[j:[true 1.5] k:1] [a b]"),
        ('{{index .Labels "none"}}|{{index .Labels "a"}}|{{.Labels.none}}', "|1|<no value>"),
        ('{{join .Strings "-"}} {{join .NilSlice "-"}}', "p-q "),
        ("{{range $k, $v := .Map}}{{$k}};{{end}}", "j;k;"),
        ("{{$x := 1}}{{range .List}}{{$x = .}}{{end}}{{$x}}", "b"),
        ("{{with .Missing}}y{{else with .Name}}{{.}}{{end}}", "x"),
        ("{{range .List}}{{$.Name}}{{.}} {{end}}", "xa xb "),
        (
            '{{define "r"}}{{if .}}{{len .}}{{template "r" (slice . 1)}}{{end}}{{end}}{{template "r" .List}}',
            "21",
        ),
        ("{{eq .Nothing nil}} {{eq .Number 1 2 3}} {{and}}", None),
        ("{{and .Name .Nothing .Missing.Deep}}", "<no value>"),
        ("{{or .Nothing .Name .Nothing.Deep}}", "x"),
        ('{{json .Map}} {{json .NilSlice}} {{json "<"}}', '{"j":[true,1.5],"k":1} null "<"'),
        ('{{print nil}} {{printf "%v %d %s" nil nil nil}}', "<nil> <nil> %!d(<nil>) <nil>"),
    ],
)
def test_results(text: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(
            ExecutionError, match="wrong number of args for and: want at least 1 got 0"
        ):
            Template(text).execute(DATA)
        return
    assert Template(text).execute(DATA) == expected


@pytest.mark.parametrize(
    ("text", "strict", "message"),
    [
        ("{{.Missing}}", True, 'map has no entry for key "Missing"'),
        ("{{.Nothing.Deep}}", False, "nil pointer evaluating interface {}.Deep"),
        ("{{.NilPointer.C}}", False, "nil pointer evaluating *t.P.C"),
        ("{{.Struct.Z}}", False, "can't evaluate field Z in type t.S"),
        ("{{.Struct.B.Z}}", False, "can't evaluate field Z in type *t.P"),
        (
            '{{define "r"}}{{template "r" .}}{{end}}{{template "r" .}}',
            False,
            "exceeded maximum template depth (100)",
        ),
        ("{{len .NilPointer}}", False, "error calling len: len of nil pointer"),
        ("{{index .NilPointer 1}}", False, "error calling index: index of nil pointer"),
        ("{{lt .Name 1}}", False, "error calling lt: incompatible types for comparison"),
        (
            "{{eq .List .List}}",
            False,
            "error calling eq: non-comparable type []interface {}: [a b]",
        ),
        ("{{.Name.Foo}}", False, "can't evaluate field Foo in type string"),
        ("{{.Name.Foo}}", True, "can't evaluate field Foo in type interface {}"),
        ("{{range $i := .Struct}}{{end}}", False, "range can't iterate over {1 0xc000010000}"),
    ],
)
def test_failures(text: str, strict: bool, message: str) -> None:
    with pytest.raises(ExecutionError) as error:
        Template(text, strict=strict).execute(DATA)
    assert str(error.value).endswith(message)


def test_where_it_fails() -> None:
    with pytest.raises(ExecutionError) as error:
        Template("\u00e9\n\u00e9 {{ .Name.Foo }}", name="n").execute(DATA)
    assert (
        str(error.value)
        == 'template: n:2:11: executing "n" at <.Name.Foo>: can\'t evaluate field Foo in type string'
    )


def test_which_fields_it_uses() -> None:
    text = '{{.A.B}}{{if .C}}{{range $x := .D}}{{.E}}{{else}}{{.F}}{{end}}{{end}}{{printf "%s" (index .G 0).H}}'
    assert Template(text).fields() == {"A", "C", "D", "E", "F", "G"}


class Row(Record):
    type_name = "*t.Row"

    def columns(self) -> Any:
        return {"Name": lambda: "n", "Label": lambda key: f"<{key}>", "Size": lambda: "1"}

    def hidden(self) -> frozenset[str]:
        return frozenset(("Label",))


def test_rows() -> None:
    assert Template('{{.Name}} {{.Label "a"}} {{"b" | .Label}} {{json .}}').execute(Row()) == (
        'n <a> <b> {"Name":"n","Size":"1"}'
    )
    for text, message in (
        ("{{.Label}}", "wrong number of args for Label: want 1 got 0"),
        ('{{.Label "a" "b"}}', "wrong number of args for Label: want 1 got 2"),
        ("{{.Label 5}}", "expected string; found 5"),
        ("{{.Foo}}", "can't evaluate field Foo in type *t.Row"),
    ):
        with pytest.raises(ExecutionError) as error:
            Template(text).execute(Row())
        assert str(error.value).endswith(message)


def test_headings_are_left_alone_by_functions() -> None:
    header = Header({"Name": "NAME"})
    text = '{{upper .Name}} {{truncate .Name 2}} {{json .Name}} {{join (split .Name "A") "-"}} {{.Label "org.my-label_x"}} {{pad .Name 1 1}}|'
    assert (
        Template(text, HEADER_FUNCTIONS).execute(header) == "NAME NAME NAME NAME my label x  NAME |"
    )


@given(st.text(alphabet="{}.$|()\"'`-/*:=, \nNameList0123rangeifendelsewithtemplatedefine"))
def test_any_text_is_a_template_or_an_error(text: str) -> None:
    assert isinstance(outcome("{{" + text, DATA), str)


def outcome(text: str, data: Any) -> str:
    """What comes out, or the complaint; anything else that is raised fails the test."""
    try:
        return Template(text).execute(data)
    except (TemplateError, ExecutionError) as error:
        return str(error)


@given(
    st.sampled_from(sorted(FUNCTIONS)),
    st.lists(
        st.none()
        | st.booleans()
        | st.integers(-3, 3)
        | st.text(max_size=3)
        | st.just(["a"])
        | st.just({"a": 1})
        | st.floats(),
        max_size=4,
    ),
)
def test_functions_fail_in_an_orderly_way(name: str, values: list[Any]) -> None:
    variables = {f"v{index}": value for index, value in enumerate(values)}
    text = "{{" + " ".join([name, *(f".{key}" for key in variables)]) + "}}"
    assert isinstance(outcome(text, variables), str)


@pytest.mark.parametrize("text", ["{{(" * 200 + ".", "{{if .Name}}" * 200, "{{" + "(" * 5000])
def test_depth_is_bounded(text: str) -> None:
    with pytest.raises(TemplateError):
        Template(text)
