"""Kinds of failure, by what the caller can do about them; the HTTP status is an attribute of the class.

    SampanError 500
    ├── InvalidParameter 400     the request makes no sense
    ├── Unauthorized 401
    ├── Forbidden 403            understood, and refused
    ├── NotFound 404
    ├── Conflict 409             not in this state
    ├── TooLarge 413
    ├── NotImplementedHere 501   a part of Docker that sampan does not have
    ├── Unavailable 503          a part of sampan is down and may come back
    └── NotModified 304          already so; nothing was done

Texts are Docker's wherever Docker has one, because clients match them. Low levels raise `OSError` or
`ProtocolError`; the engine translates once.
"""

from __future__ import annotations


class SampanError(Exception):
    """A failure with a text for the user. `str(error)` is what the API answers in `message`."""

    status = 500


class InvalidParameter(SampanError):
    status = 400


class Unauthorized(SampanError):
    status = 401


class Forbidden(SampanError):
    status = 403


class NotFound(SampanError):
    status = 404


class Conflict(SampanError):
    status = 409


class TooLarge(SampanError):
    status = 413


class NotImplementedHere(SampanError):
    status = 501


class Unavailable(SampanError):
    status = 503


class NotModified(SampanError):
    status = 304


class ProtocolError(Exception):
    """A peer broke the rules of a channel or a format; the text names what was expected."""
