"""The one error a command shows as a paragraph and not as a traceback."""


class UserError(Exception):
    """Something the user can put right.

    The message says what was expected, what came, and what to do.
    """
