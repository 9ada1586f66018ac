"""Time training steps beside busy programs, for several ways in which threads wait for each other.

    python benchmarks/threads.py                        # the table of docs/results.md, 6 minutes
    python benchmarks/threads.py --json threads.json    # with every turn
    python benchmarks/threads.py --settings "torch,GOMP_SPINCOUNT=300,GOMP_SPINCOUNT=10000"

Each setting is tried in a process of its own, since an OpenMP library reads its environment once,
when torch loads. ``torch`` is torch with nothing set, ``galhelpers`` is what the course does, and
any other name is a list of variables, with ``+`` between them. The processes take turns of a
fraction of a second, so that a machine that slows down slows all of them. The steps are those of
the quick profile, with a learning rate of 0, so that each is the same work.

Columns: nothing else running, one busy process beside, three beside. A turn during which yet other
programs took more than a twentieth of the processor is thrown away and tried again, so that the
figures hold on a machine that is not quite quiet. The last column is the processor time of two
processes at once (two notebooks), divided by that of the same two one after the other.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ("torch", "galhelpers", "OMP_WAIT_POLICY=PASSIVE", "OMP_NUM_THREADS=1")
STEPS = ("NODE_ACA", "small ResNet", "VoteNet", "ConvNet", "LinNet")
PAIRED = {"NODE_ACA": 3, "small ResNet": 1, "VoteNet": 6}  # steps of one of two at once
NEIGHBOURS = (0, 1, 3)
SHARE = 0.05  # of the processor, that other programs may take


def make_steps():
    """Make the training steps, by name."""
    from galhelpers.learning.losses import vote_loss
    from galhelpers.models import ConvNet, LinNet, SmallResNet, VoteNet, gupta_node
    from galhelpers.trees import DECALS

    import torch
    import torch.nn.functional as F

    torch.manual_seed(0)
    solver = {"gradient": "aca", "method": "adaptive_heun", "tolerance": 1e-2}
    pictures, classes = torch.rand(64, 3, 64, 64), torch.randint(5, (64,))
    grey, shares = pictures[:, :1].contiguous(), torch.rand(64, 37)
    votes = torch.randint(10, (32, DECALS.n_answers)).float()
    vote_net = VoteNet("decals", "small", widths=(16, 32, 64))
    kinds = {
        "NODE_ACA": (gupta_node(**solver), pictures[:16, :, :32, :32], classes[:16]),
        "small ResNet": (SmallResNet(), pictures, classes),
        "VoteNet": (vote_net.to(memory_format=torch.channels_last), pictures[:32], votes),
        "ConvNet": (ConvNet(), grey, shares),
        "LinNet": (LinNet(), grey, shares),
    }
    losses = {"VoteNet": partial(vote_loss, tree=DECALS), "ConvNet": F.mse_loss}
    losses["LinNet"] = F.mse_loss

    def step(net, images, wanted, loss, optimizer):
        optimizer.zero_grad()
        loss(net(images), wanted).backward()
        optimizer.step()

    made = {}
    for name, (net, images, wanted) in kinds.items():
        optimizer = torch.optim.AdamW(net.parameters(), lr=0)
        loss = losses.get(name, F.cross_entropy)
        made[name] = partial(step, net, images, wanted, loss, optimizer)
    return made


def serve(course):
    """Take steps as asked on the standard input; answer with seconds a step."""
    # What is imported first decides: galhelpers changes nothing once torch is loaded.
    __import__("galhelpers" if course else "torch")
    import torch

    steps = make_steps()
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
    for line in sys.stdin:
        ask = json.loads(line)
        step, taken, before = steps[ask["step"]], 0, time.process_time()
        step()  # memory of a process that slept may have to come back first
        wall, cpu = time.perf_counter(), time.process_time()
        while taken < ask["count"] or time.perf_counter() - wall < ask["seconds"]:
            step()
            taken += 1
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        answer = {"wall": wall / taken, "cpu": cpu / taken}
        print(json.dumps(answer | {"used": time.process_time() - before}), flush=True)


class Process:
    """A process with one setting, which waits to be asked."""

    def __init__(self, setting):
        from galhelpers.threads import WAITING

        fixed = {*WAITING, "OMP_NUM_THREADS"}
        environment = {name: v for name, v in os.environ.items() if name not in fixed}
        if "=" in setting:
            environment |= dict(variable.split("=") for variable in setting.split("+"))
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *sys.path])
        kind = "galhelpers" if setting == "galhelpers" else "torch"
        command = [sys.executable, __file__, "--serve", kind]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=environment, **pipes)

    def ask(self, step, seconds=0.0, count=1):
        """Let it take a number of steps, and more until some seconds are over."""
        question = {"step": step, "seconds": seconds, "count": count}
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()

    def answer(self):
        """Wait for its answer."""
        return json.loads(self.process.stdout.readline())

    def close(self):
        """End it."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Neighbours:
    """Busy processes that stand still until they are wanted."""

    def __init__(self, most):
        # They end with this process, however it ends.
        loop = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
        self.all = [psutil.Popen([sys.executable, "-c", loop]) for _ in range(most)]
        for one in self.all:
            one.suspend()

    @contextmanager
    def busy(self, n):
        """Let n of them run inside the block."""
        for one in self.all[:n]:
            one.resume()
        try:
            yield
        finally:
            for one in self.all[:n]:
                one.suspend()

    def used(self):
        """Processor seconds of all of them so far."""
        return sum(sum(one.cpu_times()[:2]) for one in self.all)

    def close(self):
        """End them."""
        for one in self.all:
            one.kill()
            one.wait()


class Watch:
    """Says which share of the processor went to other programs than those of the benchmark."""

    def __init__(self, neighbours):
        self.neighbours, self.this = neighbours, psutil.Process()
        self.start = self._now()

    def _now(self):
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0) + getattr(times, "guest", 0.0)
        ours = sum(self.this.cpu_times()[:2]) + self.neighbours.used()
        return sum(times) - idle, ours, time.perf_counter()

    def others(self, cpu=0.0):
        """Give the share since the start; ``cpu`` seconds of it are the benchmark's."""
        busy, ours, wall = (b - a for a, b in zip(self.start, self._now(), strict=True))
        return (busy - ours - cpu) / (wall * psutil.cpu_count())


def wait_for_quiet(neighbours, longest):
    """Wait until no other program has run for a tenth of a second."""
    end = time.monotonic() + longest
    while time.monotonic() < end:
        watch = Watch(neighbours)
        time.sleep(0.1)
        if watch.others() <= SHARE:
            break


def take_turns(kinds, take, minutes, options):
    """Take a turn of each kind, again and again; give the clean ones of each."""
    end, found = time.monotonic() + 60 * minutes, {kind: [] for kind in kinds}
    neighbours, thrown_away = Neighbours(max(NEIGHBOURS)), 0
    try:
        while min(map(len, found.values())) < options.rounds and time.monotonic() < end:
            # Those with fewest clean turns are next, so that all get about as many.
            for kind in sorted(kinds, key=lambda kind: len(found[kind])):
                if time.monotonic() > end:
                    break
                wait_for_quiet(neighbours, options.patience)
                watch = Watch(neighbours)
                turn, used = take(neighbours, *kind)
                clean = watch.others(used) <= options.share
                thrown_away += not clean
                if clean:
                    found[kind].append(turn)
    finally:
        neighbours.close()
    return found, thrown_away


def one_turn(processes, seconds, neighbours, n, step, setting):
    with neighbours.busy(n):
        processes[setting].ask(step, seconds, count=2)
        answer = processes[setting].answer()
    return answer, answer["used"]


def two_at_once(pairs, neighbours, setting):
    """CPU seconds of two processes at once, over those of the same one after the other."""
    cpu, used = {1: 0.0, 2: 0.0}, 0.0
    for step, count in PAIRED.items():
        for together in (pairs[setting][:1], pairs[setting][1:], pairs[setting]):
            for process in together:
                process.ask(step, count=count)
            for answer in [process.answer() for process in together]:
                cpu[len(together)] += answer["cpu"] * count
                used += answer["used"]
    return cpu[2] / cpu[1], used


def print_tables(settings, steps, turns, ratios):
    """Print a table for each step, ready for the documentation."""

    def middle(values, digits):
        return f"{statistics.median(values):.{digits}f}" if values else "-"

    for step in steps:
        print(f"\n| {step} | alone | one beside | three beside | CPU s | alone : torch |", end="")
        print(" one : alone | three : alone | turns |\n" + "| --- " * 9 + "|")
        torch_alone = [turn["wall"] for turn in turns.get((0, step, "torch"), [])]
        for setting in settings:
            found = [turns[n, step, setting] for n in NEIGHBOURS]
            walls = [[turn["wall"] for turn in some] for some in found]
            pairs = [(walls[0], torch_alone), (walls[1], walls[0]), (walls[2], walls[0])]
            cells = [middle(wall, 3) for wall in walls]
            cells.append(middle([turn["cpu"] for turn in found[0]], 3))
            cells += [
                f"{statistics.median(a) / statistics.median(b):.2f}" if a and b else "-"
                for a, b in pairs
            ]
            print(f"| {setting} | {' | '.join(cells)} | {'/'.join(str(len(w)) for w in walls)} |")
    print("\n| setting | CPU of two at once : one after the other | turns |\n| --- | --- | --- |")
    for (setting,), found in ratios.items():
        print(f"| {setting} | {middle(found, 2)} | {len(found)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--settings", default=",".join(SETTINGS), help="with commas between them")
    parser.add_argument("--steps", default=",".join(STEPS), help="with commas between them")
    parser.add_argument("--minutes", type=float, default=5.5, help="longest time")
    parser.add_argument("--rounds", type=int, default=7, help="clean turns wanted of each kind")
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a turn")
    parser.add_argument("--patience", type=float, default=2.0, help="seconds to wait for quiet")
    parser.add_argument("--share", type=float, default=SHARE, help="of other programs in a turn")
    parser.add_argument("--json", type=Path, help="write every turn here")
    options = parser.parse_args()
    if options.serve:
        serve(options.serve == "galhelpers")
        return
    settings, steps = options.settings.split(","), options.steps.split(",")
    first = {setting: Process(setting) for setting in settings}
    facts = [process.answer() for process in first.values()]
    kinds = [(n, step, setting) for n in NEIGHBOURS for step in steps for setting in settings]
    take = partial(one_turn, first, options.seconds)
    turns, thrown_away = take_turns(kinds, take, 0.8 * options.minutes, options)
    pairs = {setting: (process, Process(setting)) for setting, process in first.items()}
    facts += [process.answer() for _, process in pairs.values()]
    take, kinds = partial(two_at_once, pairs), [(setting,) for setting in settings]
    ratios, again = take_turns(kinds, take, 0.2 * options.minutes, options)
    for process in (process for pair in pairs.values() for process in pair):
        process.close()

    cores = f"{facts[0]['threads']} threads on {psutil.cpu_count()} cores"
    print(f"{platform.system()} {platform.machine()}, {cores}, torch {facts[0]['torch']}")
    print("Wall seconds a step: median of the clean turns, whose numbers are in the last column;")
    print(f"{thrown_away + again} turns were thrown away, since other programs ran.")
    print_tables(settings, steps, turns, ratios)
    if options.json:
        rows = [{"beside": n, "step": step, "setting": setting, "turns": turns[n, step, setting]}
                for n, step, setting in turns]  # fmt: skip
        two = {setting: found for (setting,), found in ratios.items()}
        options.json.write_text(json.dumps({"turns": rows, "two at once": two}, indent=1) + "\n")


if __name__ == "__main__":
    main()
