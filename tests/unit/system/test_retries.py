"""Which failures of a call are transient, and what each client's library makes of a policy."""

import ast
from pathlib import Path

import pytest
import requests
import tenacity
from google.api_core import exceptions
from google.auth.exceptions import RefreshError, TransportError
from urllib3 import HTTPResponse
from urllib3.util.retry import RequestHistory

import pipeyard
import pipeyard_components
from pipeyard.servers.kubeflow.connection import CallLimits
from pipeyard.system import retries
from pipeyard_components import retries as of_the_client

ROOTS = [Path(package.__file__).parent for package in (pipeyard, pipeyard_components)]
SHORT = retries.RetryPolicy(attempts=3, pause=0.001, longest_pause=0.002)
# What in libraries repeats calls; `retries` alone makes them.
MAKERS = {"Retry", "Retrying", "DEFAULT_RETRY", "stop_after_attempt", "stop_after_delay", "status_forcelist"}


def test_the_statuses_that_are_transient():
    assert sorted(retries.TRANSIENT) == [408, 429, 500, 502, 503, 504]


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (exceptions.ServiceUnavailable("s"), True),
        (exceptions.TooManyRequests("s"), True),
        (exceptions.InternalServerError("s"), True),
        (exceptions.MethodNotImplemented("s"), False),
        (exceptions.NotFound("s"), False),
        (requests.ConnectionError("s"), True),
        (requests.ReadTimeout("s"), True),
        (requests.exceptions.ChunkedEncodingError("s"), True),
        (requests.exceptions.InvalidURL("s"), False),
        (TransportError("s"), True),
        (RefreshError("s"), False),
        (ValueError("s"), False),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else str(each),
)
def test_the_exceptions_that_are_transient(error, transient):
    assert retries.is_transient(error) is transient


@pytest.mark.parametrize(
    ("printed", "transient"),
    [
        ("received unexpected HTTP status: 503 Service Unavailable", True),
        ("read tcp 10.0.0.1: connection reset by peer", True),
        ("net/http: TLS handshake timeout", True),
        ("unauthorized: authentication required", False),
        ("manifest invalid", False),
    ],
)
def test_what_builders_print_that_is_transient(printed, transient):
    assert retries.says_transient(printed) is transient


def test_how_often_and_how_long_each_client_repeats():
    assert (retries.REGISTRY.attempts, retries.REGISTRY.longest_pause) == (4, 8)
    assert (retries.PUSH.attempts, retries.PUSH.seconds) == (4, 45)
    assert retries.COMPONENTS.attempts == 4
    assert (CallLimits().attempts, CallLimits().pause, CallLimits().longest_pause) == (5, 0.5, 10)
    assert (retries.GOOGLE.attempts, retries.GOOGLE.seconds) == (None, 120)
    assert retries.SCHEDULER.attempts == 4
    assert (retries.CONDITIONAL.attempts, retries.CONDITIONAL.longest_pause) == (12, 4)


@pytest.mark.parametrize(("at_least", "tried"), [(1, 1), (2, 2)])
def test_a_call_that_takes_all_the_time_may_still_be_repeated(at_least, tried):
    policy = retries.RetryPolicy(pause=0, longest_pause=0, attempts=4, seconds=0)
    repeating = retries.retrying(policy, tenacity.retry_if_exception_type(OSError), at_least)

    def fail():
        raise OSError("cut")

    with pytest.raises(OSError, match="cut"):
        repeating(fail)
    assert repeating.statistics["attempt_number"] == tried


def test_a_short_time_has_room_for_several_attempts():
    assert retries.GOOGLE.within(2) == retries.RetryPolicy(pause=0.25, longest_pause=20, seconds=2)
    assert retries.GOOGLE.within(600) == retries.RetryPolicy(pause=1, longest_pause=20, seconds=600)


def test_libraries_that_do_not_count_the_first_attempt_are_given_one_less():
    made = retries.for_urllib3(SHORT, allowed_methods=("PUT",))
    assert (made.total, made.backoff_factor) == (2, 0.001)
    tried = (RequestHistory("GET", "/", None, 503, None),) * 9
    assert made.new(history=tried).get_backoff_time() == SHORT.longest_pause
    told = HTTPResponse(status=503, headers={"Retry-After": "3600"})
    assert retries.for_urllib3(SHORT, longest_told=5).get_retry_after(told) == 5
    assert made.get_retry_after(told) == 3600
    assert made.is_retry("PUT", 503)
    assert not made.is_retry("PUT", 404)
    assert not made.is_retry("GET", 503)
    assert retries.for_botocore(SHORT) == {"max_attempts": 2}


@pytest.mark.parametrize("made", [retries.for_google, retries.for_cloud_storage])
def test_google_s_libraries_are_given_the_time(made):
    repeated = made(retries.GOOGLE.within(4))
    assert (repeated.timeout, repeated._initial, repeated._maximum) == (4, 0.5, 20)
    assert repeated._predicate(exceptions.ServiceUnavailable("s"))
    assert not repeated._predicate(exceptions.NotFound("s"))


def _answers(*given):
    """Returns a call that answers statuses, or raises, one after the other; and what it was called with."""
    left = list(given)

    def call():
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        response = requests.Response()
        response.status_code = answer
        return response

    return call, left


def test_a_call_is_repeated_until_it_is_answered():
    call, left = _answers(503, requests.ConnectionError("cut"), 404, 200)
    assert retries.answering(SHORT)(call).status_code == 404
    assert left == [200]


def test_the_last_answer_or_exception_is_given_as_it_is():
    assert retries.answering(SHORT)(_answers(500, 502, 504, 200)[0]).status_code == 504
    with pytest.raises(requests.ConnectionError, match="third"):
        retries.answering(SHORT)(_answers(503, 503, requests.ConnectionError("third"), 200)[0])
    with pytest.raises(requests.exceptions.InvalidURL):
        retries.answering(SHORT)(_answers(requests.exceptions.InvalidURL("s"), 200)[0])


def test_nothing_is_attempted_anew_after_the_time():
    policy = retries.RetryPolicy(pause=0.02, longest_pause=0.02, seconds=0.05)
    calls = []

    def call():
        calls.append(1)
        raise requests.ConnectionError("down")

    with pytest.raises(requests.ConnectionError, match="down"):
        retries.retrying(policy, tenacity.retry_if_exception_type(requests.ConnectionError))(call)
    assert 2 <= len(calls) <= 4


def test_no_other_module_says_how_often_a_call_is_repeated():
    found = {
        f"{path.relative_to(root)}: {name}"
        for root in ROOTS
        for path in root.rglob("*.py")
        if path not in {Path(retries.__file__), Path(of_the_client.__file__)}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in _names(node)
        if name in MAKERS
    }
    assert not found


def _names(node):
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        return [node.attr]
    if isinstance(node, ast.ImportFrom | ast.Import):
        return [alias.name for alias in node.names]
    return [node.arg] if isinstance(node, ast.keyword) else []
