"""Asks a program for its flags: run in the component's own environment, with the standard library alone.

`python -c TEXT MODULE REQUEST ANSWER`, where TEXT is this file's, does what `python -m MODULE` does until the program
parses its arguments. What it imports after that, its heavy libraries, is never imported.

REQUEST: JSON, flag to {"samples": [text], "default": text or null, "bare": bool}.
ANSWER: JSON, {"flags": [{"options": [text], "required": bool}], "asked": {flag: {...}}}; see `_asked`.
"""

# pylint: disable=protected-access  # argparse tells its flags in no other way

import argparse
import contextlib
import io
import itertools
import json
import os
import runpy
import sys
from pathlib import Path

_MANY = 50  # choices may be a long range
_parse_known_args = argparse.ArgumentParser.parse_known_args


def _flags(parser):
    return [
        {"options": action.option_strings or [action.dest], "required": action.required}
        for action in parser._actions
        if not isinstance(action, argparse._HelpAction | argparse._VersionAction)
    ]


def _asked(parser, flag, wanted):
    """Returns {"exists": false}, or also

    required: bool; choices: [text] or null; default: its repr, or null if absent;
    read: [{"text", "error"} or {"text", "value", "type"}] for each sample, or for the choices where there are some;
    given: the same for the spec's default, with "same": whether it is what the program takes without the flag;
    bare: why the flag can't stand without a value; '' if it can, or nobody asked.
    """
    action = parser._option_string_actions.get(flag)
    if action is None:
        return {"exists": False}
    required = action.required
    _demand_nothing(parser)
    choices = None if action.choices is None else [str(each) for each in itertools.islice(action.choices, _MANY)]
    found = {"exists": True, "required": required, "choices": choices}
    without = _value(parser, action, [])
    default = without.get("value")
    found["default"] = None if default is None else repr(default)
    found["read"] = [_read(parser, action, flag, text) for text in choices or wanted["samples"]]
    found["given"] = None
    if wanted["default"] is not None:
        found["given"] = _read(parser, action, flag, wanted["default"])
        value = found["given"].get("value")
        found["given"]["same"] = value == default and isinstance(value, bool) == isinstance(default, bool)
    found["bare"] = _value(parser, action, [flag]).get("error", "") if wanted["bare"] else ""
    return found


def _read(parser, action, flag, text):
    return {"text": text, **_value(parser, action, [flag, text])}


def _value(parser, action, argv):
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            namespace, rest = _parse_known_args(parser, argv)
    except SystemExit:
        return {"error": said.getvalue().strip().rpartition("error: ")[2]}
    except Exception as error:  # pylint: disable=broad-exception-caught  # a converter's
        return {"error": f"{type(error).__name__}: {error}"}
    if rest:
        return {"error": f"{argv[0]} takes no value"}
    value = getattr(namespace, action.dest, None)
    return {"value": value, "type": type(value).__name__}


def _demand_nothing(parser):
    for action in parser._actions:
        action.required = False
    for group in parser._mutually_exclusive_groups:
        group.required = False


def _main(module, request, answer):
    wanted = json.loads(Path(request).read_text(encoding="utf-8"))

    def ask(parser, *_args, **_named):
        flags = _flags(parser)
        required = {id(action): action.required for action in parser._actions}
        asked = {}
        for flag, each in wanted.items():
            for action in parser._actions:
                action.required = required[id(action)]
            asked[flag] = _asked(parser, flag, each)
        Path(answer).write_text(json.dumps({"flags": flags, "asked": asked}, default=str), encoding="utf-8")
        os._exit(0)  # nothing of the program's own end, no thread of it, is waited for

    setattr(argparse.ArgumentParser, "parse_known_args", ask)  # noqa: B010  # takes what the method takes, and returns never
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


_main(*sys.argv[1:])
