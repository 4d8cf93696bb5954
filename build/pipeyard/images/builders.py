"""Programs that build images: the one that is there."""

import functools
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tenacity import retry_if_exception_type

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.images.references import Reference
from pipeyard.system import retries

KINDS = ("docker", "podman", "buildah")
_TAIL = 25
# Docker with containerd's image store would push an index of the image and of an attestation with times in it: every
# build another digest, and no layers in the manifest that the tag names. Provenance is beside the lock.
_ENVIRONMENT = {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1", "BUILDAH_LAYERS": "true"}


class BuilderError(PipeyardError):
    """A builder failed."""


class _TransientBuilderError(BuilderError):
    """A builder failed for a reason that may pass."""


@dataclass(frozen=True)
class Job:
    """One build.

    Attributes:
        target: stage; '' for the last.
        arguments: build arguments.
        log: file that gets all that the builder prints.
    """

    dockerfile: Path
    context: Path
    image: Reference
    log: Path
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Builder:
    """A program of Docker's command line.

    Attributes:
        kind: docker, podman or buildah.
        program: its path.
        options: more options of `build`, e.g. `--network=host`.
    """

    kind: str
    program: str
    version: str
    options: tuple[str, ...] = ()

    def build(self, job: Job) -> None:
        """Builds an image and keeps it under its name on this machine.

        Raises:
            BuilderError: it fails; with the end of what it printed.
        """
        command = [self.program, "build", *self.options, "--file", str(job.dockerfile), "--tag", str(job.image)]
        if self.kind == "docker":
            command.append("--progress=plain")
        if job.target:
            command += ["--target", job.target]
        for name, value in job.arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        for name, value in job.labels.items():
            command += ["--label", f"{name}={value}"]
        self._run([*command, str(job.context)], job.log, f"building {job.image.repository} {job.target}".strip())

    def push(self, image: Reference, log: Path, policy: retries.RetryPolicy = retries.PUSH) -> None:
        """Pushes an image; what looks like a network's or a registry's passing fault is tried again.

        Raises:
            BuilderError: it fails.
        """
        loopback = image.registry.startswith(("127.", "localhost"))
        options = ["--tls-verify=false"] if self.kind != "docker" and loopback else []
        retrying = retries.retrying(policy, retry_if_exception_type(_TransientBuilderError), at_least=2)
        try:
            retrying(self._run, [self.program, "push", *options, str(image)], log, f"pushing {image}")
        except _TransientBuilderError as error:
            tried = retrying.statistics["attempt_number"]
            raise BuilderError(f"{error}\nPushes tried: {tried}. Is {image.registry} in order?") from error

    def _run(self, command: Sequence[str], log: Path, what: str) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        start = log.stat().st_size if log.exists() else 0
        with log.open("a", encoding="utf-8") as stream:
            environment = {**os.environ, **_ENVIRONMENT}
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, env=environment, check=False
            ).returncode
        if code == 0:
            return
        with log.open(encoding="utf-8", errors="replace") as stream:
            stream.seek(start)
            printed = stream.read()
        tail = "\n".join(printed.strip().splitlines()[-_TAIL:])
        remedy = "Its whole log: " + str(log)
        if "no space left on device" in printed.lower():
            remedy = f"The disk is full: make room (`{self.kind} system prune`) and run again. {remedy}"
        elif problem := _probe(self.kind, self.program)[1]:
            remedy = f"By now the engine doesn't answer any more ({problem}): start it and run again. {remedy}"
        message = f"{what} failed (exit code {code}) with {self.kind}.\n{tail}\n{remedy}"
        raise (_TransientBuilderError if retries.says_transient(printed) else BuilderError)(message)


def detected_once(kind: str, options: Sequence[str], tell: Callable[[str], object]) -> Callable[[], Builder]:
    """Returns what detects a builder when it is called first, in whichever thread, and knows it from then on.

    Args:
        kind, options: see `detect`.
        tell: takes what was found, in words.
    """
    finding = threading.Lock()

    @functools.cache
    def found() -> Builder:
        builder = detect(kind, options)
        tell(f"building with {builder.kind} {builder.version} ({builder.program})")
        return builder

    def find() -> Builder:
        with finding:
            return found()

    return find


def detect(kind: str = "", options: Sequence[str] = ()) -> Builder:
    """Returns the builder of a kind, or the first that works: docker with BuildKit, podman, buildah.

    Args:
        kind: '' for any; or a path of a program called like one.

    Raises:
        PipeyardError: there is none that works; with what was tried.
    """
    wanted = Path(kind).name if kind else ""
    if wanted and wanted not in KINDS:
        raise PipeyardError(f"No builder {kind!r}. {near_misses(wanted, KINDS)}")
    tried = []
    for name in [wanted] if wanted else KINDS:
        programs = [kind] if "/" in kind else _on_path(name)
        for program in programs:
            version, problem = _probe(name, program)
            if not problem:
                return Builder(name, program, version, tuple(options))
            tried.append(f"{program}: {problem}")
        if not programs:
            tried.append(f"{name}: not on PATH")
    raise PipeyardError(
        "No builder of images works here. Tried "
        + "; ".join(tried)
        + ". Start Docker (with BuildKit), or install podman or buildah."
    )


def _on_path(name: str) -> list[str]:
    """All programs of the name on PATH: a client that can't build may stand before one that can."""
    found = [shutil.which(name, path=folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    by_file = {Path(each).resolve(): each for each in reversed(found) if each}
    return [each for each in dict.fromkeys(found) if each and by_file[Path(each).resolve()] == each]


def _probe(kind: str, program: str) -> tuple[str, str]:
    """Returns the version, and what is wrong with it ('' if nothing)."""
    if kind != "docker":
        version, problem = _ask(program, "--version")
        return version, problem or _ask(program, "info")[1]
    version, problem = _ask(program, "version", "--format", "{{.Client.Version}} {{.Server.Version}}")
    if problem:
        return version, problem
    client = int(version.split(".", 1)[0])
    # Clients since 23 build with the plugin buildx alone; those before have BuildKit in them.
    if client >= 23 and _ask(program, "buildx", "version")[1]:
        return version, "has no BuildKit (the buildx plugin is missing)"
    return version, ""


def _ask(*command: str) -> tuple[str, str]:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines()
        return "", lines[-1] if lines else f"exit code {result.returncode}"
    return result.stdout.strip(), ""
