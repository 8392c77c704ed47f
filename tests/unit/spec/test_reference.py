"""Image references are completed, shortened and refused as Docker does it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.errors import InvalidParameter
from sampan.spec.digest import parse_digest
from sampan.spec.reference import Reference, check_tag, parse

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("x", "docker.io/library/x:latest", "x:latest"),
        ("x:1", "docker.io/library/x:1", "x:1"),
        ("user/x", "docker.io/user/x:latest", "user/x:latest"),
        ("docker.io/x", "docker.io/library/x:latest", "x:latest"),
        ("docker.io/library/x", "docker.io/library/x:latest", "x:latest"),
        ("index.docker.io/user/x", "docker.io/user/x:latest", "user/x:latest"),
        ("registry.hub.docker.com/library/x", "docker.io/library/x:latest", "x:latest"),
        ("docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"),
        ("a.b/c", "a.b/c:latest", "a.b/c:latest"),
        ("a:5000/c", "a:5000/c:latest", "a:5000/c:latest"),
        ("Host/c", "Host/c:latest", "Host/c:latest"),
        ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
        ("[fe80::1]/x", "[fe80::1]/x:latest", "[fe80::1]/x:latest"),
        ("a__b/c--d/e.f_g", "docker.io/a__b/c--d/e.f_g:latest", "a__b/c--d/e.f_g:latest"),
        ("sha256:ab", "docker.io/library/sha256:ab", "sha256:ab"),
        (f"x@{DIGEST}", f"docker.io/library/x@{DIGEST}", f"x@{DIGEST}"),
        (f"x:1@{DIGEST}", f"docker.io/library/x:1@{DIGEST}", f"x:1@{DIGEST}"),
        ("x:" + "a" * 128, "docker.io/library/x:" + "a" * 128, "x:" + "a" * 128),
        ("x:_A.b-c", "docker.io/library/x:_A.b-c", "x:_A.b-c"),
    ],
)
def test_names_are_completed_and_shortened(text: str, canonical: str, familiar: str) -> None:
    """Canonical is what is stored, familiar is what people see; both mean the same."""
    reference = parse(text)
    assert (reference.canonical(), reference.familiar()) == (canonical, familiar)
    assert parse(canonical) == parse(familiar) == reference
    assert len({parse(canonical), reference}) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid reference format"),
        ("UPPER", "invalid reference format: repository name must be lowercase"),
        ("user/Upper", "invalid reference format: repository name must be lowercase"),
        *(
            (text, "invalid reference format")
            for text in (
                *("a//b", "x:", "x:..a", "x:-a", "-a", "a-", "a___b", "a.-b", "a._b", "a b", "a/"),
                *("/a", "a:b:c", "http://x", "x@y@z", "x@", "x@sha256:12", "x:" + "a" * 129, "ä"),
                *("a\n", "a:b\n", "x:tag@sha256:abc", "[::1/x", "[]:1/x", "a.b:/x", "a.b:x/y"),
                *("-a.b/x", "a-.b/x", "a..b/x", ".", "..", "a/../b", "%61", "a\0"),
            )
        ),
        (HEX, f"invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings"),
        ("a" * 300, "repository name must not be more than 255 characters"),
        (f"x@sha512:{HEX * 2}", "unsupported digest algorithm"),
        (f"x@sha256:{HEX[1:]}", "invalid checksum digest length"),
        (f"x@sha256:{HEX[1:]}A", "invalid checksum digest format"),
    ],
)
def test_bad_names_are_refused_in_dockers_words(text: str, message: str) -> None:
    """The status is 400 and the text is the one that clients match."""
    with pytest.raises(InvalidParameter) as failure:
        parse(text)
    assert str(failure.value) == message


def test_a_name_only_stays_one_on_request() -> None:
    """Callers that have the tag elsewhere can ask for none."""
    assert parse("x", default_tag=None).tag is None
    assert parse("x:1", default_tag=None).tag == "1"
    assert parse("x").with_tag("2").familiar() == "x:2"
    pinned = parse("x:1").with_digest(parse_digest(DIGEST))
    assert pinned.familiar() == f"x@{DIGEST}"
    assert repr(pinned) == f"Reference('docker.io/library/x@{DIGEST}')"
    assert pinned != "x"


@pytest.mark.parametrize("tag", ["", ".a", "-a", "a/b", "a:b", "a" * 129, "a\n"])
def test_bad_tags_are_refused(tag: str) -> None:
    """A tag alone, as the tag API has it."""
    with pytest.raises(InvalidParameter, match="invalid tag format"):
        check_tag(tag)


@given(st.text(alphabet="ab0.-_/:@[]A \n%\0é", max_size=40))
def test_whatever_parses_parses_again(text: str) -> None:
    """No text crashes the parser, and what it accepts is stable."""
    try:
        reference = parse(text)
    except InvalidParameter:
        return
    assert parse(reference.canonical()) == reference
    assert parse(reference.familiar()) == reference
    assert reference.familiar_name == reference.familiar_name.strip()
    assert isinstance(reference, Reference)


def test_the_command_line_can_afford_it() -> None:
    """Neither `re` nor `typing` nor `enum` is imported with it."""
    code = "import sys, sampan.spec.reference; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": "src"},
    ).stdout.split()
    assert not {"re", "typing", "enum", "dataclasses", "json", "hashlib"} & set(loaded)
