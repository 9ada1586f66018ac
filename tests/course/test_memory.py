"""A process that trains keeps memory that it has freed."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import torch
{sets_up}

def new_pages(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.empty(10 * 2**20).fill_(1)  # 40 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = new_pages(5)
{call}
new_pages(20)  # the C library takes up to nine of them before it finds that old ones fit
print(before, new_pages(5))
"""
LESSON = 'Lesson("01_votes", "quick", "simulated", "", 0, "")'


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can keep memory")
@pytest.mark.parametrize(
    ("sets_up", "call"),
    [
        (
            "from galhelpers.course.memory import keep_freed_memory",
            "keep_freed_memory()",
        ),
        ("from galhelpers.course.lesson import Lesson", LESSON),
    ],
)
def test_freed_memory_is_kept(sets_up, call):
    # In a process of its own: it cannot be undone.
    program = FAULTS.format(sets_up=sets_up, call=call)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert before >= 5 * 20  # that many even with pages of 2 MiB
    assert after < before / 10
