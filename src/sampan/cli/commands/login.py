"""`login`: prove who one is to a registry, and remember it."""

from __future__ import annotations

import os

from sampan.cli import credentials, output
from sampan.cli.command import App
from sampan.cli.credentials import HUB, Account
from sampan.cli.failure import DaemonError, Failure
from sampan.cli.flags import Flag
from sampan.cli.kinds import STRING, SWITCH
from sampan.cli.note import print_note
from sampan.cli.terminal import STDIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.flags import Values

FLAGS = (
    Flag("password", "p", STRING, "Password or access token", default=""),
    Flag("password-stdin", "", SWITCH, "Read the password from standard input", default=False),
    Flag("username", "u", STRING, "Name of the user", default=""),
)
_NOTE = "To login with a different account, run 'sampan logout' followed by 'sampan login'"
_PASSWORD_LIMIT = 1 << 20


def run(app: App, values: Values, arguments: list[str]) -> int:
    username, password = values["username"], _password(values)
    server = _server(arguments[0] if arguments else "")
    status = ""
    known = credentials.load(app.config, server) if not (username or password) else Account(server)
    if known.username and known.password:
        status = _log_in_again(app, known)
    if not status:
        status = _log_in(app, _ask(server, username or known.username, password))
    if status:
        output.out(f"{status}\n")
    return 0


def _server(text: str) -> str:
    if text in ("", "docker.io", HUB):
        return HUB
    return credentials.hostname_of(text)


def _password(values: Values) -> str:
    """As the flags give it. Raises Failure."""
    password: str = values["password"]
    if values.changed("username") and not values["username"]:
        raise Failure("username is empty")
    if values["password-stdin"] and values.changed("password"):
        raise Failure("conflicting options: cannot specify both --password and --password-stdin")
    if values.changed("password") and not password:
        raise Failure("password is empty")
    if password:
        output.error("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n")
    if not values["password-stdin"]:
        return password
    if not values["username"]:
        raise Failure("the --password-stdin option requires --username to be set")
    return _read_all().removesuffix("\n").removesuffix("\r")


def _read_all() -> str:
    data = b""
    while piece := os.read(STDIN, 65536):
        data += piece
        if len(data) > _PASSWORD_LIMIT:
            raise Failure("the password is too long")
    return data.decode("utf-8", "surrogateescape")


def _log_in_again(app: App, account: Account) -> str:
    """With what is remembered; empty when that is not good any more."""
    output.error(f"Authenticating with existing credentials... [Username: {account.username}]\n")
    print_note(output.STDERR, _NOTE)
    output.error("\n\n")
    try:
        return _log_in(app, account)
    except DaemonError as error:
        if error.status == 401:
            output.error("Stored credentials invalid or expired\n")
        else:
            output.error(f"Login did not succeed, error: {error}\n")
        return ""


def _ask(server: str, username: str, password: str) -> Account:
    """What is missing comes from the terminal. Raises Failure."""
    if username and password:
        return Account(server, username, password)
    if not os.isatty(STDIN):
        raise Failure("Error: Cannot perform an interactive login from a non TTY device")
    from sampan.cli.prompt import ask

    username = username or ask("Username: ").strip()
    if not username:
        raise Failure("Error: Non-null Username Required")
    password = password or ask("Password: ", secret=True)
    if not password:
        raise Failure("Error: Password Required")
    return Account(server, username, password)


def _log_in(app: App, account: Account) -> str:
    """What the daemon says. Raises Failure."""
    answer: dict[str, Any] = app.client.post("/auth", None, account.body()) or {}
    if token := answer.get("IdentityToken"):
        account = Account(account.server, account.username, identity_token=str(token))
    credentials.store(app.config, account)
    return str(answer.get("Status", ""))
