import pytest

from stepkit.errors import near_misses, tensorflow_cause


def test_near_misses():
    assert near_misses("tipz", ["tips", "fare"]) == "Did you mean 'tips'? There are: 'fare', 'tips'."
    assert near_misses("zzz", ["tips"]) == "There are: 'tips'."
    assert near_misses("zzz", []) == "There are none."
    assert near_misses("zzz", map(str, range(25))).endswith(" and 5 more.")
    assert near_misses("tip", ["tips", "tipp"]) == "Did you mean 'tips' or 'tipp'? There are: 'tipp', 'tips'."


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            "Graph execution error:\n\nDetected at node ParseExample/V2 defined at (most recent call last):\n"
            "<stack traces unavailable>\nName: <unknown>, Feature: miles (data type: float) is required.\n"
            "\t [[{{node ParseExample/ParseExampleV2}}]] [Op:__inference_signature_wrapper_1]",
            "Feature: miles (data type: float) is required",
        ),
        (
            "Graph execution error:\n\nDetected at node a defined at (most recent call last):\n2 root error(s) found.\n"
            "  (0) INVALID_ARGUMENT:  indices[3] = 7 is not in [0, 4)\n\t [[{{node a}}]]\n\t [[b]]\n  (1) INV",
            "indices[3] = 7 is not in [0, 4)",
        ),
        ("Read less bytes than requested", "Read less bytes than requested"),
        ("No such file.\nDetails: none", "No such file"),
        ("", "ValueError"),
    ],
)
def test_tensorflow_cause(text, cause):
    assert tensorflow_cause(ValueError(text)) == cause
