"""The doctor, on this machine and on machines with something wrong."""

import os
import subprocess
import sys

import pytest

from galhelpers.course import doctor
from galhelpers.course.doctor import Finding, examine, machine


def test_this_machine_runs_the_course(capsys):
    assert doctor.doctor() == 0
    lines = capsys.readouterr().out.splitlines()
    subjects = [line.split()[1] for line in lines[:-1]]
    assert subjects == [
        "Python", "torch", "threads", "GPU", "memory", "disk", "caches", "manifest", "kernel",
        "Chromium",
    ]  # fmt: skip
    assert all(line.split()[0] in ("ok", "note") for line in lines[:-1])
    assert all(line.endswith(".") for line in lines)


def test_a_problem_is_reported_and_the_rest_still_examined(monkeypatch, capsys):
    def broken():
        raise ImportError("libcudart.so is missing\nmore")

    monkeypatch.setattr(doctor, "check_torch", broken)
    monkeypatch.setattr(doctor, "check_kernel", lambda: Finding("kernel", "ok", "left out here."))
    assert doctor.doctor() == 1
    lines = capsys.readouterr().out.splitlines()
    assert "problem  torch     could not be examined: ImportError: libcudart.so is missing" in lines
    assert len(lines) == len(list(examine())) + 1
    assert lines[-1] == "1 of these must be put right before the course runs."


def test_too_little_disk_and_memory(monkeypatch):
    usage = type("Usage", (), {"free": 1e9})
    memory = type("Memory", (), {"available": 1.5e9, "total": 8e9})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(doctor.psutil, "virtual_memory", lambda: memory)
    assert doctor.check_disk().verdict == "problem"
    assert doctor.check_memory() == Finding(
        "memory", "note", "1.5 of 8.0 GB free; 4 GB are needed: close other programs."
    )


def test_a_data_folder_that_cannot_be_written(monkeypatch, tmp_path):
    # The system's refusal is imitated: the superuser may write into any folder.
    monkeypatch.setenv("GALHELPERS_DATA", str(tmp_path / "sub"))
    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", _refuse)
    found = doctor.check_caches()
    assert found.verdict == "problem"
    assert "GALHELPERS_DATA" in found.sentence


def _refuse(**_):
    raise PermissionError(13, "Permission denied")


def test_bytecode_and_threads_are_noticed(monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert "unset it" in doctor.check_caches().sentence
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "")
    assert doctor.check_caches().verdict == "ok"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(doctor, "usable_cores", lambda: 8)
    monkeypatch.setattr(doctor.psutil, "cpu_count", lambda logical: 8)
    import torch

    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert "1 of 8 cores, since OMP_NUM_THREADS is 1" in doctor.check_threads().sentence


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in tool is a shell script")
def test_gpu_names_come_from_the_driver(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho Fast GPU\necho Fast GPU\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert doctor.gpu_name() == "2 x Fast GPU"
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert doctor.gpu_name() == "none"


def test_the_machine_is_described_without_its_user():
    facts = machine()
    assert set(facts) == {"system", "processor", "memory", "GPU"}
    user = subprocess.run(["hostname"], capture_output=True, text=True).stdout.strip()
    assert not user or all(user not in value for value in facts.values())
