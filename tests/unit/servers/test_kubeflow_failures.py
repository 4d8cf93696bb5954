"""A server of Kubeflow Pipelines that is down, hangs, cuts connections, or doesn't know us any more."""

import itertools
import logging
import threading
import time
import traceback
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from google.auth import exceptions
from servers.kubeflow import Fault, KubeflowServer, examples
from servers.kubernetes import WORKFLOWS
from support.kubeflow_connections import QUICK, Clock, connect

from pipeyard.errors import PipeyardError
from pipeyard.servers.kubeflow import experiments, pipelines, runs
from pipeyard.servers.kubeflow.connection import CallLimits
from pipeyard.system import google_login

IMPATIENT = CallLimits(connect=0.3, silence=0.3, call=0.6, upload=0.6, attempts=3, pause=0.01, longest_pause=0.02)
SECRET = "s3cr3t-of-the-test"


@pytest.fixture
def server():
    with KubeflowServer() as started:
        yield started


@pytest.fixture
def package(tmp_path):
    return examples.package(tmp_path, "a" * 40, examples.pipeline())


@pytest.fixture
def run_id(server, package):
    """A run that goes on until the test ends it."""
    server.states = ["RUNNING"]
    connection = connect(server)
    version = pipelines.ensure_version(connection, package)
    return runs.start(connection, experiments.ensure(connection, "taxi"), version, "run", {}, "")


# Down, hanging, cutting


def test_a_server_that_is_down_is_told_in_bounded_time(server):
    server.close()
    connection = connect(server, limits=IMPATIENT)
    start = time.monotonic()
    with pytest.raises(PipeyardError, match="can't be reached at http.*refused.*Check the host in settings.yaml"):
        experiments.ensure(connection, "taxi")
    assert time.monotonic() - start < 3


def test_a_host_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(PipeyardError, match="can't be reached at http://no-such-host.invalid"):
        experiments.ensure(connect("http://no-such-host.invalid", limits=IMPATIENT), "taxi")


@pytest.mark.parametrize(
    "fault", [Fault(delay=60, times=99), Fault(trickle=0.2, times=99)], ids=["silent", "trickling"]
)
def test_a_server_that_hangs_is_told_in_bounded_time(server, fault):
    server.faults.append(fault)
    start = time.monotonic()
    with pytest.raises(PipeyardError, match="can't be reached"):
        experiments.ensure(connect(server, limits=IMPATIENT), "taxi")
    assert time.monotonic() - start < 5
    server.faults.clear()
    assert experiments.ensure(connect(server), "taxi") in server.store.experiments


@pytest.mark.parametrize("cut", ["reading", "before", "after", "answering"])
def test_a_deployment_through_connections_that_break_at_every_call(server, package, cut):
    """Every other request is cut; the whole is done once nevertheless."""
    connection = connect(server, options=Clock().options)
    calls = {
        "GET .*names/": lambda: pipelines.find_pipeline(connection, "taxi"),
        "POST .*pipelines$": lambda: pipelines.ensure_version(connection, package),
        "POST .*upload_version": lambda: pipelines.ensure_version(connection, package),
        "POST .*experiments$": lambda: experiments.ensure(connection, "taxi"),
    }
    for where, call in calls.items():
        server.faults.append(Fault(where, cut=cut))
        call()
    version = pipelines.ensure_version(connection, package)
    server.faults.append(Fault("POST .*runs$", cut=cut))
    runs.start(connection, experiments.ensure(connection, "taxi"), version, "run", {}, "")
    stored = server.store
    assert [len(each) for each in (stored.pipelines, stored.versions, stored.runs)] == [1] * 3
    assert [each["display_name"] for each in stored.experiments.values()] == ["Default", "taxi"]
    assert len(server.cluster.all(WORKFLOWS)) == 1


def test_a_deployment_that_failed_is_safe_to_repeat(server, package):
    connection = connect(server, limits=IMPATIENT)
    server.faults.append(Fault("upload_version", cut="reading", times=99))
    with pytest.raises(PipeyardError, match=f"uploading the version '{'a' * 40}-.*run this again"):
        pipelines.ensure_version(connection, package)
    assert server.store.versions == {}
    server.faults.clear()
    assert pipelines.ensure_version(connection, package).created
    assert not pipelines.ensure_version(connection, package).created


def test_pauses_grow_up_to_a_limit_and_the_server_may_ask_for_longer_ones(server):
    clock = Clock()
    limits = CallLimits(attempts=6, pause=1, longest_pause=4)
    connection = connect(server, limits=limits, options=clock.options)
    server.faults.append(Fault(status=503, times=5))
    experiments.ensure(connection, "taxi")
    assert len(clock.pauses) == 5
    assert all(pause <= most for pause, most in zip(clock.pauses, [1, 2, 4, 4, 4], strict=True))
    clock.pauses.clear()
    server.faults += [Fault(status=429, retry_after="3"), Fault(status=429, retry_after="3600")]
    experiments.ensure(connection, "taxi")
    assert clock.pauses[0] >= 3
    assert clock.pauses[1] == 4


def test_what_can_not_pass_is_not_tried_again(server):
    server.faults.append(Fault(status=403, times=99))
    with pytest.raises(PipeyardError, match="403 .*may not do that in the namespace .none is set."):
        experiments.ensure(connect(server), "taxi")
    assert len(server.requests) == 1


def test_a_list_that_does_not_end_is_refused(server):
    connection = connect(server)
    page = SimpleNamespace(experiments=[], next_page_token="again")
    connection.experiments.experiment_service_list_experiments = lambda **_: page
    with pytest.raises(PipeyardError, match="one page over and over"):
        experiments.find(connection, "taxi")


# While a run is waited for


def test_a_server_that_restarts_while_a_run_is_waited_for(server, run_id):
    told = []

    def restart(line):
        told.append(line)
        if line == "RUNNING":
            server.go_down()
        elif line.startswith("waiting for the server"):
            server.set_state(run_id, "SUCCEEDED")
            server.come_up()

    assert runs.wait(connect(server), run_id, timeout=30, interval=0.02, tell=restart).succeeded
    assert (told[0], told[-1]) == ("RUNNING", "SUCCEEDED")
    assert any("waiting for the server: Kubeflow Pipelines can't be reached" in line for line in told)


def test_a_server_that_stays_away_ends_the_waiting_when_patience_does(server, run_id):
    clock = Clock()
    connection = connect(server, limits=IMPATIENT, options=clock.options)
    server.close()
    with pytest.raises(
        PipeyardError, match=f"can't be reached.* The run goes on: {server.url}/#/runs/details/{run_id}"
    ):
        runs.wait(connection, run_id, timeout=3600, interval=10, patience=60)
    assert 60 < clock.now < 90


def test_the_time_limit_holds_though_the_server_is_away(server, run_id):
    clock = Clock()
    connection = connect(server, limits=IMPATIENT, options=clock.options)
    server.close()
    with pytest.raises(PipeyardError, match="hasn't ended in 30 s; last: waiting for the server"):
        runs.wait(connection, run_id, timeout=30, interval=10, patience=600)
    assert clock.now == 30


def test_a_run_is_looked_at_often_at_first_and_seldom_later(server, run_id):
    clock = Clock()
    server.states = ["RUNNING"]
    with pytest.raises(PipeyardError, match="hasn't ended"):
        runs.wait(connect(server, options=clock.options), run_id, timeout=1000, interval=5)
    looks = list(itertools.accumulate(clock.pauses))
    assert sum(look <= 2 for look in looks) == 4
    assert all(later - look <= max(0.5, look / 10) + 1e-9 for look, later in itertools.pairwise(looks))
    assert max(clock.pauses) == 5
    assert len(looks) < 230


@pytest.mark.parametrize("hours", [-24 * 365, 24 * 365])
def test_clocks_that_differ_change_nothing(package, hours):
    skewed = timedelta(hours=hours)
    with KubeflowServer(now=lambda: datetime.now(UTC) + skewed) as server:
        connection = connect(server)
        version = pipelines.ensure_version(connection, package)
        key = runs.start(connection, experiments.ensure(connection, "taxi"), version, "run", {}, "")
        outcome = runs.wait(connection, key, timeout=5, interval=0.01)
        assert outcome.succeeded
        assert 0 <= outcome.seconds < 5
        server.store.runs[key]["finished_at"] = "1999-01-01T00:00:00Z"  # before it began
        assert runs.wait(connection, key, timeout=5, interval=0.01).seconds == 0


# Who we are


def test_a_token_that_expires_is_read_again_from_its_file(server, run_id, tmp_path):
    token = tmp_path / "token"
    token.write_text("first\n")
    server.tokens = {"first"}
    connection = connect(server, kind="service_account", service_account_file=str(token))

    def rotate():
        server.tokens = {"second"}  # the file follows a little later
        time.sleep(0.1)
        token.write_text("second\n")
        server.set_state(run_id, "SUCCEEDED")

    thread = threading.Timer(0.1, rotate)
    thread.start()
    assert runs.wait(connection, run_id, timeout=30, interval=0.01).succeeded
    thread.join()
    assert server.headers["Authorization"] == "Bearer second"


def test_a_token_in_a_variable_that_expires_ends_the_waiting_with_what_to_do(server, run_id):
    server.tokens = {SECRET}
    connection = connect(server, kind="token", token_env="KFP_TOKEN", options={"variables": {"KFP_TOKEN": SECRET}})
    threading.Timer(0.1, lambda: setattr(server, "tokens", {"another"})).start()
    with pytest.raises(PipeyardError) as raised:
        runs.wait(connection, run_id, timeout=30, interval=0.01)
    message = str(raised.value)
    assert "401" in message and "KFP_TOKEN: it is wrong, has expired, or this machine's clock is off" in message
    assert "The run goes on" in message
    assert SECRET not in message


@pytest.mark.parametrize("meanwhile", ["", None], ids=["empty", "gone"])
def test_a_token_s_file_that_is_written_anew_in_mid_wait_is_waited_for(server, run_id, tmp_path, meanwhile):
    token = tmp_path / "token"
    token.write_text("first")
    server.tokens = {"first"}
    connection = connect(server, kind="token", token_file=str(token))
    told = []

    def rotate(line):
        told.append(line)
        if line == "RUNNING":
            token.unlink()
            if meanwhile is not None:
                token.write_text(meanwhile)
        elif line.startswith("waiting for the server"):
            server.set_state(run_id, "SUCCEEDED")
            token.write_text("first")

    assert runs.wait(connection, run_id, timeout=30, interval=0.01, tell=rotate).succeeded
    assert any(f"waiting for the server: Kubeflow Pipelines at {server.url}" in line for line in told)


class Identity:
    """As google-auth's credentials: a token that is valid for good by this machine's clock, which is wrong."""

    def __init__(self, tokens):
        self._tokens = iter(tokens)
        self.token = None
        self.valid = False

    def refresh(self, _request):
        self.token = next(self._tokens)
        self.valid = True


def test_an_identity_token_that_the_server_refuses_is_renewed_though_our_clock_says_that_it_is_valid(server, run_id):
    made = []

    def identity(audience, path):
        made.append((audience, path))
        return Identity(["first", "second"])

    server.tokens = {"first"}
    connection = connect(server, kind="iap", iap_client_id="client", options={"identity_tokens": identity})
    assert not made
    threading.Timer(0.1, lambda: setattr(server, "tokens", {"second"})).start()
    threading.Timer(0.2, lambda: server.set_state(run_id, "SUCCEEDED")).start()
    assert runs.wait(connection, run_id, timeout=30, interval=0.01).succeeded
    assert made == [("client", "")]


class Refused(Identity):
    """Whose tokens are to be had no more, at times: each time another error is raised, or it takes for ever."""

    def __init__(self, tokens, *errors):
        super().__init__(tokens)
        self.errors = list(errors)

    def refresh(self, request):
        if self.token and self.errors:
            error = self.errors.pop(0)
            if isinstance(error, threading.Event):
                error.wait(60)
                return
            raise error
        super().refresh(request)


def test_google_that_can_not_be_reached_for_a_new_token_in_mid_wait_is_waited_for(server, run_id):
    hanging = threading.Event()
    identity = Refused(["first", "second"], exceptions.TransportError("no route to Google"), hanging)
    server.tokens = {"first"}
    connection = connect(
        server,
        limits=IMPATIENT,
        kind="iap",
        iap_client_id="client",
        options={"identity_tokens": lambda _audience, _path: identity},
    )
    told = []

    def expire():
        server.tokens = {"second"}
        server.set_state(run_id, "SUCCEEDED")

    threading.Timer(0.1, expire).start()
    threading.Timer(2, hanging.set).start()
    assert runs.wait(connection, run_id, timeout=30, interval=0.01, tell=told.append).succeeded
    lines = "\n".join(told)
    assert "wasn't tried: Google can't be reached for a token for IAP: no route to Google." in lines
    assert "the identity token for IAP wasn't given in 0.6 s" in lines


def test_what_google_answered_instead_of_an_identity_is_not_shown(server):
    def identity(_audience, _path):
        raise exceptions.RefreshError("No ID token in response.", {"access_token": SECRET})

    connection = connect(server, kind="iap", iap_client_id="client", options={"identity_tokens": identity})
    with pytest.raises(PipeyardError, match="no identity token for IAP: No ID token in response") as raised:
        experiments.ensure(connection, "taxi")
    shown = "".join(traceback.format_exception(raised.value))
    assert SECRET not in shown
    assert SECRET not in google_login.problem(exceptions.GoogleAuthError("no", {"access_token": SECRET}))


def test_without_an_identity_it_is_told_how_to_get_one(server):
    def identity(_audience, _path):
        raise exceptions.DefaultCredentialsError("no credentials here")

    connection = connect(server, kind="iap", iap_client_id="client", options={"identity_tokens": identity})
    with pytest.raises(
        PipeyardError, match="no identity token for IAP: no credentials here. Set auth.credentials_file"
    ):
        experiments.ensure(connection, "taxi")
    lacking = connect(server, kind="iap", iap_client_id="client", credentials_file="/no/such/key.json")
    with pytest.raises(PipeyardError, match="no identity token for IAP: .*No such file.*key.json"):
        experiments.ensure(lacking, "taxi")
    assert server.requests == []


def test_cookies_are_sent(server):
    server.cookies = {"authservice_session=abcdef"}
    variables = {"COOKIES": "authservice_session=abcdef"}
    connection = connect(server, kind="cookies", cookies_env="COOKIES", options={"variables": variables})
    assert experiments.ensure(connection, "taxi") in server.store.experiments


@pytest.mark.parametrize("login", ["redirect", "page"])
def test_a_login_page_is_no_answer(server, login):
    server.tokens, server.login = {"token"}, login
    with pytest.raises(PipeyardError, match="no answer of the API but, most likely, a login page.*set one"):
        experiments.ensure(connect(server), "taxi")
    assert len(server.requests) == 1  # it isn't followed


def test_no_secret_is_shown(server, caplog):
    caplog.set_level(logging.DEBUG)
    server.tokens = {"another"}
    variables = {"KFP_TOKEN": SECRET}
    connection = connect(server, kind="token", token_env="KFP_TOKEN", options={"variables": variables})
    with pytest.raises(PipeyardError, match=r"401 Unauthorized .*Bearer \*\*\* isn't a valid token") as raised:
        experiments.ensure(connection, "taxi")
    shown = "".join(traceback.format_exception(raised.value))
    assert SECRET not in f"{shown} {connection!r} {connection.credentials!r} {caplog.text}"
    cookies = connect(server, kind="cookies", cookies_env="C", options={"variables": {"C": f"a=1; session={SECRET}"}})
    with pytest.raises(PipeyardError):
        experiments.ensure(cookies, "taxi")
    assert cookies.credentials.hide(f"session is {SECRET}") == "session is ***"


@pytest.mark.parametrize(
    ("auth", "variables", "told"),
    [
        ({"kind": "token", "token_env": "T"}, {}, "variable T is empty"),
        ({"kind": "token", "token_env": "T"}, {"T": "a\nb"}, "variable T has several lines"),
        ({"kind": "token", "token_file": "/no/such/file"}, {}, "/no/such/file can't be read .No such file"),
        ({"kind": "service_account", "service_account_file": "/"}, {}, "/ can't be read .Is a directory"),
    ],
)
def test_secrets_that_can_not_be_had_are_told_before_anything_is_sent(server, auth, variables, told):
    connection = connect(server, options={"variables": variables}, **auth)
    with pytest.raises(PipeyardError, match=told):
        experiments.ensure(connection, "taxi")
    assert server.requests == []


@pytest.mark.parametrize(
    ("host", "refused"),
    [
        ("http://kubeflow.example.com", True),
        ("http://10.0.0.1:8888", True),
        ("http://[2001:db8::1]:8888", True),
        ("https://kubeflow.example.com/pipeline", False),
        ("http://ml-pipeline:8888", False),
        ("http://ml-pipeline.kubeflow.svc.cluster.local:8888", False),
        ("http://[::1]:8888", False),
        ("http://localhost:8888", False),
    ],
)
def test_secrets_do_not_cross_networks_unencrypted(host, refused):
    if refused:
        with pytest.raises(PipeyardError, match="variable T would cross the network readable by all. Use https://"):
            connect(host, kind="token", token_env="T")
        assert connect(host).host == host
    else:
        assert connect(host, kind="token", token_env="T").host == host


def test_encryption_that_the_server_has_not_is_told_at_once(server):
    connection = connect(server.url.replace("http:", "https:"))
    start = time.monotonic()
    with pytest.raises(PipeyardError, match="name its file in SSL_CERT_FILE; if the server has no encryption"):
        experiments.ensure(connection, "taxi")
    assert time.monotonic() - start < QUICK.call


def test_a_proxy_is_asked_but_not_for_this_machine(monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://proxy.example.com:3128")
    proxies = {
        host: connect(host).runs.api_client.configuration.proxy
        for host in ("https://kubeflow.example.com", "http://localhost:8888", "http://127.0.0.1:8888")
    }
    assert proxies == {
        "https://kubeflow.example.com": "http://proxy.example.com:3128",
        "http://localhost:8888": None,
        "http://127.0.0.1:8888": None,
    }
    monkeypatch.setenv("no_proxy", "example.com")
    assert connect("https://kubeflow.example.com").runs.api_client.configuration.proxy is None
