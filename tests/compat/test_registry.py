"""Registries: pull, push, login, search. Debian's docker-registry, and one that misbehaves, on a host of their own."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.archives import archive, directory, file
from tests.compat.conftest import DRIVERS
from tests.engines import Driver, Engine, Host, wait_until
from tests.fakes.images import Document, make_image, make_index, plain_layer
from tests.fakes.registry import Registry, altered, answer, cut, error, held, streamed
from tests.fakes.tokens import TokenServer
from tests.registries import docker_registry, in_background, make_tls
from tests.rootfs import busybox_tar

pytestmark = pytest.mark.skipif(
    shutil.which("docker-registry") is None, reason="needs Debian's docker-registry"
)
PLAIN = "127.0.0.1:5000"
OUTSIDE = "192.0.2.2"  # the host's own address that is not loopback
CERTS = Path("/etc/docker/certs.d")


@dataclass
class Lab:
    """One host with both engines, a registry, and whatever a test adds."""

    root: Path
    host: Host = field(default_factory=Host)
    engines: dict[str, Engine] = field(default_factory=dict)

    def engine(self, kind: str) -> Engine:
        if kind not in self.engines:
            if kind == "dockerd" and shutil.which("dockerd") is None:
                pytest.skip("the reference engine is not installed (Debian package docker.io)")
            flags = [f"--registry-mirror=http://{PLAIN}"]
            engine = self.engines[kind] = Engine(kind, self.root / kind[0], self.host, flags)
            engine.start()
            Driver(engine, "docker").load_image(busybox_tar(), "busybox:latest", 'CMD ["sh"]')
        return self.engines[kind]

    def close(self) -> None:
        try:
            for engine in self.engines.values():
                engine.dispose()
        finally:
            self.host.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("r"))
    with docker_registry(made.host, made.root / "plain", PLAIN):
        yield made
        made.close()


def _clean(driver: Driver) -> None:
    driver.close()
    for image in driver.engine.request("GET", "/images/json")[1]:
        for name in [*(image["RepoTags"] or []), *(image["RepoDigests"] or [])]:
            if not name.startswith(("busybox:", "hello-world:")):
                driver.engine.request("DELETE", f"/images/{name}?force=1")


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Driver]:
    client, kind = request.param.split("-")
    made = Driver(lab.engine(kind), client)
    yield made
    _clean(made)


@pytest.fixture(params=["docker", "sampan"])
def ours(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Driver]:
    made = Driver(lab.engine("sampand"), request.param)
    yield made
    _clean(made)


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    """A name in the registry that no other test uses."""
    word = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    return f"{PLAIN}/{word}"


@pytest.fixture
def faulty(lab: Lab) -> Iterator[Registry]:
    with in_background(lab.host, Registry()) as registry:
        yield registry


def runnable(*, extra: int = 0) -> Document:
    """An image of two or three layers that runs, for registries in memory."""
    small = archive(directory("data"), file("data/words", b"some words\n"))
    return make_image([busybox_tar(), small, *([plain_layer(7, extra)] if extra else [])])


def short(digest: str) -> str:
    return digest.partition(":")[2][:12]


def facts(driver: Driver, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(driver.ok("image", "inspect", name))[0]
    return found


# The way of an image there and back


def test_push_and_pull(driver: Driver, repository: str) -> None:
    """The lines of both, the digest, and the image that comes back."""
    name = f"{repository}:1"
    driver.ok("tag", "busybox", name)
    layer = short(facts(driver, name)["RootFS"]["Layers"][0])
    pushed = driver.ok("push", name).splitlines()
    assert pushed[:2] == [f"The push refers to repository [{repository}]", f"{layer}: Preparing"]
    assert f"{layer}: Pushed" in pushed or any("Mounted from" in line for line in pushed)
    match = re.fullmatch(r"1: digest: (sha256:[0-9a-f]{64}) size: \d+", pushed[-1])
    assert match is not None, pushed
    before = facts(driver, name)
    assert f"{repository}@{match[1]}" in before["RepoDigests"]
    driver.ok("rmi", name)
    again = driver.ok("pull", name).splitlines()
    assert again[0].endswith(f"Pulling from {repository.partition('/')[2]}")
    assert (
        again[-3:]
        == [
            f"Digest: {match[1]}",
            f"Status: Downloaded newer image for {name}",
            name,
        ]
        or again[-2] == f"Status: Image is up to date for {name}"
    )
    assert facts(driver, name)["Id"] == before["Id"]
    assert driver.ok("run", "--rm", name, "echo", "hi") == "hi"
    assert driver.ok("pull", name).splitlines() == [
        f"1: Pulling from {repository.partition('/')[2]}",
        f"Digest: {match[1]}",
        f"Status: Image is up to date for {name}",
        name,
    ]
    assert driver.ok("push", name).splitlines()[2] == f"{layer}: Layer already exists"


def test_pull_of_layers_that_are_new(driver: Driver, faulty: Registry) -> None:
    """Every layer's lines, in order; events; a second name of the same image fetches nothing."""
    image = runnable()
    for tag in ("1", "2"):
        faulty.add("a/b", tag, image)
    name = f"{faulty.authority}/a/b"
    lines = driver.ok("pull", f"{name}:1").splitlines()
    assert lines[0] == "1: Pulling from a/b"
    for layer in image.document["layers"]:
        told = [
            line.partition(": ")[2] for line in lines if line.startswith(short(layer["digest"]))
        ]
        assert told[0] == "Pulling fs layer"
        assert told[-2:] == ["Download complete", "Pull complete"]
    assert lines[-3:] == [
        f"Digest: {image.digest}",
        f"Status: Downloaded newer image for {name}:1",
        f"{name}:1",
    ]
    assert driver.ok("run", "--rm", f"{name}:1", "cat", "/data/words") == "some words"
    served = dict(faulty.served)
    assert f"Status: Downloaded newer image for {name}:2" in driver.ok("pull", f"{name}:2")
    assert driver.ok("pull", "-q", f"{name}@{image.digest}") == f"{name}@{image.digest}"
    assert faulty.served == served
    assert facts(driver, f"{name}:1")["Id"] == image.id
    assert facts(driver, f"{name}:1")["RepoDigests"] == [f"{name}@{image.digest}"]
    assert sorted(facts(driver, f"{name}:1")["RepoTags"]) == [f"{name}:1", f"{name}:2"]


def test_all_tags(driver: Driver, repository: str) -> None:
    """`push -a` and `pull -a`."""
    for tag in ("a", "b"):
        driver.ok("tag", "busybox", f"{repository}:{tag}")
    pushed = driver.ok("push", "-a", repository)
    assert len(re.findall(r"^[ab]: digest: sha256:", pushed, re.M)) == 2
    driver.ok("rmi", f"{repository}:a", f"{repository}:b")
    pulled = driver.ok("pull", "-a", repository)
    assert pulled.count("Digest: sha256:") == 2
    assert pulled.splitlines()[-1] == repository
    tags = set(facts(driver, f"{repository}:b")["RepoTags"])
    assert tags >= {f"{repository}:a", f"{repository}:b"}
    assert driver("pull", "-a", f"{repository}:a").err == "tag can't be used with --all-tags/-a\n"


def test_platforms(driver: Driver, faulty: Registry) -> None:
    """Out of an index: this machine's, the wanted one, or a clear failure."""
    here = runnable()
    arm = make_image([plain_layer(3)], platform="linux/arm64")
    index = make_index([(arm, "linux/arm64"), (here, "linux/amd64")])
    faulty.add("multi", "1", index)
    name = f"{faulty.authority}/multi:1"
    driver.ok("pull", name)
    assert facts(driver, name)["Id"] == here.id
    assert facts(driver, name)["RepoDigests"] == [f"{faulty.authority}/multi@{index.digest}"]
    driver.ok("pull", "--platform", "linux/arm64", name)
    assert facts(driver, name)["Architecture"] == "arm64"
    failed = driver("pull", "--platform", "linux/s390x", name)
    assert failed.code == 1
    assert "no matching manifest for linux/s390x in the manifest list entries" in failed.err


def test_an_index_is_pushed_when_all_of_it_is_here(
    ours: Driver, faulty: Registry, repository: str
) -> None:
    """Until then the one image, and a note that says so; with `--platform` the one image, without a note."""
    own = archive(directory("data"), file("data/words", repository.encode()))  # in no other index
    here = make_image([busybox_tar(), own])
    arm = make_image([own], platform="linux/arm64")
    index = make_index([(arm, "linux/arm64"), (here, "linux/amd64")], oci=True)
    faulty.add("multi", "1", index)
    name, target = f"{faulty.authority}/multi:1", f"{repository}:1"
    ours.ok("pull", name)
    ours.ok("tag", name, target)
    said = ours.ok("push", target)
    assert f"1: digest: {here.digest} size: {len(here.raw)}\n" in said
    assert said.endswith(
        "\n Info -> Not all multiplatform-content is present and only the available single-platform image was pushed\n"
        f"         \x1b[31m{index.digest}\x1b[0m -> \x1b[32m{here.digest}\x1b[0m"
    )
    ours.ok("pull", "--platform", "linux/arm64", name)
    said = ours.ok("push", target)
    assert said.endswith(f"1: digest: {index.digest} size: {len(index.raw)}")
    assert f"{repository}@{index.digest}" in facts(ours, target)["RepoDigests"]
    said = ours.ok("push", "--platform", "linux/amd64", target)
    assert said.endswith(f"1: digest: {here.digest} size: {len(here.raw)}")
    ours.ok("rmi", target, name)
    ours.ok("pull", f"{repository}@{index.digest}")


def test_what_is_pulled_when_a_container_needs_it(driver: Driver, faulty: Registry) -> None:
    """`run` and `create` with `--pull missing`, `always` and `never`."""
    faulty.add("x", "latest", runnable())
    name = f"{faulty.authority}/x"
    never = driver("run", "--rm", "--pull", "never", name, "true")
    assert never.code == 125
    assert f"No such image: {name}:latest" in never.err
    done = driver("run", "--rm", name, "echo", "hi")
    assert (done.code, done.out) == (0, "hi\n")
    assert done.err.startswith(f"Unable to find image '{name}:latest' locally\n")
    assert f"Status: Downloaded newer image for {name}:latest\n" in done.err
    again = driver("run", "--rm", name, "true")
    assert (again.code, again.err) == (0, "")
    always = driver("create", "--pull", "always", name)
    assert f"Status: Image is up to date for {name}:latest" in always.err
    quiet = driver("create", "--pull", "always", "-q", name)
    assert (quiet.code, quiet.err) == (0, "")


REFUSED = [
    (["pull", f"{PLAIN}/nope"], f"manifest for {PLAIN}/nope:latest not found: manifest unknown: manifest unknown"),
    (["pull", f"{PLAIN}/nope@sha256:{'0' * 64}"], f"manifest for {PLAIN}/nope@sha256:{'0' * 64} not found: manifest unknown: manifest unknown"),
    (["pull", "-a", f"{PLAIN}/nope"], f"repository {PLAIN}/nope not found: name unknown: repository name not known to registry"),
    (["pull", "127.0.0.1:1/x"], 'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused'),
    (["push", f"{PLAIN}/nope"], f"An image does not exist locally with the tag: {PLAIN}/nope"),
    (["push", "busybox@sha256:" + "0" * 64], "cannot push a digest reference"),
    (["pull", "UPPER"], "invalid reference format: repository name (library/UPPER) must be lowercase"),
    (["search", "--limit", "200", "x"], "Limit 200 is outside the range of [1, 100]"),
    (["search", "-f", "no=x", "x"], "Invalid filter 'no'"),
    (["search", f"{PLAIN}/x"], "Unexpected status code 404"),
    (["login", "-u", "bob", "-p", "x", "127.0.0.1:1"], 'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused'),
]  # fmt: skip


@pytest.mark.parametrize(("words", "text"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_fails(driver: Driver, words: list[str], text: str) -> None:
    """The same words and exit codes on both engines."""
    result = driver(*words)
    assert result.code == 1
    last = result.err.splitlines()[-1]
    assert last in (text, f"Error response from daemon: {text}")


def test_a_look_at_a_distribution(driver: Driver, faulty: Registry) -> None:
    """`GET /distribution/NAME/json`."""
    here = runnable()
    index = make_index([(here, "linux/amd64")])
    faulty.add("x", "1", index)
    faulty.add("x", "plain", here)
    look = f"/distribution/{faulty.authority}/x"
    status, body = driver.engine.request("GET", f"{look}:1/json")
    assert (status, body["Descriptor"]["digest"]) == (200, index.digest)
    assert body["Descriptor"]["mediaType"] == index.media_type
    assert body["Platforms"] == [{"architecture": "amd64", "os": "linux"}]
    assert driver.engine.request("GET", f"{look}:plain/json")[1]["Platforms"] == body["Platforms"]
    status, body = driver.engine.request("GET", f"{look}:none/json")
    assert (status, "manifest unknown" in body["message"]) == (404, True)


def test_search(driver: Driver, faulty: Registry) -> None:
    """A registry that answers the first version's search."""
    found = [
        {"name": "a/one", "description": "first\nline", "star_count": 3, "is_official": False},
        {"name": "two", "description": "x" * 60, "star_count": 30, "is_official": True},
    ]
    body = json.dumps({"num_results": 2, "results": found}).encode()
    faulty.fault("GET", "/v1/_ping", answer(200, b"true"))
    faulty.fault("GET", "/v1/search", answer(200, body, Content_Type="application/json"))
    lines = driver.ok("search", f"{faulty.authority}/word").splitlines()
    assert [line.split() for line in lines] == [
        ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"],
        ["a/one", "first", "line", "3"],
        ["two", "x" * 44 + "…", "30", "[OK]"],
    ]
    assert driver.ok("search", "-f", "is-official=true", "--format", "{{.Name}}", f"{faulty.authority}/word") == "two"  # fmt: skip
    assert driver.ok("search", "-f", "stars=4", "--format", "{{.Name}}", f"{faulty.authority}/word") == "two"  # fmt: skip
    assert "q=word&n=25" in faulty.requests("GET", "/v1/search")[0].path


def test_a_mirror(driver: Driver, lab: Lab, repository: str) -> None:
    """docker.io's names come from the mirror, which is a registry like any other."""
    word = repository.partition("/")[2]
    mirrored = f"{PLAIN}/library/{word}:1"
    driver.ok("tag", "busybox", mirrored)
    driver.ok("push", mirrored)
    driver.ok("rmi", mirrored)
    assert driver.ok("pull", f"{word}:1").splitlines()[0] == f"1: Pulling from library/{word}"
    assert facts(driver, f"{word}:1")["RepoTags"][-1] == f"{word}:1"
    shown = driver.engine.request("GET", "/info")[1]["RegistryConfig"]["Mirrors"]
    assert shown == [f"http://{PLAIN}/"]


# Who may


def config(driver: Driver, folder: Path) -> Driver:
    """The driver with a configuration folder of its own."""

    class Configured(Driver):
        def argv(self, *args: str) -> list[str]:
            program, *rest = super().argv(*args)
            return [program, "--config", str(folder), *rest]

    return Configured(driver.engine, driver.client)


def test_passwords(driver: Driver, lab: Lab, tmp_path: Path) -> None:
    """htpasswd: login, wrong and right, pull, push, logout."""
    user = config(driver, tmp_path / "config")
    where = "127.0.0.1:5001"
    with docker_registry(lab.host, tmp_path / "r", where, htpasswd={"bob": "secret"}):
        name = f"{where}/x:1"
        user.ok("tag", "busybox", name)
        nobody = user("push", name)
        assert (nobody.code, nobody.err.splitlines()[-1]) == (1, "no basic auth credentials")
        wrong = user("login", "-u", "bob", "--password-stdin", where, input="wrong\n")
        assert wrong.code == 1
        assert (
            f"login attempt to http://{where}/v2/ failed with status: 401 Unauthorized" in wrong.err
        )
        assert not (tmp_path / "config" / "config.json").exists()
        right = user("login", "-u", "bob", "--password-stdin", where, input="secret\n")
        assert (right.code, right.out) == (0, "Login Succeeded\n")
        kept = json.loads((tmp_path / "config" / "config.json").read_text())
        assert kept == {"auths": {where: {"auth": "Ym9iOnNlY3JldA=="}}}
        user.ok("push", name)
        user.ok("rmi", name)
        user.ok("pull", name)
        assert user.ok("login", where).endswith("Login Succeeded")
        user.ok("logout", where)
        refused = user("pull", name)
        assert "no basic auth credentials" in refused.err
        assert "secret" not in driver.engine.log
        assert "Ym9iOnNlY3JldA" not in driver.engine.log


def test_tokens(driver: Driver, lab: Lab, tmp_path: Path) -> None:
    """docker-registry with a token server: nobody may read, users may write, tokens are signed."""
    tls = make_tls(tmp_path / "tls", "127.0.0.1")
    certificate, key = tls.pair("server")
    user = config(driver, tmp_path / "config")
    where = "127.0.0.1:5002"
    server = TokenServer({"bob": "secret"}, key=key, certificate=certificate)
    with in_background(lab.host, server) as tokens:
        section = {
            "realm": tokens.url,
            "service": tokens.service,
            "issuer": "issuer",
            "rootcertbundle": str(tls.authority),
        }
        with docker_registry(lab.host, tmp_path / "r", where, token=section):
            name = f"{where}/x:1"
            user.ok("tag", "busybox", name)
            denied = user("push", name)
            assert denied.code == 1
            assert re.search("denied|unauthorized", denied.err)
            wrong = user("login", "-u", "bob", "-p", "wrong", where)
            assert (wrong.code, "incorrect username or password" in wrong.err) == (1, True)
            user.ok("login", "-u", "bob", "-p", "secret", where)
            user.ok("push", name)
            user.ok("logout", where)
            user.ok("rmi", name)
            user.ok("pull", name)


def test_certificates(driver: Driver, lab: Lab, tmp_path: Path) -> None:
    """TLS with a CA of one's own: unknown without certs.d, good with it; a client's certificate where one is wanted."""
    tls = make_tls(tmp_path / "tls", OUTSIDE)
    where, guarded = f"{OUTSIDE}:5443", f"{OUTSIDE}:5444"
    folders = [CERTS / where, CERTS / guarded]
    with (
        docker_registry(lab.host, tmp_path / "r", where, tls=tls),
        docker_registry(
            lab.host,
            tmp_path / "g",
            guarded,
            tls=tls,
            clients=True,
            storage=tmp_path / "r" / "data",
        ),
    ):
        driver.ok("tag", "busybox", f"{where}/x:1")
        unknown = driver("push", f"{where}/x:1")
        assert unknown.code == 1
        assert "x509: certificate signed by unknown authority" in unknown.err
        try:
            for folder in folders:
                folder.mkdir(parents=True)
                shutil.copy(tls.authority, folder / "ca.crt")
            driver.ok("push", f"{where}/x:1")
            stranger = driver("pull", f"{guarded}/x:1")
            assert (stranger.code, "remote error: tls: " in stranger.err) == (1, True), stranger.err
            for end in ("crt", "key"):
                name = "client.cert" if end == "crt" else "client.key"
                shutil.copy(tls.folder / f"client.{end}", folders[1] / name)
            driver.ok("pull", f"{guarded}/x:1")
        finally:
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)


# Others read what we wrote


def test_skopeo_reads_what_was_pushed(driver: Driver, lab: Lab, repository: str, tmp_path: Path) -> None:  # fmt: skip
    """The digest it sees is the one that was said; every blob is what its digest names."""
    name = f"{repository}:1"
    driver.load_image(busybox_tar(), name)
    match = re.search(r"digest: (sha256:\w+)", driver.ok("push", name))
    assert match is not None
    skopeo = [*lab.host.enter(), "skopeo", "--insecure-policy"]
    out = subprocess.run(
        [*skopeo, "inspect", "--tls-verify=false", f"docker://{name}"],
        check=True, capture_output=True, timeout=60,
    ).stdout  # fmt: skip
    assert json.loads(out)["Digest"] == match[1]
    subprocess.run(
        [*skopeo, "copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path}/d"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    driver.ok("rmi", name)
    driver.ok("pull", name)


@pytest.mark.parametrize("way", ["sampand-dockerd", "dockerd-sampand"])
def test_one_engine_pulls_what_the_other_pushed(lab: Lab, repository: str, way: str) -> None:
    """Ids and digests agree, and a push of what was pulled changes no byte."""
    here, there = (Driver(lab.engine(kind), "docker") for kind in way.split("-"))
    name = f"{repository}:1"
    here.load_image(busybox_tar(), name, "ENV A=b")
    first = re.search(r"digest: (sha256:\w+)", here.ok("push", name))
    assert first is not None
    there.ok("pull", name)
    assert facts(there, name)["Id"] == facts(here, name)["Id"]
    assert facts(there, name)["RepoDigests"] == [f"{repository}@{first[1]}"]
    assert there.ok("run", "--rm", name, "sh", "-c", "echo $A") == "b"
    there.ok("tag", name, f"{repository}-again:2")
    second = re.search(r"digest: (sha256:\w+)", there.ok("push", f"{repository}-again:2"))
    assert second is not None
    if there.engine.kind == "sampand":  # the reference writes a manifest of its own
        assert second[1] == first[1]
    for driver in (here, there):
        _clean(driver)


# A registry that misbehaves


async def _endless() -> Any:
    while True:
        yield b"x" * 65536


def _wrong(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


MISBEHAVIOUR = {
    "cut once": (("blobs/", cut(100_000), 1), ""),
    "cut manifest": (("manifests/", cut(10), 1), ""),
    "500 once": (("blobs/", answer(500), 1), ""),
    "503 once": (("manifests/", answer(503), 1), ""),
    "429 once": (("blobs/", answer(429, b"", Retry_After="1"), 1), ""),
    "wrong bytes": (("blobs/{layer}", altered(_wrong), -1), "verification failed for digest"),
    "too short": (("blobs/{layer}", altered(lambda data: data[:-5]), -1), "."),
    "too long": (("blobs/{layer}", altered(lambda data: data + b"more"), -1), "."),
    "endless": (("blobs/{layer}", streamed(_endless), -1), "."),
    "wrong config": (("blobs/{config}", altered(_wrong), -1), "."),
    "wrong manifest": (("manifests/", altered(lambda data: data + b" "), -1), "."),
    "no blob": (("blobs/{layer}", lambda *_: _async(error(404, "BLOB_UNKNOWN")), -1), "."),
}


async def _async(value: Any) -> Any:
    return value


@pytest.mark.parametrize("what", MISBEHAVIOUR)
def test_misbehaviour(ours: Driver, faulty: Registry, what: str) -> None:
    """What passes is got over; what does not fails, leaves no image, and a good pull afterwards succeeds."""
    image = runnable()
    faulty.add("x", "1", image)
    name = f"{faulty.authority}/x:1"
    (path, fault, times), text = MISBEHAVIOUR[what]
    config = image.document["config"]["digest"]
    path = path.format(layer=image.document["layers"][0]["digest"], config=config)
    faulty.fault("GET", path, fault, times=times)
    result = ours("pull", name, timeout=90)
    if text:
        assert result.code == 1, result.out
        assert re.search(text, result.err), result.err
        assert faulty.authority not in ours.ok("images", "--digests")
        faulty.clear()
        ours.ok("pull", name)
    else:
        assert result.code == 0, result.err
    assert ours.ok("run", "--rm", name, "cat", "/data/words") == "some words"


def test_credentials_do_not_follow_a_redirect(driver: Driver, lab: Lab, tmp_path: Path) -> None:
    """Blobs from another host: the password stays with the registry."""
    image = runnable()
    with (
        in_background(lab.host, Registry(users={"bob": "secret"})) as registry,
        in_background(lab.host, Registry()) as storage,
    ):
        registry.add("x", "1", image)
        storage.add("x", "1", image)

        async def elsewhere(_: Registry, request: Any) -> Any:
            headers = {"Location": f"{storage.origin}{request.raw_path}"}
            return await answer(307, b"", **headers)(registry, request)

        registry.fault("GET", "/blobs/", elsewhere)
        user = config(driver, tmp_path / "config")
        user.ok("login", "-u", "bob", "-p", "secret", registry.authority)
        user.ok("pull", f"{registry.authority}/x:1")
        assert storage.requests("GET", "/blobs/")
        assert {seen.authorization for seen in storage.seen} == {""}


# Interruptions


@pytest.fixture
def half(faulty: Registry) -> tuple[Registry, str, asyncio.Event]:
    """A registry whose big layer stops after 4 MB until it is told to go on."""
    image = runnable(extra=8 << 20)
    faulty.add("big", "1", image)
    big = image.document["layers"][2]["digest"]
    go_on = asyncio.Event()
    faulty.fault("GET", big, held(go_on, before=4 << 20), times=1)
    return faulty, big, go_on


def _arriving(engine: Engine) -> bool:
    """Some megabytes of a layer are on the disk."""
    folder = engine.data_root / "content" / "ingest"
    return any(path.stat().st_size >= 3 << 20 for path in folder.glob("*.part"))


def test_a_killed_daemon(ours: Driver, half: tuple[Registry, str, asyncio.Event]) -> None:
    """kill -9 in the middle: nothing is visible, and the next pull goes on where it was."""
    faulty, big, _ = half
    name = f"{faulty.authority}/big:1"
    pull = ours.popen("pull", name)
    wait_until(lambda: _arriving(ours.engine), "the layer to arrive in part")
    ours.engine.kill()
    assert pull.wait(20) != 0
    ours.engine.start()
    assert faulty.authority not in ours.ok("images")
    ours.ok("pull", name)
    resumed = [seen.range for seen in faulty.requests("GET", big)][1:]
    assert len(resumed) == 1
    assert int(re.fullmatch(r"bytes=(\d+)-", resumed[0])[1]) >= 3 << 20  # type: ignore[index]
    assert ours.ok("run", "--rm", name, "cat", "/data/words") == "some words"
    assert not list((ours.engine.data_root / "content" / "ingest").iterdir())


def test_ctrl_c(ours: Driver, half: tuple[Registry, str, asyncio.Event]) -> None:
    """The client's end is the pull's; what has come is kept for the next one."""
    faulty, big, _ = half
    name = f"{faulty.authority}/big:1"
    pull = ours.popen("pull", name)
    wait_until(lambda: _arriving(ours.engine), "the layer to arrive in part")
    pull.send_signal(signal.SIGINT)
    assert pull.wait(20) in (130, 1)
    stages = ours.engine.data_root / "snapshots"
    wait_until(lambda: not list(stages.glob("new-*")), "the stages to go")
    ours.ok("pull", name)
    assert len(faulty.requests("GET", big)) == 2
    assert faulty.requests("GET", big)[1].range
    assert ours.ok("run", "--rm", name, "true") == ""


def test_two_pulls_at_once(ours: Driver, half: tuple[Registry, str, asyncio.Event]) -> None:
    """A layer that both want is fetched once, and goes on for the second when the first gives up."""
    faulty, big, go_on = half
    faulty.add("big", "2", make_index([(runnable(extra=8 << 20), "linux/amd64")]))
    first = ours.popen("pull", f"{faulty.authority}/big:1")
    wait_until(lambda: _arriving(ours.engine), "the layer to arrive in part")
    second = ours.popen("pull", f"{faulty.authority}/big:2")
    wait_until(lambda: faulty.requests("HEAD", "manifests/2"), "the second pull to begin")
    wait_until(lambda: len(faulty.requests("GET", "manifests/")) >= 3, "the second manifest")
    first.send_signal(signal.SIGINT)
    first.wait(20)
    faulty.call(go_on.set)
    assert second.wait(60) == 0
    assert len(faulty.requests("GET", big)) == 1
    assert ours.ok("run", "--rm", f"{faulty.authority}/big:2", "true") == ""


def test_ten_at_once(ours: Driver, faulty: Registry) -> None:
    """Pulls, removals and runs of images that share layers: each ends well, or says that the image is not there."""
    shared = [busybox_tar(), plain_layer(1, 300_000), plain_layer(2, 300_000)]
    names = []
    for number in range(4):
        layers = [*shared[: 1 + number % 3], plain_layer(10 + number, 50_000)]
        faulty.add("many", str(number), make_image(layers))
        names.append(f"{faulty.authority}/many:{number}")
    words = [["pull", "-q", name] for name in names]
    words += [["rmi", "-f", name] for name in names[:3]]
    words += [["run", "--rm", name, "echo", "ran"] for name in names[:3]]
    for _ in range(3):
        running = [ours.popen(*line) for line in words]
        for line, process in zip(words, running):
            out, err = process.communicate(timeout=90)
            if process.returncode != 0:
                assert re.search(rb"(?i)no such image|being used|is using", err), (line, out, err)
    for name in names:
        ours.ok("pull", "-q", name)
        assert ours.ok("run", "--rm", name, "echo", "fine") == "fine"
    for name in names:
        ours.ok("rmi", "-f", name)
    folders = ours.engine.data_root / "content"
    assert not list((folders / "ingest").iterdir())
    known = {tuple(i["RepoTags"]) for i in ours.engine.request("GET", "/images/json")[1]}
    assert known == {("busybox:latest",), ("hello-world:latest",)}


def test_events(driver: Driver, repository: str) -> None:
    """What pull and push tell: a name, not an id."""
    driver.ok("tag", "busybox", f"{repository}:1")
    begin = driver.engine.request("GET", "/info")[1]["SystemTime"]
    driver.ok("push", f"{repository}:1")
    driver.ok("pull", f"{repository}:1")
    end = driver.engine.request("GET", "/info")[1]["SystemTime"]
    shown = driver.ok(
        *("events", "--since", begin, "--until", end, "-f", "type=image"),
        *("--format", "{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}}"),
    )
    assert [line for line in shown.splitlines() if repository in line] == [
        f"push {repository}:1 {repository}",
        f"pull {repository}:1 {repository}",
    ]
