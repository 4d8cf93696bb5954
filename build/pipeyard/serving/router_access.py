"""Who may ask the router: the address it listens at, TLS, and tokens.

Only what this machine's programs alone can reach is served without TLS and a token.
"""

import ipaddress
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from pipeyard.errors import PipeyardError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class RouterAccess:
    """Where the router listens, and whom it answers.

    Attributes:
        host: IP address.
        tls_cert: file of the certificate and those that it goes back to, PEM; empty: plain HTTP.
        tls_key: file of its private key.
        token_file: tokens, one a line, of which a client has to send one; empty: anybody is answered.
    """

    host: str = LOOPBACK
    tls_cert: str = ""
    tls_key: str = ""
    token_file: str = ""

    @property
    def is_local(self) -> bool:
        """Whether only this machine's programs reach it."""
        return ipaddress.ip_address(self.host).is_loopback

    def url(self, port: int) -> str:
        """Returns where clients ask; for an address that stands for all of them, this machine's name."""
        address = ipaddress.ip_address(self.host)
        host = f"[{address}]" if address.version == 6 else str(address)
        if address.is_unspecified:
            host = socket.getfqdn()
        return f"{'https' if self.tls_cert else 'http'}://{host}:{port}"

    def tokens(self) -> list[str]:
        """Returns the tokens that are good: two while one takes the place of the other.

        Raises:
            PipeyardError: the file can't be read, or has none.
        """
        if not self.token_file:
            return []
        try:
            lines = Path(self.token_file).read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeError) as error:
            raise PipeyardError(f"--token-file {self.token_file} can't be read as ASCII text: {error}") from error
        found = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
        if not found:
            raise PipeyardError(f"--token-file {self.token_file} has no token. Write one a line.")
        return found


def checked(host: str, tls_cert: Path | None, tls_key: Path | None, token_file: Path | None) -> RouterAccess:
    """Returns who may ask, once it is known that a router can listen so and others can't without a token.

    Raises:
        PipeyardError: an option is missing or wrong; it says which.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise PipeyardError(f"--host {host!r} is no IP address. Give one, such as 127.0.0.1 or 0.0.0.0.") from error
    given = {"--tls-cert": tls_cert, "--tls-key": tls_key, "--token-file": token_file}
    access = RouterAccess(host, *(str(path.absolute()) if path else "" for path in given.values()))
    missing = [option for option, path in given.items() if path is None]
    if not access.is_local and missing:
        raise PipeyardError(
            f"--host {host} can be reached from other machines: give {' and '.join(missing)} too, or leave --host at "
            f"{LOOPBACK}."
        )
    if bool(access.tls_cert) != bool(access.tls_key):
        raise PipeyardError("--tls-cert and --tls-key go together: give both, or none.")
    access.tokens()
    _check_pair(access)
    _check_address(host)
    return access


def _check_pair(access: RouterAccess) -> None:
    if not access.tls_cert:
        return
    for option, path in (("--tls-cert", access.tls_cert), ("--tls-key", access.tls_key)):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise PipeyardError(f"{option} {path} can't be read: {error.strerror}.") from error
    try:
        # A key that wants a password would be asked for on the terminal: an empty one fails instead.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(access.tls_cert, access.tls_key, password=lambda: b"")
    except (ssl.SSLError, OSError) as error:
        raise PipeyardError(
            f"--tls-cert {access.tls_cert} and --tls-key {access.tls_key} aren't a certificate and its key without a "
            f"password, both PEM: {error}."
        ) from error


def _check_address(host: str) -> None:
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.bind((host, 0))
    except OSError as error:
        raise PipeyardError(f"--host {host} isn't an address of this machine ({error.strerror}).") from error
