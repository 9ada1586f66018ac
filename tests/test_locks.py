"""One writer at a time, across processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from galhelpers.locks import only_one
from galhelpers.paths import UserError

HOLD = """
import sys, time
from pathlib import Path
from galhelpers.locks import only_one
with only_one(sys.argv[1], "tries"):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_the_lock_of_a_killed_process_blocks_nobody(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "x")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        refused = pytest.raises(UserError, match=f"number {process.pid} on")
        with refused, only_one(tmp_path / "x", "tries", wait=False):
            pass
        process.kill()
    with only_one(tmp_path / "x", "tries", wait=False):
        pass


def test_who_waits_comes_after_the_first(tmp_path):
    command = [sys.executable, "-c", HOLD.replace("60", "2"), str(tmp_path / "x")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        with only_one(tmp_path / "x", "tries"):
            assert process.wait(10) == 0


def test_a_folder_without_permission_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="Cannot write into"),
        only_one(tmp_path / "file/x", "tries"),
    ):
        pass


# Every process waits for the others before each try, and holds its lock until all have tried.
COMPETE = """
import sys
from multiprocessing import get_context
from pathlib import Path
from galhelpers.locks import only_one
from galhelpers.paths import UserError

def compete(barrier, wins):
    for i in range(len(wins)):
        out = Path(sys.argv[1], str(i))
        barrier.wait()
        try:
            with only_one(out, "tries", wait=False):
                with wins.get_lock():
                    wins[i] += 1
                barrier.wait()
        except UserError:
            barrier.wait()

if __name__ == "__main__":
    spawn = get_context("spawn")
    barrier, wins = spawn.Barrier(4), spawn.Array("i", 100)
    processes = [spawn.Process(target=compete, args=(barrier, wins)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print(sorted(set(wins)))
"""


def test_of_processes_that_start_together_one_works(tmp_path):
    script = tmp_path / "compete.py"
    script.write_text(COMPETE)
    command = [sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout == "[1]\n"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a place where no file can be")
@pytest.mark.parametrize("wait", [True, False])
def test_a_place_where_no_file_can_be_made_is_refused_and_not_waited_for(wait):
    with pytest.raises(UserError, match="Cannot write"), only_one("/proc/x", "x", wait=wait):
        pass
