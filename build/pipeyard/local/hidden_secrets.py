"""Keeps secrets that a step was given out of what is recorded of it: its log, its outputs' values, why it failed.

What it writes into artifacts is its own.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from pipeyard.settings import nested, secret_references
from pipeyard.system import files

_BLOCK = 1 << 20


class HiddenSecrets:
    """The secrets that a task's parameters refer to.

    Args:
        parameters: with references, as they are recorded.
        env: where secrets are, by name.
        variables: environment variables that the task is given, with references, too.
    """

    def __init__(
        self, parameters: Mapping[str, Any], env: Mapping[str, str], variables: Mapping[str, str] | None = None
    ) -> None:
        self._parameters = parameters
        self._env = env
        written: dict[str, str] = {}
        self._variables = variables or {}
        self._names = secret_references.names([dict(parameters), dict(self._variables)])
        for name in self._names:
            for form in _forms(env.get(name, "")):
                written.setdefault(form, f"${{secret:{name}}}")
        self._written = written
        # The longest first: one secret may begin with another.
        self._pattern = "|".join(re.escape(each) for each in sorted(written, key=len, reverse=True))

    def parameters(self) -> dict[str, Any]:
        """Returns the parameters with the secrets in them, as a step's process gets them.

        Raises:
            PipeyardError: a secret isn't there.
        """
        given = dict(self._parameters)
        return secret_references.resolve(given, self._env) if self._names else given

    def variables(self) -> dict[str, str]:
        """Returns the environment variables with the secrets in them.

        Raises:
            PipeyardError: a secret isn't there.
        """
        given = dict(self._variables)
        return secret_references.resolve(given, self._env) if self._names else given

    def hide(self, value: Any) -> Any:
        """Returns a value with references in place of secrets, at any depth, in keys, too."""
        if not self._written:
            return value
        return nested.mapped(
            value, lambda text: re.sub(self._pattern, lambda match: self._written[match[0]], text), names=True
        )

    def hide_in(self, log: Path) -> None:
        """Writes a log anew if secrets are in it."""
        if not self._written or not log.is_file():
            return
        aside = files.aside_of(log)
        try:
            with log.open("rb") as source, aside.open("wb") as target:
                found = self._copy(source, target)
            if found:
                aside.replace(log)
        finally:
            aside.unlink(missing_ok=True)

    def _copy(self, source: BinaryIO, target: BinaryIO) -> bool:
        """Copies with references in place of secrets; returns whether there were any."""
        pattern = re.compile(self._pattern.encode())
        longest = max(len(secret.encode()) for secret in self._written)
        text, found = b"", False
        while block := source.read(_BLOCK):
            text += block
            # What could be the beginning of a secret waits for the next block.
            done, replaced = self._replace(pattern, text, target, len(text) - longest)
            found, text = found or replaced, text[done:]
        _, replaced = self._replace(pattern, text, target, len(text))
        return found or replaced

    def _replace(self, pattern: re.Pattern[bytes], text: bytes, target: BinaryIO, until: int) -> tuple[int, bool]:
        """Writes what begins before `until`; returns how much of the text that is, and whether secrets were in it."""
        done, found = 0, False
        for match in pattern.finditer(text):
            if match.start() >= until:
                break
            target.write(text[done : match.start()] + self._written[match[0].decode()].encode())
            done, found = match.end(), True
        if until > done:
            target.write(text[done:until])
            done = until
        return done, found


def _forms(secret: str) -> list[str]:
    """Returns how a secret may stand in a text: as it is, as in JSON, as in a URL."""
    if len(secret) < secret_references.SHORTEST:
        return []
    return list(dict.fromkeys([secret, json.dumps(secret)[1:-1], quote(secret), quote(secret, safe="")]))
