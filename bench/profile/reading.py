"""A profile's file, read; a defect is a ProfileError that names the file, the line, the key, the value."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from bench.errors import ProfileError
from bench.profile.contradictions import contradictions
from bench.profile.model import Profile

LONGEST_FILE_BYTES = 1_000_000


def load_profile(path: Path) -> Profile:
    """Read and check the profile at `path`; raises ProfileError with one line for any defect."""
    document = _read(path)
    try:
        profile = Profile.model_validate(document)
    except ValidationError as error:
        raise ProfileError(_explain(path, document, error)) from error
    for loc, what in contradictions(profile):
        raise ProfileError(_line(path, document, loc, what))
    return profile


def refusal(path: Path, loc: Sequence[str | int], what: str) -> ProfileError:
    """The error for a defect that only the machine shows, at the key `loc` of the sound profile at `path`."""
    return ProfileError(_line(path, _read(path), loc, what))


def _read(path: Path) -> CommentedMap:
    if path.is_dir():
        profiles = ", ".join(sorted(p.name for p in path.glob("*.yaml")))
        hint = f"; it holds {profiles}" if profiles else ""
        raise ProfileError(f"{path}: is a directory; name a profile file{hint}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ProfileError(
            f"{path}: {error.strerror or error}; `bench list` shows the profiles there are"
        ) from error
    if len(data) > LONGEST_FILE_BYTES:
        raise ProfileError(f"{path}: {len(data):,} bytes; a profile is a YAML file of a few hundred")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ProfileError(
            f"{path}:{line}: not UTF-8 text (byte {error.start}); expected a YAML profile"
        ) from error
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}" if mark else ""
        problem = " ".join(str(error.problem or error.context).split())
        raise ProfileError(f"{path}{where}: not YAML: {problem}") from error
    except (YAMLError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
        raise ProfileError(f"{path}: not YAML: {problem}") from error
    if document is None:
        raise ProfileError(f"{path}: empty; expected a profile (see profiles/quick.yaml)")
    if not isinstance(document, CommentedMap):
        raise ProfileError(
            f"{path}:1: a {_kind(document)}; expected keys such as name, population and load "
            "(see profiles/quick.yaml)"
        )
    return document


def _explain(path: Path, document: CommentedMap, error: ValidationError) -> str:
    defects = error.errors()
    # The user's own words are mended first: a misspelt key also makes the right one "missing".
    first = min(defects, key=lambda defect: defect["type"] == "missing")
    loc = first["loc"]
    match first["type"]:
        case "extra_forbidden":
            allowed = sorted(_keys_at(loc[:-1]))
            close = difflib.get_close_matches(str(loc[-1]), allowed, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            what = f"unknown key; {hint}allowed here: {', '.join(allowed)}"
        case "missing":
            what = "missing; it must be given"
        case "value_error":
            what = f"{_shown(first['input'])}: {first['ctx']['error']}"
        case _:
            message = first["msg"].removeprefix("Input should be ")
            what = f"{_shown(first['input'])}: expected {message}"
    more = f" (and {len(defects) - 1} more)" if len(defects) > 1 else ""
    return _line(path, document, loc, what) + more


def _line(path: Path, document: Any, loc: Sequence[str | int], what: str) -> str:
    """`file:line: key: what`, with the line of the deepest part of `loc` that the file has."""
    line, here = 1, document
    for part in loc:
        try:
            if isinstance(here, CommentedMap) and part in here:
                line = here.lc.key(part)[0] + 1
            elif isinstance(here, CommentedSeq) and isinstance(part, int):
                line = here.lc.item(part)[0] + 1
            else:
                break
            here = here[part]
        except (KeyError, IndexError, AttributeError, TypeError):
            break
    key = "".join(f"[{p + 1}]" if isinstance(p, int) else f".{p}" for p in loc).lstrip(".")
    return f"{path}:{line}: {key}: {what}"


def _keys_at(loc: Sequence[str | int]) -> list[str]:
    """The keys allowed at `loc`, found by walking the models."""
    model: Any = Profile
    for part in loc:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        inner = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type)]
        model = next(a for a in inner if issubclass(a, BaseModel))
    return [field.alias or name for name, field in model.model_fields.items()]


def _shown(value: object) -> str:
    text = _kind(value) if isinstance(value, dict | list) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "mapping"
    return "list" if isinstance(value, list) else type(value).__name__
