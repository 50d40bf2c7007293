"""The images are made of what the program was tested with, and say so."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomllib
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKER = REPOSITORY / "docker"
FILES = [DOCKER / "Dockerfile", DOCKER / "Dockerfile.cpu"]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
sys.path.insert(0, str(REPOSITORY / "tools"))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s\\]+)", text, re.M)
    return {normal(name): version for name, version in found}


def instructions(file: Path) -> list[tuple[str, str]]:
    """Return (instruction, the rest) of a Dockerfile, continued lines joined."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines() if line]


def of(file: Path, name: str) -> list[str]:
    return [rest for instruction, rest in instructions(file) if instruction == name]


LOCKED = {
    file.stem: pins(file.read_text()) for file in sorted((DOCKER / "requirements").glob("*.txt"))
}
TESTED = pins((REPOSITORY / "constraints.txt").read_text())


def test_what_is_installed_is_what_was_tested() -> None:
    locked = {name: version for step in LOCKED.values() for name, version in step.items()}
    assert len(locked) > 100
    assert {name: version for name, version in locked.items() if TESTED.get(name) != version} == {}
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["otel"]]
    assert {normal(re.split(r"[=<>]", one)[0]) for one in wanted} <= locked.keys()
    assert "pytest" not in locked


@pytest.mark.parametrize("step", LOCKED)
def test_every_package_has_a_hash_and_no_file_says_where_from(step: str) -> None:
    text = (DOCKER / "requirements" / f"{step}.txt").read_text()
    entries = re.split(r"\n(?=\w)", text)[1:]
    assert len(entries) == len(LOCKED[step]) > 0
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"://|index-url|find-links|file:", text)


def test_a_line_without_a_hash_is_refused() -> None:
    from split_requirements import split

    assert "six==1.0" in split("six==1.0 \\\n    --hash=sha256:00")["app"]
    with pytest.raises(ValueError, match="no pinned package"):
        split("six==1.0")
    with pytest.raises(ValueError, match="no pinned package"):
        split("--index-url x\nsix==1.0 \\\n    --hash=sha256:00")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_image_is_what_the_platform_and_operators_expect(file: Path) -> None:
    labels = " ".join(of(file, "LABEL"))
    [sdk] = [one for one in PROJECT["dependencies"] if one.startswith("supervisely==")]
    assert f'python_sdk_version="{sdk.partition("==")[2]}"' in labels
    assert f'image.version="{PROJECT["version"]}"' in labels
    assert of(file, "USER")[-1] == "${UID}"
    assert "UID=10001" in of(file, "ARG")
    assert of(file, "EXPOSE") == ["8000"]
    assert "/livez" in of(file, "HEALTHCHECK")[0]
    installs = [one for one in of(file, "RUN") if "pip install" in one and "-e ." not in one]
    unchecked = [one for one in installs if "--require-hashes" not in one]
    assert all("--index-url" in one for one in unchecked), "all but the CPU's torch have hashes"
    copied = " ".join(of(file, "COPY"))
    assert all(part in copied for part in ("serve/", "src/", "checkpoints/nano/", "config.json"))


def test_torch_without_cuda_is_the_same_version() -> None:
    [install] = [one for one in of(FILES[1], "RUN") if "--index-url" in one]
    assert f"torch=={LOCKED['torch']['torch']} torchvision=={LOCKED['torch']['torchvision']}" in (
        install
    )


def test_manifest_names_this_version() -> None:
    config = json.loads((REPOSITORY / "config.json").read_text())
    assert config["docker_image"] == f"sam2-serving:{PROJECT['version']}"


def test_entrypoint_serves_as_the_manifest_says(tmp_path: Path) -> None:
    told = tmp_path / "python3"
    told.write_text('#!/bin/sh\necho "$@"\n')
    told.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SAM2_SERVING_HOST": "0.0.0.0",
        "SAM2_SERVING_PORT": "8000",
        "SAM2_SERVING_WORKSPACE_DATA_DIR": str(tmp_path),
    }

    def run(*command: str) -> str:
        entry = [str(DOCKER / "entrypoint.sh"), *command]
        return subprocess.run(entry, env=environment, capture_output=True, text=True).stdout

    config = json.loads((REPOSITORY / "config.json").read_text())
    assert sorted(run("serve").split()) == sorted(shlex.split(config["entrypoint"])[1:])
    assert run() == run("serve")
    assert run("echo", "as it is") == "as it is\n"
    (tmp_path / "owner-token").write_text("kept-token")
    assert "/?token=kept-token\n-m sam2_serving.workspace" in run("workspace")


def services(*names: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        for service, what in yaml.safe_load((DOCKER / name).read_text())["services"].items():
            found.setdefault(service, {}).update(what)
    return found


def test_compose_shuts_in_what_it_starts() -> None:
    both = services("compose.yaml")
    assert set(both) == {"app", "workspace"}
    for service in both.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        assert service["image"].startswith(f"sam2-serving:{PROJECT['version']}")
    assert "ports" not in both["app"]
    assert all(port.startswith("127.0.0.1:") for port in both["workspace"]["ports"])
    gpu = services("compose.yaml", "compose.gpu.yaml")["app"]
    assert gpu["read_only"] is True
    assert gpu["build"]["dockerfile"] == "docker/Dockerfile"


def test_only_what_images_are_made_of_is_sent_to_the_builder() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    sent = {line[1:] for line in lines if line.startswith("!")}
    needed = {
        source.rstrip("/")
        for file in FILES
        for copy in of(file, "COPY")
        for source in copy.split()[:-1]
    }
    assert needed == sent
