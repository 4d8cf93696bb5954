"""Pipelines in an Artifact Registry repository of format KFP, by digest.

Protocol: Kubeflow Pipelines' registry API, as kfp.registry.RegistryClient speaks it, which has no limits of time, and
repeats nothing.
"""

from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.servers.vertex.connection import CALL, PATIENCE, VertexUnavailable, own_credentials
from pipeyard.system import google_login, retries

_TOO_LARGE = 413


def open_session(repository: str, credentials: Any = None) -> Any:
    """Returns a session for `upload`: without encryption no token is sent.

    Args:
        credentials: of google.auth; None: those that the machine has.

    Raises:
        PipeyardError: there are none.
    """
    import requests
    from google.auth.transport.requests import AuthorizedSession

    if repository.startswith("http://"):
        return requests.Session()
    return AuthorizedSession(credentials or own_credentials(repository))


def upload(repository: str, text: bytes, tags: list[str], session: Any, patience: float = PATIENCE) -> str:
    """Uploads a compiled pipeline. The same again gives the same digest and makes nothing new.

    Args:
        repository: `https://REGION-kfp.pkg.dev/PROJECT/REPOSITORY`.
        text: `pipeline.yaml`.
        tags: that name this version from now.
        session: requests' or google.auth's AuthorizedSession.
        patience: seconds that it may take with its repetitions.

    Returns:
        The version's address, which ends in `/sha256:...`: what a tag names can change.

    Raises:
        VertexUnavailable: the registry can't be reached.
        PipeyardError: it refuses, or answers what isn't a version.
    """
    answer = _post(repository.rstrip("/"), text, tags, session, patience)
    package, _, version = answer.partition("/")
    if not package or not version.startswith("sha256:"):
        raise PipeyardError(
            f"{repository} answered {answer[:200]!r}, not a version's digest. Is it a repository of format KFP?"
        )
    return f"{repository.rstrip('/')}/{package}/{version}"


def _post(repository: str, text: bytes, tags: list[str], session: Any, patience: float) -> str:
    import requests
    from google.auth.exceptions import GoogleAuthError, TransportError

    def unreachable(why: str) -> VertexUnavailable:
        return VertexUnavailable(
            f"{repository} can't be reached ({why}). Nothing is half uploaded: run the same command again."
        )

    # The server knows pipelines by their files' names.
    form = {"content": ("pipeline.yaml", text), "tags": (None, ",".join(tags))}
    try:
        answer = retries.answering(retries.GOOGLE.within(patience))(
            session.post, repository, files=form, timeout=min(CALL, patience)
        )
    except (requests.RequestException, TransportError) as error:
        raise unreachable(f"{type(error).__name__}: {error}") from error
    except GoogleAuthError as error:
        raise PipeyardError(f"{repository}: {google_login.problem(error)}") from error
    if answer.status_code in retries.TRANSIENT:
        raise unreachable(f"{answer.status_code} {answer.text[:200]}")
    if answer.status_code in {401, 403}:
        raise PipeyardError(
            f"{repository}: not permitted ({answer.status_code}). The account needs the role Artifact Registry Writer."
        )
    if answer.status_code == _TOO_LARGE:
        raise PipeyardError(f"{repository}: {len(text)} bytes are too large. Pass large values by URI.")
    if not answer.ok:
        raise PipeyardError(f"{repository} refused: {answer.status_code} {answer.text[:500]}. Correct what it names.")
    return answer.text.strip()
