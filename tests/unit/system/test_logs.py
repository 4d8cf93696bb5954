import pytest

from pipeyard.system import logs


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (b"", ""),
        (b"\n \n", ""),
        (b"one\ntwo\nthree\n", "two\nthree"),
        (b"10%\r50%\r100%\nbad \xff\r\n\n", "100%\nbad \N{REPLACEMENT CHARACTER}"),
        (b"a\tb\x00\x07\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[2Jend\n", "a\tbredend"),
        (b"Error: boom\r\x1b[K", "Error: boom"),
        (b"Error: boom\n100%\r    \r\n", "Error: boom"),
        (b"\x1b]Error: boom\n", "Error: boom"),
        ("a\x85b\u2028c\u202ed\x9b2Je\n".encode(), "abcd2Je"),
    ],
)
def test_a_tail_is_the_last_lines_without_what_a_terminal_obeys(tmp_path, printed, expected):
    log = tmp_path / "log"
    log.write_bytes(printed)
    assert logs.tail(log, 2) == expected


def test_no_log_has_no_tail(tmp_path):
    assert logs.tail(tmp_path / "absent", 2) == ""
    with pytest.raises(FileNotFoundError):
        logs.read_tail(tmp_path / "absent", 2)


def test_a_tail_is_bounded_in_lines_characters_and_bytes_read(tmp_path):
    log = tmp_path / "log"
    with log.open("wb") as stream:
        stream.truncate(4 << 30)  # sparse: who reads all of it runs out of memory, or of time
        stream.seek(0, 2)
        stream.write(b"\n" + b"x" * 5000 + b"\nlast\n")
    assert logs.tail(log, 20) == "x" * 1000 + "\N{HORIZONTAL ELLIPSIS}\nlast"
    log.write_bytes(b"z" * 300_000 + b"the end\nlast\n")
    assert logs.tail(log, 20) == "z" * 993 + "the end\nlast"


def test_no_part_of_a_secret_is_left_where_a_tail_is_cut(tmp_path):
    log, secret = tmp_path / "log", "swordfish" * 20
    log.write_text("x" * 950 + secret + "\n")
    assert "swordfish" not in logs.tail(log, 5, lambda text: text.replace(secret, "***"))
    # What is read begins within a secret: the rest of that line isn't shown.
    others = "y" * (logs.TAIL_BYTES - 21 - len("last\n"))
    log.write_text(secret + "\n" + others + "\nlast\n")
    assert logs.tail(log, 5, lambda text: text.replace(secret, "***")).endswith("\nlast")
    assert "fish" not in logs.tail(log, 5, lambda text: text.replace(secret, "***"))
