"""What holds the project together: files in step with each other, nothing secret, nothing local."""

import re
import subprocess
import tomllib

import pytest
import yaml

HOSTS = ["files.python" + "hosted", "pypi" + ".org", "deb." + "debian", "registry." + "npmjs"]


def tracked(course):
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=course, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [course / name for name in listing.stdout.splitlines() if (course / name).is_file()]


def texts(course):
    for path in tracked(course):
        try:
            yield path, path.read_text(encoding="utf8")
        except UnicodeDecodeError:
            continue


def test_environment_yml_is_in_step_with_pyproject(course):
    project = tomllib.loads((course / "pyproject.toml").read_text())["project"]
    conda = yaml.safe_load((course / "environment.yml").read_text())["dependencies"]
    assert f"python{project['requires-python']}" in conda
    (pip,) = [entry["pip"] for entry in conda if isinstance(entry, dict)]
    assert pip == [*project["dependencies"], "-e ."]


def test_the_lock_has_every_dependency_with_hashes(course):
    project = tomllib.loads((course / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    lock = (course / "requirements.lock").read_text()
    for requirement in wanted:
        name = re.split(r"[<>=]", requirement)[0].lower()
        assert re.search(rf"^{re.escape(name)}==", lock, re.M), name
    pinned = re.findall(r"^[a-z0-9._-]+==.*$", lock, re.M)
    assert all(line.endswith("\\") for line in pinned)
    uv = re.search(r"^uv==\S+", lock, re.M)[0]
    assert uv in (course / "requirements-uv.lock").read_text()


def test_nothing_names_a_registry_host_or_a_path_of_a_machine(course):
    for path, text in texts(course):
        for host in HOSTS:
            assert host not in text, f"{path.name} names {host}"
        local = re.search(r"(?<![\w.~])/(home|Users|root|work)/\w+", text)
        assert local is None, f"{path.name} holds {local}"


def test_nothing_holds_a_credential(course):
    secret = re.compile(
        r"(?:KAGGLE_KEY|api_key|token|password|secret)[\"']?\]?\s*[:=]+\s*[\"'][0-9a-zA-Z_\-]{16,}"
        r"|hf_[A-Za-z0-9]{30,}|\"key\":\s*\"[0-9a-f]{32}\"",
        re.I,
    )
    for path, text in texts(course):
        found = secret.search(text)
        assert found is None, f"{path.name} looks as if it held a credential"


def test_files_stay_small(course):
    for path in tracked(course):  # a notebook holds its pictures
        most = 2_000_000 if path.suffix == ".ipynb" else 1_500_000
        assert path.stat().st_size < most, path.name


def test_ci_runs_the_test_command_of_the_readme(course):
    assert "make test" in (course / ".ci" / "run").read_text()
    assert "make test" in (course / "README.md").read_text()
    assert "make run" in (course / "README.md").read_text()
