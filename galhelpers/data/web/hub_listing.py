"""What a dataset repository of Hugging Face holds, asked of the Hub by its own client."""

import re
import ssl
import time
from typing import Any

import requests

from galhelpers.data.web.services import (
    LONGEST_WAIT,
    FetchError,
    explain,
    no_network,
    retry_after,
    service_address,
    worth_another_try,
)

HOW_TO_LOG_IN = (
    'make a token of type "read" at https://huggingface.co/settings/tokens and give the command '
    "`hf auth login`, or set the environment variable HF_TOKEN. Never write a token into a "
    "notebook: whoever gets the notebook gets your account."
)


def ask_hub(repo: str, revision: str | None, attempts: int, backoff: float) -> Any:
    """Ask the Hub what a repository holds at a revision: its commit, its files, their checksums."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    api = HfApi(endpoint=service_address("hugging_face"))
    for attempt in range(attempts):
        problem: Any
        try:
            info = api.dataset_info(repo, revision=revision, files_metadata=True, timeout=30)
            if re.fullmatch(r"[0-9a-f]{40}", info.sha or ""):
                return info
            problem = ValueError("no commit")
        except (HfHubHTTPError, HTTPError, OfflineModeIsEnabled) as error:
            problem = error
        except ImportError:  # the client wants a package for a proxy of the kind SOCKS
            problem = requests.exceptions.ProxyError()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problem = ValueError("token" if isinstance(error, UnicodeError) else "no description")
            if "proxy" in str(error).lower():
                problem = requests.exceptions.ProxyError()
        answer = _as_requests(problem)
        wait = backoff * 2**attempt
        if isinstance(answer, requests.Response):
            wait = max(wait, retry_after(answer) or 0.0)
        passing = worth_another_try(answer, attempt + 1)
        # Raised here and not where it was caught: the chain of an exception shows its requests.
        if not passing or attempt + 1 == attempts or wait > LONGEST_WAIT:
            raise FetchError(_words(problem, answer, repo, revision))
        time.sleep(wait)
    raise ValueError(f"Expected at least one attempt, found {attempts}.")


def _as_requests(problem: Exception) -> requests.Response | Exception:
    """Translate what the Hub's client raises into what ``requests`` would raise."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    if isinstance(problem, HfHubHTTPError):
        answer = requests.Response()
        answer.status_code = problem.response.status_code
        answer.reason = problem.response.reason_phrase
        answer.headers.update(problem.response.headers)
        return answer
    if not isinstance(problem, HTTPError):
        return problem
    # With a proxy, every name that is looked up and every door that is knocked at is the proxy's.
    proxies = requests.utils.get_environ_proxies(service_address("hugging_face"))
    # Which library the Hub's client asks through changes with its version; the name does not.
    if type(problem).__name__ == "ProxyError" or (proxies and no_network(problem)):
        return requests.exceptions.ProxyError(problem)
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return requests.exceptions.SSLError()
        if isinstance(cause, TimeoutError):
            return requests.Timeout()
        cause = cause.__cause__ or cause.__context__
    return requests.ConnectionError(problem)


def _words(problem: Any, answer: Any, repo: str, revision: str | None) -> str:
    """Say what went wrong and what to do; nothing of the request itself, which holds the token."""
    from huggingface_hub.errors import (
        GatedRepoError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    page = f"https://huggingface.co/datasets/{repo}"
    if isinstance(problem, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so nothing is fetched from Hugging Face: unset it."
    if isinstance(problem, ValueError) and "token" in problem.args:
        return f"Your token holds a character that no token has. Copy it again: {HOW_TO_LOG_IN}"
    if isinstance(problem, ValueError):
        return (
            f"Hugging Face did not answer with the description of {repo}. Is there a login page of "
            f"a network before the internet? Open {page} in a browser."
        )
    if isinstance(problem, GatedRepoError):
        return (
            f"{repo} is given only to those who agree to its terms ({answer.status_code}): open "
            f"{page}, log in, agree; then {HOW_TO_LOG_IN}"
        )
    if isinstance(problem, RevisionNotFoundError):
        return f"{repo} has no revision {revision!r} (404). Its commits: {page}/commits/main."
    if isinstance(problem, RepositoryNotFoundError):
        return (
            f"Hugging Face has no data set {repo}, or does not show it to you "
            f"({answer.status_code}). Is {page} right? If it is private, {HOW_TO_LOG_IN}"
        )
    if isinstance(answer, requests.Response) and answer.status_code in (401, 403):
        return (
            f"Hugging Face did not accept your token ({answer.status_code}): it may have run out. "
            f"Give the command `hf auth logout`, or {HOW_TO_LOG_IN}"
        )
    return explain(answer, service_address("hugging_face") + "/")
