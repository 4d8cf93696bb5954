"""Names and tags as the recorded server takes them."""

import pytest
from servers.kubeflow import collation

from pipeyard.errors import PipeyardError
from pipeyard.kubeflow import names


@pytest.mark.parametrize(("kind", "most"), [("pipeline", 128), ("version", 127), ("experiment", 128), ("run", 128)])
def test_names_are_measured_in_bytes(kind, most):
    names.check(kind, "x" * most)
    names.check(kind, "ü" * (most // 2))
    for long in ("x" * (most + 1), "ü" * (most // 2 + 1)):
        with pytest.raises(PipeyardError, match=f"has {len(long.encode())} bytes; the server takes {most}. Shorten it"):
            names.check(kind, long, "Shorten it.")


def test_tags_are_those_that_the_server_takes():
    names.check_tags({"k" * 63: "v" * 63, "empty": ""})
    names.check_tags({f"key-{number}": "x" for number in range(20)})
    for tags in ({"k" * 64: "x"}, {"key": "v" * 64}, {"": "x"}, {"a.b": "x"}):
        with pytest.raises(PipeyardError, match="doesn't fit: a key is 1 to 63 characters without a dot"):
            names.check_tags(tags)
    with pytest.raises(PipeyardError, match="has 21 tags; the server takes 20"):
        names.check_tags({f"key-{number}": "x" for number in range(21)})


@pytest.mark.parametrize(
    ("one", "other"), [("taxi", "Taxi"), ("taxi", "taxi "), ("über", "UBER"), ("straße", "STRASSE"), ("a", "b")]
)
def test_what_is_one_name_to_the_server_is_one_here(one, other):
    assert names.same(one, other) == (collation.key(one) == collation.key(other)) == (one != "a")


def test_names_that_are_one_are_both_told():
    names.check_apart("pipeline", ["taxi", "taxi-2", "taxi"], "Rename one.")
    with pytest.raises(PipeyardError, match="The experiments 'Taxi' and 'taxi' are one to the server.*Rename one"):
        names.check_apart("experiment", ["taxi", "flights", "Taxi"], "Rename one.")
