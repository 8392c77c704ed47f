"""JSON with Go's habits, and hostile JSON: a struct or InvalidParameter, never anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampan.api import encode
from sampan.api.decode import check_content_type, decode, load
from sampan.api.shapes import CreateRequest, ExecCreateRequest
from sampan.errors import InvalidParameter
from sampan.spec.container import PortBinding


def create(value: Any) -> CreateRequest:
    return decode(json.dumps(value).encode(), CreateRequest)


def test_keys_match_without_regard_to_case() -> None:
    """As in Go, at every depth; keys of maps stay as they are."""
    request = create(
        {
            "image": "x",
            "LABELS": {"Aa": "b"},
            "hostconfig": {"portbindings": {"80/tcp": [{"hostport": "1"}]}, "MEMORY": 5},
            "networkingCONFIG": {
                "EndpointsConfig": {"Net": {"ipamconfig": {"ipv4address": "1.2.3.4"}}}
            },
        }
    )
    assert request.image == "x"
    assert request.labels == {"Aa": "b"}
    assert request.host_config.port_bindings == {"80/tcp": [PortBinding(host_port="1")]}
    assert request.host_config.memory == 5
    settings = (request.networking_config.endpoints_config or {})["Net"]
    assert settings.ipam_config is not None
    assert settings.ipam_config.i_pv4_address == "1.2.3.4"


def test_null_is_the_zero_value_and_unknown_keys_are_skipped() -> None:
    """Also as an element of a list or a map."""
    request = create(
        {
            "Image": None,
            "Tty": None,
            "Env": ["a", None],
            "Cmd": None,
            "HostConfig": {"Ulimits": [None], "Binds": None, "Init": None, "Sysctls": {"a": None}},
            "NetworkingConfig": None,
            "Nonsense": {"a": [1, 2.5, None]},
        }
    )
    assert (request.image, request.tty, request.env, request.cmd) == ("", False, ["a", ""], None)
    assert request.host_config.ulimits is not None
    assert request.host_config.ulimits[0].name == ""
    assert request.host_config.binds is None
    assert request.host_config.sysctls == {"a": ""}
    assert decode(b"null", CreateRequest) == CreateRequest()


def test_a_string_is_a_list_of_one_where_go_has_strslice() -> None:
    """Cmd, Entrypoint, Shell, CapAdd, CapDrop; not Env, and not an exec's Cmd."""
    request = create(
        {"Cmd": "a b", "Entrypoint": "", "Shell": "sh", "HostConfig": {"CapAdd": "ALL"}}
    )
    assert (request.cmd, request.entrypoint, request.shell) == (["a b"], [""], ["sh"])
    assert request.host_config.cap_add == ["ALL"]
    for shape, body in ((CreateRequest, b'{"Env":"a"}'), (ExecCreateRequest, b'{"Cmd":"a"}')):
        with pytest.raises(InvalidParameter, match="cannot unmarshal string"):
            decode(body, shape)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "invalid JSON: got EOF while reading request body"),
        (b" \n", "invalid JSON: got EOF while reading request body"),
        (b"{", "invalid JSON: unexpected EOF"),
        (b'{"Image":', "invalid JSON: unexpected EOF"),
        (b"{}{}", "unexpected content after JSON"),
        (b"{} x", "unexpected content after JSON"),
        (b'{"Image":5}', "invalid JSON: json: cannot unmarshal number into Go struct field CreateRequest.Image of type string"),
        (b"[]", "invalid JSON: json: cannot unmarshal array into Go value of type CreateRequest"),
        (b'"x"', "invalid JSON: json: cannot unmarshal string into Go value of type CreateRequest"),
        (b'{"HostConfig":[]}', "invalid JSON: json: cannot unmarshal array into Go struct field CreateRequest.HostConfig of type HostConfig"),
        (b'{"HostConfig":{"Memory":"x"}}', "invalid JSON: json: cannot unmarshal string into Go struct field CreateRequest.HostConfig.Memory of type int64"),
        (b'{"HostConfig":{"Memory":1.0}}', "invalid JSON: json: cannot unmarshal number 1.0 into Go struct field CreateRequest.HostConfig.Memory of type int64"),
        (b'{"HostConfig":{"Memory":9223372036854775808}}', "invalid JSON: json: cannot unmarshal number 9223372036854775808 into Go struct field CreateRequest.HostConfig.Memory of type int64"),
        (b'{"HostConfig":{"Memory":true}}', "invalid JSON: json: cannot unmarshal bool into Go struct field CreateRequest.HostConfig.Memory of type int64"),
        (b'{"Tty":1}', "invalid JSON: json: cannot unmarshal number into Go struct field CreateRequest.Tty of type bool"),
        (b'{"Tty":"true"}', "invalid JSON: json: cannot unmarshal string into Go struct field CreateRequest.Tty of type bool"),
        (b'{"Labels":{"a":1}}', "invalid JSON: json: cannot unmarshal number into Go struct field CreateRequest.Labels of type string"),
        (b'{"StopTimeout":NaN}', "invalid JSON: invalid character 'N' looking for beginning of value"),
        (b'{"StopTimeout":-Infinity}', "invalid JSON: invalid character '-' looking for beginning of value"),
        (b'{"StopTimeout":' + b"9" * 5000 + b"}", "invalid JSON: number 99999999999999999999… out of range"),
        (b"[" * 100_000, "invalid JSON: exceeded max depth"),
        (b'{"a":' * 100_000, "invalid JSON: exceeded max depth"),
        (b"[" * 70 + b"]" * 70, "invalid JSON: exceeded max depth"),
        (b'{"Image":"a","Image":"b"}', "invalid JSON: an object has the same key twice"),
        (b'{"Image":"a","image":"b"}', 'invalid JSON: an object has the key "Image" twice'),
        (b'{"Image":"\\ud800"}', "invalid JSON: a string has a NUL or half of a surrogate pair"),
        (b'{"Image":"a\\u0000b"}', "invalid JSON: a string has a NUL or half of a surrogate pair"),
        (b'{"Labels":{"\\udfff":""}}', "invalid JSON: a string has a NUL or half of a surrogate pair"),
        (b'{"Image":"\xff"}', "invalid JSON: invalid UTF-8 in string"),
        (b'{"Image":"a\nb"}', None),
        (b"\xef\xbb\xbf{}", None),
        (b"{'Image':1}", None),
        (b'{"Image":"x",}', None),
        (b"// comment\n{}", None),
    ],
)  # fmt: skip
def test_bad_json(body: bytes, text: str | None) -> None:
    """Each is InvalidParameter; where it stands here, with this text."""
    with pytest.raises(InvalidParameter) as error:
        decode(body, CreateRequest)
    assert text is None or str(error.value) == text
    assert len(str(error.value)) < 300


def test_good_texts_pass() -> None:
    """A whole surrogate pair is a character; large and negative numbers are numbers."""
    request = decode(
        b'{"Image":"\\ud83d\\ude00\\n","HostConfig":{"Memory":-9223372036854775808}}', CreateRequest
    )
    assert request.image == "\U0001f600\n"
    assert request.host_config.memory == -(1 << 63)


@given(st.binary(max_size=60))
def test_any_bytes(body: bytes) -> None:
    """Never another exception."""
    try:
        decode(body, CreateRequest)
    except InvalidParameter:
        pass


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Cmd", "env", "HostConfig", "Binds", "Memory", "x"]), inner
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(["Cmd", "HostConfig", "Labels", "NetworkingConfig"]), json_values
    )
)
def test_any_json(value: dict[str, Any]) -> None:
    """Values of any type at the places of known fields."""
    try:
        request = decode(json.dumps(value).encode(), CreateRequest)
    except InvalidParameter:
        return
    assert isinstance(request, CreateRequest)
    assert json.loads(encode.json(request))


@pytest.mark.parametrize(
    ("value", "has_body", "text"),
    [
        ("", False, None),
        ("application/json", True, None),
        ("Application/JSON; charset=utf-8", True, None),
        (
            "text/plain",
            True,
            "unsupported Content-Type header (text/plain): must be 'application/json'",
        ),
        (
            "text/plain",
            False,
            "unsupported Content-Type header (text/plain): must be 'application/json'",
        ),
        ("", True, "malformed Content-Type header (): mime: no media type"),
        ("nonsense", True, "malformed Content-Type header (nonsense): mime: no media type"),
    ],
)
def test_content_types(value: str, has_body: bool, text: str | None) -> None:
    """dockerd's texts; without a body no type is needed."""
    if text is None:
        check_content_type(value, has_body)
        return
    with pytest.raises(InvalidParameter) as error:
        check_content_type(value, has_body)
    assert str(error.value) == text


def test_load_keeps_what_json_has() -> None:
    """Floats, nested lists and maps of a body that has no shape (filters)."""
    assert load(b'{"a":[1,2.5,"x",null,true]}') == {"a": [1, 2.5, "x", None, True]}


def test_encoding_replaces_what_is_no_text() -> None:
    """Names that are not UTF-8 come as lone surrogates and go as U+FFFD; a newline ends the document."""
    body = {"a\udcff": ["b\ud800", ("c", 1)], "d": "ä"}
    assert encode.json(body) == '{"a\ufffd":["b\ufffd",["c",1]],"d":"ä"}\n'.encode()
