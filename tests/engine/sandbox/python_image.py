"""An image with Python, made of the machine's own: no registry of images need be within reach.

Holds the interpreter with its standard library, the shared libraries that it and wheels need, time zones, BusyBox as
the shell, `strip`, and how this machine reaches package indexes (certificates, pip's configuration). For tests alone.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable
from pathlib import Path

from . import programs
from .engine import Engine

# Libraries that wheels for Linux may take from the system (PEP 600's policies), besides what Python itself needs.
_FOR_WHEELS = (
    "libgcc_s.so.1", "libstdc++.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libc.so.6", "libnsl.so.1",
    "libutil.so.1", "libpthread.so.0", "libresolv.so.2", "libz.so.1", "libexpat.so.1", "libgomp.so.1",
    "libnss_dns.so.2", "libnss_files.so.2",
)  # fmt: skip
# What the images of python:slim have too.
_TIME_ZONES = Path("/usr/share/zoneinfo")
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_left_out_of_library = shutil.ignore_patterns(
    *("__pycache__", "site-packages", "dist-packages", "test", "config-*", "EXTERNALLY-MANAGED"),
    *("idlelib", "tkinter", "_tkinter*", "turtledemo"),
)
_PIP = "import sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n"
_USERS = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
_GROUPS = "root:x:0:\nnogroup:x:65534:\n"
_PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"
_INDEX_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX")


def build(folder: Path) -> Path:
    """Makes the root file system in a folder, as a tar archive next to it.

    Raises:
        programs.NotAvailableError: a program that goes into it isn't installed.
    """
    root = folder / "root"
    for name in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/local/bin", "usr/local/lib", "etc", "proc", "dev"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("tmp", "var/tmp"):
        (root / name).mkdir(parents=True)
        (root / name).chmod(0o1777)
    for name in ("root", "sys", "run", "opt", "etc/ssl/certs"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    _busybox(root)
    _python(root)
    _settings(root)
    archive = folder / "root.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(root, arcname=".", filter=_owned_by_root)
    return archive


def publish(folder: Path, engine: Engine, name: str) -> None:
    """Makes the image, and pushes it.

    Args:
        folder: for what it is made of; empty.
        name: of the image, with registry and tag.
    """
    variables = {"PATH": _PATH, "SSL_CERT_FILE": str(_CERTIFICATES)}
    variables |= {name: os.environ[name] for name in _INDEX_VARIABLES if name in os.environ}
    changes = [f"--change=ENV {key}={value}" for key, value in variables.items()]
    engine.docker("import", *changes, build(folder), name)
    engine.docker("push", "--quiet", name)


def _busybox(root: Path) -> None:
    shutil.copy(programs.find("busybox"), root / "usr/bin/busybox")
    done = subprocess.run(
        ["chroot", str(root), "/usr/bin/busybox", "--install", "-s", "/usr/bin"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise programs.NotAvailableError(
            f"busybox can't run by itself ({done.stderr.strip()}); install busybox-static (Debian)"
        )
    strip = Path(programs.find("strip")).resolve()
    (root / "usr/bin/strip").unlink(missing_ok=True)
    _copy(strip, root / "usr/bin/strip")
    _libraries(root, [strip])


def _python(root: Path) -> None:
    """Copies the interpreter that runs this: /usr stays /usr (Debian's), any other prefix becomes /usr/local."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix)
    prefix = root / ("usr" if base == Path("/usr") else "usr/local")
    interpreter = Path(os.path.realpath(sys.executable))
    _copy(interpreter, prefix / "bin" / version)
    for name in ("python", "python3"):
        (prefix / "bin" / name).unlink(missing_ok=True)
        (prefix / "bin" / name).symlink_to(version)
    standard = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(standard, prefix / "lib" / version, ignore=_left_out_of_library, symlinks=False)
    for library in base.glob("lib/libpython3*.so*") if base != Path("/usr") else ():
        _copy(library, prefix / "lib" / library.name)
    _libraries(root, [interpreter, *standard.glob("lib-dynload/*.so")])
    folder = root / "usr/local/lib" / version / ("dist-packages" if base == Path("/usr") else "site-packages")
    _pip(root, folder, f"/{prefix.relative_to(root)}/bin/{version}")


def _pip(root: Path, folder: Path, interpreter: str) -> None:
    """Installs the pip that the interpreter has bundled: environments get the same."""
    scratch = root.with_name("environment")
    programs.run([os.path.realpath(sys.executable), "-m", "venv", scratch])
    (found,) = scratch.glob("lib/python3*/site-packages")
    folder.mkdir(parents=True)
    for part in (*found.glob("pip"), *found.glob("pip-*.dist-info")):
        shutil.copytree(part, folder / part.name, ignore=shutil.ignore_patterns("__pycache__"))
    script = root / "usr/local/bin/pip"
    script.write_text(f"#!{interpreter}\n{_PIP}", encoding="utf-8")
    script.chmod(0o755)


def _libraries(root: Path, programs_and_modules: Iterable[Path]) -> None:
    """Copies the shared libraries that programs and extension modules load, to where they are on the machine."""
    linked = subprocess.run(
        ["ldd", *map(str, programs_and_modules)], capture_output=True, text=True, check=False
    ).stdout  # fails for one that links nothing
    paths = {
        Path(word) for line in linked.splitlines() for word in line.split() if word.startswith("/") and ":" not in word
    }
    loader = {path.parent for path in paths if path.name.startswith("libc.so")}
    paths |= {found for folder in loader for name in _FOR_WHEELS if (found := folder / name).exists()}
    for path in paths:
        if not path.is_relative_to(sys.base_prefix) or sys.base_prefix == "/usr":
            _copy(path, root / path.relative_to("/"))


def _settings(root: Path) -> None:
    """Users, name resolution, and how to reach package indexes."""
    for name, text in {
        "passwd": _USERS,
        "group": _GROUPS,
        "nsswitch.conf": "hosts: files dns\npasswd: files\ngroup: files\n",
        "ld.so.conf": "/usr/local/lib\n" + "".join(f"{path}\n" for path in _library_folders(root)),
    }.items():
        (root / "etc" / name).write_text(text, encoding="utf-8")
    for path in (Path("/etc/os-release"), Path("/etc/pip.conf"), _CERTIFICATES):
        if path.exists():
            _copy(path, root / path.relative_to("/"))
    if _TIME_ZONES.is_dir():
        shutil.copytree(_TIME_ZONES, root / _TIME_ZONES.relative_to("/"), symlinks=True)
    programs.run(["/sbin/ldconfig", "-r", root])


def _library_folders(root: Path) -> list[str]:
    return [f"/{path.relative_to(root)}" for path in sorted((root / "usr/lib").glob("*-linux-gnu"))]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy2(source, target, follow_symlinks=True)


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
