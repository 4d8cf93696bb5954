"""Who may ask the router: what is refused before it starts."""

import pytest
from support.certificates import write_pair

from pipeyard.errors import PipeyardError
from pipeyard.serving import router_access
from pipeyard.serving.router_access import RouterAccess


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("access")
    certificate, key = write_pair(folder)
    tokens = folder / "tokens"
    tokens.write_text("\nnew-one\n  old-one  \nnew-one\n")
    return certificate, key, tokens


def test_what_others_reach_wants_tls_and_a_token_and_says_which_is_missing(files):
    certificate, key, tokens = files
    access = router_access.checked("0.0.0.0", certificate, key, tokens)
    assert access == RouterAccess("0.0.0.0", str(certificate), str(key), str(tokens))
    assert access.tokens() == ["new-one", "old-one"]
    for given, missing in (
        ((None, None, None), "--tls-cert and --tls-key and --token-file"),
        ((certificate, key, None), "--token-file"),
        ((None, None, tokens), "--tls-cert and --tls-key"),
        ((certificate, None, tokens), "--tls-key"),
    ):
        with pytest.raises(PipeyardError, match=f"from other machines: give {missing} too"):
            router_access.checked("0.0.0.0", *given)


def test_this_machine_s_own_address_wants_neither_and_may_have_both(files):
    assert router_access.checked("127.0.0.1", None, None, None) == RouterAccess()
    assert router_access.checked("127.0.0.2", *files).url(8500) == "https://127.0.0.2:8500"
    assert RouterAccess("::1").url(1) == "http://[::1]:1"


def test_wrong_files_are_named(files, tmp_path):
    certificate, key, tokens = files
    other = tmp_path / "other"
    other.mkdir()
    _, other_key = write_pair(other)
    empty = tmp_path / "empty"
    empty.write_text("\n \n")
    for given, says in (
        (("127.0.0.1", certificate, None, None), "go together"),
        (("127.0.0.1", certificate, other_key, None), "aren't a certificate and its key"),
        (("127.0.0.1", key, certificate, None), "aren't a certificate and its key"),
        (("127.0.0.1", tmp_path / "none", key, None), "--tls-cert .*none can't be read: No such file"),
        (("127.0.0.1", None, None, empty), "has no token"),
        (("127.0.0.1", None, None, tmp_path / "none"), "--token-file .*none can't be read"),
        (("localhost", None, None, None), "no IP address"),
        (("192.0.2.1", certificate, key, tokens), "isn't an address of this machine"),
    ):
        with pytest.raises(PipeyardError, match=says):
            router_access.checked(*given)
