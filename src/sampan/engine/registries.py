"""Registries as the engine's verbs meet them: what the configuration says of them, names, and events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sampan.distribution.options import Options
from sampan.distribution.proxy import Proxies, from_environment
from sampan.engine.config import DaemonConfig
from sampan.engine.services import Services
from sampan.errors import InvalidParameter
from sampan.spec.digest import parse_digest
from sampan.spec.reference import Reference, parse
from sampan.store.images import Image

UNLIMITED = 1 << 30


def options_of(config: DaemonConfig, environment: Mapping[str, str]) -> Options:
    """The configuration's proxies win over those of the environment, one by one."""
    given = from_environment(environment)
    return Options(
        mirrors=config.registry_mirrors,
        prefix_mirrors=config.registry_prefix_mirrors,
        insecure_registries=config.insecure_registries,
        proxies=Proxies(
            config.http_proxy or given.http,
            config.https_proxy or given.https,
            config.no_proxy or given.no_proxy,
        ),
        max_downloads=config.max_concurrent_downloads or UNLIMITED,
        max_uploads=config.max_concurrent_uploads or UNLIMITED,
        attempts=config.max_download_attempts,
    )


def reference_of(name: str, tag: str = "") -> Reference:
    """What `fromImage` and `tag` mean; the tag may be a digest, and may be missing. Raises InvalidParameter."""
    reference = parse(name.removesuffix(":"), default_tag=None)
    if not tag:
        return reference
    try:
        return reference.with_digest(parse_digest(tag))
    except InvalidParameter:
        return reference.with_tag(tag)


def tell(services: Services, action: str, reference: Reference, image: Image | None) -> None:
    """The event of a pull or push, which is about a name."""
    labels: dict[str, Any] = dict(image.config.config.labels or {}) if image is not None else {}
    attributes = {**labels, "name": reference.familiar_name}
    services.events.emit("image", action, reference.familiar(), attributes)


def described(options: Options) -> dict[str, Any]:
    """`RegistryConfig` of `docker info`."""
    networks = [text for text in options.insecure_registries if "/" in text]
    hosts = [text for text in options.insecure_registries if "/" not in text]
    mirrors = [url.rstrip("/") + "/" for url in options.mirrors]
    index = {"Name": "docker.io", "Mirrors": mirrors, "Secure": True, "Official": True}
    others = {
        name: {"Name": name, "Mirrors": [], "Secure": False, "Official": False} for name in hosts
    }
    return {
        "AllowNondistributableArtifactsCIDRs": [],
        "AllowNondistributableArtifactsHostnames": [],
        "InsecureRegistryCIDRs": [*networks, "::1/128", "127.0.0.0/8"],
        "IndexConfigs": {"docker.io": index, **others},
        "Mirrors": mirrors or None,
    }


def described_proxies(options: Options) -> dict[str, str]:
    """As `docker info` shows them: without what is secret in them."""
    proxies = options.proxies
    return {
        "HttpProxy": _masked(proxies.http),
        "HttpsProxy": _masked(proxies.https),
        "NoProxy": proxies.no_proxy,
    }


def _masked(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    _, at, host = authority.rpartition("@")
    return f"{scheme}{separator}xxxxx:xxxxx@{host}{slash}{path}" if at else url
