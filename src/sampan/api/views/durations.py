"""How long ago, in the words of Docker's go-units."""

from __future__ import annotations


def human(nanoseconds: int) -> str:
    seconds = max(nanoseconds, 0) // 1_000_000_000
    minutes = seconds // 60
    hours = (seconds + 1800) // 3600
    days = hours // 24
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{days} days"
    if hours < 24 * 30 * 2:
        return f"{days // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{days // 30} months"
    return f"{seconds // 3600 // 24 // 365} years"
