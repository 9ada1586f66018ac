"""Words from elsewhere, made fit to be shown: no control characters, no passwords."""

import os
import re

_SECRETS = (
    *("KAGGLE_KEY", "KAGGLE_API_TOKEN"),
    *("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACEHUB_API_TOKEN"),
)


def public(text: object, most: int = 600) -> str:
    """Make a text from elsewhere fit to be printed, in one line.

    Control characters, passwords in addresses, queries (they hold signatures and tokens) and the
    values of the variables that hold credentials are taken out. Half a character, as in a file name
    that is not UTF-8, is written as an escape.

    Parameters
    ----------
    text
        What a server, a file, an exception or a file name says.
    most
        Characters that are kept.

    >>> public("http://me:secret@host/x?token=abc failed")
    'http://host/x failed'
    """
    # Passwords are looked for in more than is kept: one that is cut in half would not be found.
    said = str(text)[: 20 * most]
    for name in _SECRETS:
        if secret := os.environ.get(name):
            said = said.replace(secret, "***")
    said = said.encode("utf-8", "backslashreplace").decode()
    # Control characters move the cursor, clear the screen or rename the window of a terminal;
    # others turn the direction of the text round or are not seen.
    said = re.sub("\0+", " ", "".join(c if c.isprintable() else "\0" for c in said))
    # Up to the last "@": a password may hold a slash that nobody escaped.
    said = re.sub(r"\b(\w+://)\S*@", r"\1", said)
    said = re.sub(r"\?[\w%.~-]+=[^\s'\")]*", "", said)
    said = re.sub(r"\b((?:Bearer|Basic)\s+)\S+|\bhf_\w{8,}", r"\1***", said)
    return said if len(said) <= most else said[:most] + " ..."
