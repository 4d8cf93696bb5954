"""What looks like a secret, and so has no place where a value is kept: the file, a run's parameters, its record."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeyard.settings import nested, secret_references
from pipeyard.settings.problems import dotted
from pipeyard.settings.yaml_lines import Key

_NAMED = re.compile(
    r"(^|_)(password|passwd|passphrase|secret|api_?key|access_?key|secret_?key|private_?key)$", re.IGNORECASE
)
# These can be something else, as the tokens of a language model are: short ones are.
_MAYBE_NAMED = re.compile(r"(^|_)(token|credentials?|cookies?)$", re.IGNORECASE)
_SHORT = 15
# What is known by its form: keys and tokens of Google, Amazon, GitHub, GitLab, Slack and Hugging Face; JSON web tokens.
_FORMS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\bAIza[0-9A-Za-z_-]{35}|\bya29\.[0-9A-Za-z_-]{20}|\bA[KS]IA[0-9A-Z]{16}\b|"
    r"\bgh[pousr]_[0-9A-Za-z]{30}|\bgithub_pat_[0-9A-Za-z_]{30}|\bglpat-[0-9A-Za-z_-]{20}|"
    r"\bxox[abprs]-[0-9A-Za-z-]{10}|\bhf_[0-9A-Za-z]{30}|\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.",
)
# Passwords may have what has a meaning in URLs; a port has digits alone.
_PASSWORD_IN_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/@:?#]*:([^\s/@]+|(?!\d+/)[^\s@?#]+)@", re.IGNORECASE)
# As queries of URLs and connection strings have it: `?password=...`, `host=h password=...`, `AccountKey=...;`.
_PASSWORD_NAMED = re.compile(
    r"(?:^|[?&;\s])(?:\w+[_-])?(?:password|passwd|pwd|passphrase|sslpassword|accountkey|sharedaccesskey|api_?key|"
    r"secret_?access_?key|client_?secret|access_?token|auth_?token)=(?![\s;&'\"]|$)[^\s;&]+",
    re.IGNORECASE,
)
# Signed URLs of Google, Amazon, Azure and CloudFront: who has one needs no other key.
_SIGNATURE = re.compile(r"[?&](?:X-Goog-Signature|X-Amz-Signature|Signature|sig)=[^\s&]{16}", re.IGNORECASE)
# Names of resources in which secrets are kept, and places: these may be told.
_REFERENCE = re.compile(r"projects/[^/\s]+/secrets/[^/\s]+(/versions/\w+)?|gs://\S+|/\S+|")


def problems(parameters: Mapping[str, Any], where: Callable[[str], str]) -> dict[str, str]:
    """Returns the parameters of a run that look like secrets, and of each what is wrong and the fix.

    What is a parameter is recorded: in run.json, in the report, in the backend of a server.

    Args:
        where: names a parameter as its user knows it.
    """
    told: dict[str, str] = {}
    for name, value in parameters.items():
        for key, text, fix in found(value, (name,), "is recorded with the run"):
            inside = f", at {dotted(key)}" if len(key) > 1 else ""
            told.setdefault(name, f"{where(name)}{inside}: {text}. {fix}")
    return told


def found(value: Any, key: Key = (), kept: str = "stands in the file") -> Iterator[tuple[Key, str, str]]:
    """Yields where a secret stands: its key, what is wrong, and the fix. The secret isn't in it.

    Args:
        kept: what becomes of the value, for messages.
    """
    for place, text in nested.texts(value, key):
        yield from _in_text(text, place, kept)


def is_secret_name(name: str) -> bool:
    """Whether what is called so is a secret, and not where one is kept (as in TOKEN_FILE)."""
    return bool(_NAMED.search(name) or _MAYBE_NAMED.search(name))


def _in_text(whole: str, key: Key, kept: str) -> Iterator[tuple[Key, str, str]]:
    text = secret_references.without(whole)
    if _PASSWORD_IN_URL.search(text):
        yield key, "a password is in the URL", _INSTEAD
    elif _PASSWORD_NAMED.search(text):
        yield key, "a password is in the text", _INSTEAD
    elif _SIGNATURE.search(text):
        yield key, "the URL is signed: whoever reads it may use it", _INSTEAD
    elif _FORMS.search(text):
        yield key, "this looks like a key or token", _FIX
    elif _is_named(str(key[-1]), text) and not _REFERENCE.fullmatch(text):
        yield key, f"{key[-1]} is a secret by its name, and its value {kept}", _FIX


def _is_named(name: str, text: str) -> bool:
    return bool(_NAMED.search(name) or (_MAYBE_NAMED.search(name) and len(text) > _SHORT))


_INSTEAD = (
    "Leave it out, and let the step read it from its environment or a file; or write ${secret:NAME} in its place, "
    "which is read from the environment variable NAME when a step is started on this machine."
)
_FIX = (
    "Secrets are named, never written: name an environment variable or a file (auth.token_env, auth.token_file), "
    "or the resource of a secret manager (projects/PROJECT/secrets/NAME)."
)
