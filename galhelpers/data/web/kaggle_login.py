"""Where credentials for Kaggle are looked for, and how to get some.

The rules are those of Kaggle's own client (kaggle 2.2.4, kagglesdk 0.1.37), which only says that it
found none when it is imported: at length, and with an ``exit()``.
"""

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

HOW_TO_LOG_IN = (
    'Log in at https://www.kaggle.com, open https://www.kaggle.com/settings, click "Generate New '
    'Token" under API, and save the token as the only line of ~/.kaggle/access_token (then: '
    "chmod 600 ~/.kaggle/access_token). An older kaggle.json in ~/.kaggle does as well, and so do "
    "the environment variables KAGGLE_API_TOKEN, or KAGGLE_USERNAME and KAGGLE_KEY. Never write a "
    "token into a notebook: whoever gets the notebook gets your account."
)


def kaggle_ready() -> str | None:
    """Say what is missing before Kaggle can be asked for files.

    Returns
    -------
    str or None
        None when credentials were found (whether Kaggle accepts them shows only when it is asked),
        else the paragraph that says how to get some. Credentials themselves are never shown.
    """
    if find_credentials() is not None:
        return None
    if legacy_file().is_file():
        return (
            f"{legacy_file().name} was found, but not the user name and key that Kaggle writes "
            f'into it: {{"username": ..., "key": ...}}. {HOW_TO_LOG_IN}'
        )
    return (
        f"Kaggle gives its files only to its users, and no credentials were found. {HOW_TO_LOG_IN}"
    )


def find_credentials() -> str | None:
    """Look where Kaggle's client looks; give the place's name, None where there are none."""
    from kagglesdk import get_access_token_from_env

    home = Path("~/.kaggle").expanduser()
    try:
        token, source = get_access_token_from_env()
    except OSError:  # it asks whether the token is a file; a very long one is no valid file name
        token, source = os.environ.get("KAGGLE_API_TOKEN"), "KAGGLE_API_TOKEN"
    if token:
        for file in (home / "access_token", home / "access_token.txt"):
            if source == "access_token" and file.is_file():
                _warn_if_readable(file)
                return f"~/.kaggle/{file.name}"
        return str(source)
    stored = _read_json(legacy_file())
    names = {"username": "KAGGLE_USERNAME", "key": "KAGGLE_KEY"}
    if all(os.environ.get(variable) or stored.get(key) for key, variable in names.items()):
        if all(os.environ.get(variable) for variable in names.values()):
            return "KAGGLE_USERNAME and KAGGLE_KEY"
        _warn_if_readable(legacy_file())
        return legacy_file().name
    if _read_json(home / "credentials.json").get("refresh_token"):
        _warn_if_readable(home / "credentials.json")
        return "~/.kaggle/credentials.json"
    return None


def legacy_file() -> Path:
    """Where ``kaggle.json`` is looked for: the rule of kaggle 2.2.4."""
    home = Path("~/.kaggle").expanduser()
    if os.environ.get("KAGGLE_CONFIG_DIR"):
        return Path(os.environ["KAGGLE_CONFIG_DIR"]) / "kaggle.json"
    if sys.platform.startswith("linux") and not home.exists():
        config = os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
        return Path(config) / "kaggle" / "kaggle.json"
    return home / "kaggle.json"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _warn_if_readable(path: Path) -> None:
    if os.name != "nt" and path.stat().st_mode & 0o077:
        warnings.warn(
            f"Others on this computer may read your Kaggle credentials in {path.name}. "
            f"Close the file to them: chmod 600 {path.parent.name}/{path.name}",
            stacklevel=4,
        )
