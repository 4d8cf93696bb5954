"""Where the server may listen, and what its command line says."""

from pathlib import Path

import pytest
from model_server import cli, serving
from model_server.serving import Place

from stepkit.errors import StepError, UsageError

PEM = Path("file.pem")


@pytest.mark.parametrize(
    ("place", "has_token"),
    [
        (Place("0.0.0.0"), False),
        (Place("0.0.0.0"), True),
        (Place("::"), True),
        (Place("192.0.2.1", 0, PEM, PEM), False),
        (Place("some.host"), True),
    ],
)
def test_others_reach_it_by_tls_and_token_alone(place: Place, has_token: bool) -> None:
    with pytest.raises(UsageError, match="can be reached from other machines: give --tls-cert, --tls-key and --token"):
        serving.check_place(place, has_token)
    serving.check_place(Place(place.host, 0, PEM, PEM), True)
    if place.certificate is None:
        serving.check_place(place, False, behind_proxy=True)


def test_a_version_in_an_object_store_is_fetched() -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    MemoryFileSystem().pipe_file("/serving/taxi/3/assets.extra/model.json", b"{}")
    with cli._folder("memory://serving/taxi/3") as folder:
        assert (folder / "assets.extra/model.json").read_bytes() == b"{}"
    with cli._folder("/serving/taxi/3") as folder:
        assert folder == Path("/serving/taxi/3")
    with (
        pytest.raises(StepError, match="No version of a model at 'memory://serving/taxi/4'"),
        cli._folder("memory://serving/taxi/4"),
    ):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_this_machine_needs_neither(host: str) -> None:
    serving.check_place(Place(host), False)


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(UsageError, match="go together"):
        serving.check_place(Place("127.0.0.1", 0, PEM), True)


def test_tokens_are_one_a_line(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("one \n\ntwo\n")
    assert serving.read_tokens(tmp_path / "tokens") == [b"one", b"two"]
    (tmp_path / "tokens").write_text("\n")
    with pytest.raises(UsageError, match="has no token"):
        serving.read_tokens(tmp_path / "tokens")
    with pytest.raises(UsageError, match="can't be read: No such file"):
        serving.read_tokens(tmp_path / "none")


def test_a_port_is_taken_once() -> None:
    with serving.bind(Place()) as bound:
        bound.listen()
        with pytest.raises(StepError, match="Address already in use. Give another --port"):
            serving.bind(Place(port=bound.getsockname()[1]))


def test_wrong_flags(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    flags = ["--path", str(tmp_path), "--name", "taxi", "--version", "1"]
    for more, message in [
        (["--log-rate=2"], "'2' is more than 1"),
        (["--version=0"], "0 is less than 1"),
        (["--timeout=nan"], "'nan' is no number from 0 on"),
    ]:
        with pytest.raises(SystemExit):
            cli.main([*flags, *more])
        assert message in capsys.readouterr().err
    assert cli.main([*flags, "--host=0.0.0.0"]) == 2
    assert cli.main(flags) == 1
    assert "isn't a SavedModel" in capsys.readouterr().err
