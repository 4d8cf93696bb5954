"""Served to other machines: TLS, tokens, a certificate that is renewed."""

import shlex
import socket
import ssl
import subprocess

import pytest
import requests
from served_folders import ServedFolder
from support.certificates import write_pair

from pipeyard.system import marks
from rollout.policy import DIRECT

PATH = "/v1/models/taxi:predict"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, envoy):
    """Version 1, behind TLS and two tokens."""
    folder = tmp_path_factory.mktemp("guarded").resolve()
    secrets = folder / "secrets"
    secrets.mkdir()
    certificate, key = write_pair(secrets)
    tokens = secrets / "tokens"
    tokens.write_text("the-new-one\nthe-old-one\n")
    options = ("--tls-cert", str(certificate), "--tls-key", str(key), "--token-file", str(tokens))
    made = ServedFolder(folder / "serving", envoy, *options)
    made.push(1)
    made.stage(1, DIRECT)
    try:
        made.started = made.pipeyard("start")
        made.certificate = certificate
        yield made
    finally:
        made.pipeyard("stop", check=False)
        marks.kill({"PIPEYARD_SERVE": str(made.folder.path)})


def _ask(served, path=PATH, **headers):
    url = served.url.replace("127.0.0.1", "localhost")
    with requests.Session() as session:
        session.trust_env = False
        return session.post(
            url + path, json={"instances": [{}]}, headers=headers, verify=served.certificate, timeout=10
        )


def _certificate(served) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    port = int(served.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 10) as raw, context.wrap_socket(raw) as tls:
        return ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True)).encode()


def test_a_token_is_needed_and_each_of_the_file_is_good(guarded):
    assert guarded.url.startswith("https://127.0.0.1:")
    for token in ("the-new-one", "the-old-one"):
        assert _ask(guarded, authorization=f"Bearer {token}").headers["x-model-version"] == "1"
    for headers in (
        {},
        {"authorization": "Bearer guess"},
        {"authorization": "Basic the-new-one"},
        {"x": "the-new-one"},
    ):
        refused = _ask(guarded, **headers)
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/json"
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json() == {"error": "A token is needed: send `authorization: Bearer TOKEN`."}
    assert _ask(guarded, "/v1/models/other:predict", authorization="Bearer guess").status_code == 401
    assert _ask(guarded, "/v2/health/live").status_code == 200


def test_plain_http_is_not_answered_and_tokens_are_nobody_s_to_read(guarded):
    with pytest.raises(requests.ConnectionError):
        requests.post(guarded.url.replace("https", "http") + PATH, json={}, timeout=10)
    assert guarded.folder.router.stat().st_mode & 0o077 == 0
    assert (
        "the-new-one"
        not in guarded.started.stdout + guarded.folder.start.read_text() + guarded.folder.state.read_text()
    )


def test_the_command_that_is_printed_works(guarded):
    command = guarded.started.stdout.splitlines()[1].strip()
    assert command.startswith("curl ")
    trusted = f"{command.replace('127.0.0.1', 'localhost')} --cacert {shlex.quote(str(guarded.certificate))}"
    answer = subprocess.run(["sh", "-c", trusted], capture_output=True, text=True, check=True)
    assert '"model_version": "1"' in answer.stdout


def test_a_renewed_certificate_is_taken_without_a_restart(guarded):
    assert _certificate(guarded) == guarded.certificate.read_bytes()
    write_pair(guarded.certificate.parent)
    guarded.wait(lambda: _certificate(guarded) == guarded.certificate.read_bytes(), "the old certificate is shown")
    assert _ask(guarded, authorization="Bearer the-new-one").status_code == 200


def test_another_way_in_counts_after_a_stop_alone(guarded):
    tokens = guarded.certificate.with_name("other-tokens")
    tokens.write_text("another\n")
    refused = guarded.pipeyard("start", "--token-file", str(tokens), check=False)
    assert refused.returncode == 1
    assert "is served at https://127.0.0.1:" in refused.stderr and "`pipeyard serve stop` first" in refused.stderr
