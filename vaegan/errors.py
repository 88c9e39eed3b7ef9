"""What a person is told when something cannot be done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps


class UserError(ValueError):
    """What was given or asked for cannot be used; the message says why, in one sentence.

    Most files have a kind of their own, for whoever acts on it.
    """


def command_line(main: Callable[..., int]) -> Callable[..., int]:
    """Lets a command line's `main` say on stderr what cannot be done, or what the system refuses,
    and end with 2."""

    @wraps(main)
    def telling(arguments: Sequence[str] | None = None) -> int:
        try:
            return main(arguments)
        except (UserError, OSError) as error:
            print(error, file=sys.stderr)
            return 2

    return telling
