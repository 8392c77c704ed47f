"""Users' passwords for registries: in `config.json`, or with a credential helper that it names.

    auths         {"reg.example:5000": {"auth": base64 of user:password, "identitytoken": …}}
    credHelpers   {"reg.example:5000": "pass"}     for this registry: the program docker-credential-pass
    credsStore    "secretservice"                  for every other one

A helper gets a verb as its argument and what is secret through its standard input, never in its arguments. Without
either, a config.json that has no `auths` yet uses the desktop's helper when there is one, as docker does.
"""

from __future__ import annotations

import os

from sampan.cli import output
from sampan.cli.failure import Failure
from sampan.spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.config import Config

HUB = "https://index.docker.io/v1/"
_TOKEN_USER = "<token>"
_NOT_FOUND = "credentials not found in native keychain"
_OUTPUT_LIMIT = 1 << 20


class Account:
    """A user at a registry. `password` and `identity_token` exclude each other."""

    __slots__ = ("identity_token", "password", "server", "username")

    def __init__(
        self, server: str, username: str = "", password: str = "", identity_token: str = ""
    ) -> None:
        self.server = server
        self.username = username
        self.password = password
        self.identity_token = identity_token

    def body(self) -> dict[str, str]:
        """The API's AuthConfig."""
        fields = {
            "username": self.username,
            "password": self.password,
            "identitytoken": self.identity_token,
        }
        found = {name: value for name, value in fields.items() if value}
        return found | {"serveraddress": self.server} if found else {}


def server_of(domain: str) -> str:
    """The key under which the password of a reference's domain is kept."""
    return HUB if domain == "docker.io" else domain


def hostname_of(server: str) -> str:
    """`http://host/v1/` as `host`."""
    scheme, separator, rest = server.partition("://")
    return (rest if separator and scheme in ("http", "https") else server).partition("/")[0]


def load(config: Config, server: str) -> Account:
    """What is known of the user at `server`; empty when nothing is. Raises Failure when a helper fails."""
    helper = _helper_of(config, server)
    if helper:
        return _from_helper(helper, server)
    auths = config.auths()
    entry = auths.get(server) or next(
        (found for key, found in auths.items() if hostname_of(key) == server), None
    )
    if not isinstance(entry, dict):
        return Account(server)
    username, password = _decode(entry.get("auth", ""))
    token = entry.get("identitytoken") or ""
    return Account(server, username, "" if token else password, token)


def store(config: Config, account: Account) -> None:
    """Remember an account. Raises Failure."""
    helper = _helper_of(config, account.server)
    if helper:
        user = _TOKEN_USER if account.identity_token else account.username
        secret = account.identity_token or account.password
        document = {"ServerURL": account.server, "Username": user, "Secret": secret}
        _call(helper, "store", jsontext.dumps(document))
        config.set_auth(account.server, {})
        return
    pair = f"{account.username}:{account.password}".encode()
    entry: dict[str, str] = {"auth": _base64(pair)} if account.username else {}
    if account.identity_token:
        entry["identitytoken"] = account.identity_token
    if config.set_auth(account.server, entry):
        output.error(
            f"\nWARNING! Your credentials are stored unencrypted in '{config.path}'.\n"
            "Configure a credential helper to remove this warning. See\n"
            "https://docs.docker.com/go/credential-store/\n\n"
        )


def erase(config: Config, server: str) -> None:
    """Forget it. Raises Failure."""
    helper = _helper_of(config, server)
    if helper:
        _call(helper, "erase", server)
    config.remove_auth(server)


def header(config: Config, domain: str) -> str:
    """X-Registry-Auth for a reference's domain: base64url of an AuthConfig. Raises Failure."""
    text = _base64(jsontext.dumps(load(config, server_of(domain)).body()).encode())
    return text.replace("+", "-").replace("/", "_")


def _helper_of(config: Config, server: str) -> str:
    """The name of the program, without `docker-credential-`; empty for the file."""
    helpers = config.table("credHelpers")
    if isinstance(helpers.get(server), str):
        return str(helpers[server])
    if named := config.text("credsStore"):
        return named
    if config.has_passwords():
        return ""
    default = "pass" if _find("pass") else "secretservice"
    return default if _find(f"docker-credential-{default}") else ""


def _from_helper(helper: str, server: str) -> Account:
    answer = _call(helper, "get", server)
    if answer is None:
        return Account(server)
    try:
        found = jsontext.loads(answer)
        user, secret = str(found["Username"]), str(found["Secret"])
    except (ValueError, KeyError, TypeError):
        raise Failure(f"error getting credentials - docker-credential-{helper}: no JSON") from None
    if user == _TOKEN_USER:
        return Account(server, identity_token=secret)
    return Account(server, user, secret)


def _call(helper: str, verb: str, text: str) -> bytes | None:
    """The answer of a helper, None when it knows nothing of the server. Raises Failure."""
    import subprocess

    verbs = {"get": "getting", "store": "storing", "erase": "erasing"}
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, verb], input=text.encode(), stdout=subprocess.PIPE, check=False
        )
    except OSError:
        raise Failure(
            f'error {verbs[verb]} credentials - err: exec: "{program}": executable file not found in $PATH, out: ``'
        ) from None
    said = done.stdout[:_OUTPUT_LIMIT].decode("utf-8", "replace").strip()
    if done.returncode == 0:
        return done.stdout[:_OUTPUT_LIMIT]
    if said == _NOT_FOUND and verb in ("get", "erase"):
        return None
    raise Failure(
        f"error {verbs[verb]} credentials - err: exit status {done.returncode}, out: `{said}`"
    )


def _find(program: str) -> bool:
    folders = os.environ.get("PATH", os.defpath).split(":")
    return any(os.access(os.path.join(folder or ".", program), os.X_OK) for folder in folders)


def _base64(data: bytes) -> str:
    from binascii import b2a_base64

    return b2a_base64(data, newline=False).decode()


def _decode(text: str) -> tuple[str, str]:
    """User and password out of `auth`; empty when it is no such thing."""
    from binascii import Error, a2b_base64

    try:
        user, colon, password = a2b_base64(text).decode("utf-8", "replace").partition(":")
    except Error:
        return "", ""
    return (user, password.rstrip("\0")) if colon else ("", "")
