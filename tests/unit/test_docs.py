"""What the documents show must be true: their profiles load, their commands exist, their files are there."""

import re
from pathlib import Path

import pytest

from bench.cli import COMMANDS
from bench.planning import make_plan
from bench.profile import load_profile

DOCUMENTS = [Path("README.md"), Path("CONTRIBUTING.md"), *sorted(Path("docs").glob("*.md"))]


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)


PROFILES = [
    pytest.param(text, id=f"{document.name}-{number}")
    for document in DOCUMENTS
    for number, text in enumerate(blocks(document, "yaml"))
    if "population:" in text
]


def test_there_are_profiles_in_the_documents() -> None:
    assert len(PROFILES) >= 2


@pytest.mark.parametrize("text", PROFILES)
def test_every_profile_shown_is_sound(text: str, tmp_path: Path) -> None:
    path = tmp_path / "shown.yaml"
    path.write_text(text)
    assert make_plan(load_profile(path)).trials


def test_every_command_shown_exists_and_every_command_is_shown() -> None:
    text = Path("README.md").read_text()
    shown = set(re.findall(r"^\$ bench (\w+)", text, re.MULTILINE))
    assert shown == set(COMMANDS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_a_document_names_is_there(document: Path) -> None:
    named = re.findall(r"`((?:bench|services|docs|profiles|tests|compose|monitoring|results/reference)/[^`{}*… ]+)`",
                       document.read_text())  # fmt: skip
    # A word in capitals stands for any: compose/GENERATION/NODE.json.
    missing = [name for name in named if not re.search(r"\b[A-Z]{4,}\b", name) and not Path(name).exists()]
    assert missing == []


def test_the_readmes_sample_is_there() -> None:
    (sample,) = blocks(Path("README.md"), "text")
    assert "published" in sample
    assert all(name in sample for name in ("monolith", "sharded", "microservices"))
    assert max(len(line) for line in sample.splitlines()) <= 80
