"""Signatures of images by cosign, kept by the registry beside them: https://docs.sigstore.dev/cosign/."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pipeyard.errors import PipeyardError
from pipeyard.images.references import Reference

PROGRAM = "cosign"


def is_there() -> bool:
    """True if cosign is on PATH."""
    return shutil.which(PROGRAM) is not None


def sign(
    images: Mapping[str, Reference],
    sboms: Mapping[str, Path],
    statement: str,
    options: Sequence[str],
    tell: Callable[[str, str], None],
) -> None:
    """Signs images, and attests their SBOM and provenance. Doing it again adds signatures and takes none away.

    Args:
        images: name to the image, by digest.
        sboms: name to the SBOM's file; images without one get none attested.
        statement: the provenance of all.
        options: more for cosign, like `--key=...`. Without a key it signs by the identity of the machine.

    Raises:
        PipeyardError: cosign isn't there, or fails.
    """
    program = shutil.which(PROGRAM)
    if not program:
        raise PipeyardError(f"--sign: {PROGRAM} isn't on PATH. Install it, or leave out --sign.")
    with tempfile.TemporaryDirectory(prefix="pipeyard-") as scratch:
        predicate = Path(scratch) / "provenance.json"
        predicate.write_text(json.dumps(json.loads(statement)["predicate"]), encoding="utf-8")
        for name, image in images.items():
            tell(name, "signing")
            _run([program, "sign", "--yes", *options, str(image)])
            attested = {"slsaprovenance1": predicate, **({"cyclonedx": sboms[name]} if name in sboms else {})}
            for kind, file in attested.items():
                _run([program, "attest", "--yes", f"--type={kind}", f"--predicate={file}", *options, str(image)])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PipeyardError(
            f"{' '.join(command[:2])} of {command[-1]} failed (exit code {done.returncode}): {done.stderr.strip()}"
        )
