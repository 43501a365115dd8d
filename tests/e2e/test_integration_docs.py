"""The examples of the documents for integrators run, and print what stands there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.server import REPOSITORY, serve

DOCUMENTS = ("docs/integration.md", "docs/recipes.md", "docs/quickstart.md")
PROGRAMS = {
    "bash": ["bash", "-eu", "-c"],
    "python": [sys.executable, "-c"],
    "js": ["node", "--input-type=module", "--eval"],
    "csharp": ["dotnet"],
}
SCOPES = ["identify", "verify", "inspect", "enroll", "read", "erase"]


def examples(document: str) -> dict[str, tuple[str, str]]:
    """Returns the program of each language, and what it prints: the texts after its blocks."""
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", (REPOSITORY / document).read_text(), re.S | re.M)
    found: dict[str, tuple[str, str]] = {}
    language = ""
    for kind, text in blocks:
        language = language if kind == "text" else kind
        program, output = found.get(language, ("", ""))
        found[language] = (program, output + text) if kind == "text" else (program + text, output)
    return found


ALL = [(document, language) for document in DOCUMENTS for language in examples(document)]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Starts a service that needs a key, and returns the environment of its callers."""
    folder = tmp_path_factory.mktemp("integration")
    settings = {"PALM_GALLERY_URL": f"sqlite:///{folder / 'gallery.db'}"}
    with serve(settings, folder / "log", until="/health/ready") as http:
        key = _create_key(http)
        yield {
            **os.environ,
            "PALM_URL": str(http.base_url).rstrip("/"),
            "PALM_API_KEY": key,
            "PYTHONPATH": str(REPOSITORY / "clients/python/src"),
        }


def _create_key(http: httpx.Client) -> str:
    answer = http.post("/v1/keys", json={"name": "examples", "scopes": SCOPES})
    return answer.raise_for_status().json()["api_key"]


def test_every_language_has_its_example() -> None:
    assert examples(DOCUMENTS[0]).keys() == PROGRAMS.keys()
    assert all(output for _, output in examples(DOCUMENTS[0]).values())
    assert {language for document, language in ALL} <= PROGRAMS.keys()


@pytest.mark.parametrize(("document", "language"), ALL)
def test_an_example_prints_what_the_document_shows(
    environment: dict[str, str], document: str, language: str, tmp_path: Path
) -> None:
    command = PROGRAMS[language]
    if not (shutil.which(command[0]) and (language != "bash" or shutil.which("curl"))):
        pytest.skip(f"{command[0]} is not on this machine")
    program, output = examples(document)[language]
    _erase(environment, "ada")  # whom an example that failed has left
    if language == "csharp":
        command, program = _dotnet(tmp_path, program)
    done = subprocess.run(
        [*command, program], env=environment, cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == output


def _erase(environment: dict[str, str], subject_id: str) -> None:
    bearer = {"Authorization": f"Bearer {environment['PALM_API_KEY']}"}
    httpx.delete(f"{environment['PALM_URL']}/v1/subjects/{subject_id}", headers=bearer)


def _dotnet(folder: Path, program: str) -> tuple[list[str], str]:
    """Writes a project, and returns the command that runs it."""
    project = folder / "example.csproj"
    project.write_text(
        '<Project Sdk="Microsoft.NET.Sdk"><PropertyGroup><OutputType>Exe</OutputType>'
        "<TargetFramework>net8.0</TargetFramework><Nullable>enable</Nullable>"
        "<ImplicitUsings>enable</ImplicitUsings></PropertyGroup></Project>"
    )
    (folder / "Program.cs").write_text(program)
    return ["dotnet", "run", "--project"], str(project)
