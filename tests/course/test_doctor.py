"""The doctor, on this machine and on machines with something wrong."""

import os
import re
import subprocess
import sys

import pytest
import torch

from galhelpers.course import doctor
from galhelpers.course.doctor import Finding, examine, machine
from galhelpers.threads import BOUND, WAITING


def test_this_machine_runs_the_course(capsys):
    assert doctor.doctor() == 0
    lines = capsys.readouterr().out.splitlines()
    subjects = [line.split()[1] for line in lines[:-1]]
    assert subjects == [
        "Python", "torch", "threads", "speed", "GPU", "memory", "disk", "caches", "manifest",
        "kernel",
    ]  # fmt: skip
    assert all(line.split()[0] in ("ok", "note") for line in lines[:-1])
    assert all(line.endswith(".") for line in lines)
    speed = lines[subjects.index("speed")]
    best, median = (int(number) for number in re.findall(r"(\d+) ms", speed))
    assert 0 < best <= median


def test_the_doctor_says_how_threads_wait_and_who_set_it():
    environment = {name: v for name, v in os.environ.items() if name not in WAITING}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    program = "from galhelpers.course import doctor; print(doctor.check_threads().sentence)"

    def said(**variables):
        command = [sys.executable, "-c", program]
        answer = subprocess.run(
            command, env=environment | variables, capture_output=True, text=True, check=True
        )
        return answer.stdout

    assert f"GOMP_SPINCOUNT={BOUND['GOMP_SPINCOUNT']}, set by galhelpers" in said()
    assert "OMP_WAIT_POLICY=PASSIVE, set by you" in said(OMP_WAIT_POLICY="PASSIVE")


def test_a_problem_is_reported_and_the_rest_still_examined(monkeypatch, capsys):
    def broken():
        raise ImportError("libcudart.so is missing\nmore")

    monkeypatch.setitem(doctor.CHECKS, "torch", broken)
    for subject in ("speed", "kernel"):
        monkeypatch.setitem(doctor.CHECKS, subject, lambda: Finding("ok", "left out here."))
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
    found = doctor.check_memory()
    assert found.verdict == "note"
    assert "1.5 of 8.0 GB" in found.sentence


def test_folders_that_cannot_be_written(monkeypatch, tmp_path):
    # A file is in the way: that stops a superuser too, whom permissions do not bind.
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("GALHELPERS_DATA", str(tmp_path / "file"))
    found = doctor.check_caches()
    assert found.verdict == "note"
    assert str(tmp_path / "galhelpers" / "data" / "cache") in found.sentence
    monkeypatch.setenv("GALHELPERS_OUT", str(tmp_path / "file" / "results"))
    found = doctor.check_caches()
    assert found.verdict == "problem"
    assert "GALHELPERS_OUT" in found.sentence


def test_bytecode_and_threads_are_noticed(monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert "PYTHONDONTWRITEBYTECODE" in doctor.check_caches().sentence
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "")
    assert doctor.check_caches().verdict == "ok"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(doctor.threads, "usable_cores", lambda: 8)
    monkeypatch.setattr(doctor.psutil, "cpu_count", lambda logical: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    found = doctor.check_threads()
    assert found.verdict == "note"
    assert "1 on 8 usable cores" in found.sentence
    assert "OMP_NUM_THREADS" in found.sentence
    # A container may grant fewer cores than torch counts.
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    found = doctor.check_threads()
    assert found.verdict == "note"
    assert "OMP_NUM_THREADS to 8" in found.sentence


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
