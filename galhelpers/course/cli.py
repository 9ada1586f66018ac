"""The command ``galhelpers``: look at the computer, get data, run the course, classify images.

Exit status: 0 when all went well, 1 when something failed or was interrupted, 2 when the command
itself was wrong, 3 when ``predict`` classified some images and could not read others.
"""

import argparse
import contextlib
import errno
import io
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from galhelpers import __version__
from galhelpers.messages import public
from galhelpers.paths import UserError, ensure_home
from galhelpers.profiles import read_seed
from galhelpers.threads import usable_cores

WHAT = "Look at the computer, get data, run the course, classify images."


class Parser(argparse.ArgumentParser):
    """Report a wrong command as any other user error, with the options there are."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of leaving the program."""
        valid = [s for action in self._actions for s in action.option_strings if s.startswith("--")]
        # Sub-commands are positional; an error among them lists the choices by itself.
        message = public(message)
        raise UserError(
            f"{message[:1].upper()}{message[1:]}. Options of {self.prog}: {', '.join(valid)}. "
            f"{self.prog} --help explains them."
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process when not given.

    Returns
    -------
    int
        0 to 3 as the module says.
    """
    try:
        _open_streams()
        _check_folder()
        arguments = parse(sys.argv[1:] if argv is None else argv)
        ensure_home()
        status = COMMANDS[arguments.command](arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever reads what we print has seen enough: `| head -1`
        _drop_output()
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Give the same command again to continue.", file=sys.stderr)
        return 1
    except Exception as error:
        print(f"galhelpers: {explain(error)}", file=sys.stderr)
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            return 2 if isinstance(error, UserError) else 1
        _drop_output()  # the disk that takes what we print is full
        return 1


def explain(error: Exception) -> str:
    """Say what went wrong in one paragraph, whatever it is."""
    if isinstance(error, UserError):
        return public(error, 3000)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" ({public(error.filename)})" if error.filename else ""
        return (
            f"The disk is full, or your share of it{where}. Make room, then give the same command "
            "again: what is finished stays."
        )
    if isinstance(error, OSError):  # a folder without permission, a vanished file
        return public(f"{error.filename}: {error.strerror}" if error.filename else error)
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return f"The memory was not enough ({public(error, 150) or 'no more is known'})."
    if isinstance(error, ImportError):
        return (
            f"A package cannot be loaded ({public(error, 200)}): too little memory, or an "
            "installation that is not complete."
        )
    if isinstance(error, ValueError | RuntimeError) and not isinstance(error, RecursionError):
        return public(error)  # what came is not as it should be
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(place.filename)}, line {place.lineno}"  # noqa: PTH119
    return f"A mistake of the program itself, {where}: {type(error).__name__}: {public(error)}"


def _open_streams() -> None:
    """Make every text printable, in whatever encoding, and streams that are closed open."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # else the next file that is opened would take its place
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or io.TextIOWrapper(io.BytesIO())
    sys.stderr = sys.stderr or io.TextIOWrapper(io.BytesIO())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _check_folder() -> None:
    try:
        os.getcwd()  # noqa: PTH109
    except OSError:
        raise UserError("The working folder is not there any more: change to another.") from None


def _drop_output() -> None:
    """Let go of what cannot be printed; Python would try again at its end, and complain."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the arguments.

    Raises
    ------
    UserError
        For an unknown command or option.
    """
    parser = Parser(prog="galhelpers", description=WHAT, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"galhelpers {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, words: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=words, description=words, allow_abbrev=False)

    command("doctor", "Say in plain words whether the course will run on this computer.")
    datasets = command("datasets", "List the data sets: what they are, how large, what is here.")
    datasets.add_argument("name", nargs="?", metavar="NAME", help="tell all about this one")

    networks = command("networks", "List the trained networks: what they answer, how well.")
    networks.add_argument("name", nargs="?", metavar="NAME", help="print the card of this one")

    _fetch_options(command("fetch", "Put a data set on this computer, checked and ready to use."))

    run = command("run", "Execute notebooks and write a report.")
    run.add_argument(
        "notebooks", nargs="*", metavar="NOTEBOOK", help="01 or 01_votes; default: all"
    )
    run.add_argument("--profile", default="quick", help="quick (default), full or paper")
    run.add_argument("--dataset", default="simulated", metavar="NAME", help="default: simulated")
    run.add_argument("--data-root", default="", metavar="DIR", help="folder that holds the data")
    run.add_argument("--seed", type=_seed, default=0, metavar="N", help="default: 0")
    run.add_argument(
        "--out",
        metavar="DIR",
        help="new folder, or one of an earlier run; default: runs/PROFILE-DATASET",
    )

    _train_options(command("train", "Train a network of the course again, or on your pictures."))

    predict = command("predict", "Classify images with a trained network.")
    predict.add_argument(
        "network",
        metavar="NETWORK",
        help="a name that `galhelpers networks` lists, or a .safetensors file of a run",
    )
    predict.add_argument(
        "images", metavar="IMAGES", help="folder, image, or table of paths (text, Parquet, FITS)"
    )
    predict.add_argument("--out", required=True, metavar="FILE", help=".parquet or .csv")
    predict.add_argument("--column", metavar="NAME", help="column of paths, or its number")
    predict.add_argument(
        "--format", default="table", metavar="NAME", help="table (default), or kaggle: a submission"
    )
    predict.epilog = (
        "Exit status: 0 when all images were classified, 3 when some could not be read (FILE's "
        ".errors.csv lists them), 1 when none could or something failed, 2 when the command was "
        "wrong. Only earlier predictions are replaced."
    )

    arguments, unknown = parser.parse_known_args(argv)
    if unknown:  # argparse would complain in the name of the whole program, not of the command
        chosen = commands.choices[arguments.command]
        chosen.error(f"unknown argument {', '.join(unknown)}")
    return arguments


def _train_options(train: argparse.ArgumentParser) -> None:
    train.add_argument("network", nargs="?", metavar="NAME", help="a network of the course")
    train.add_argument("--data-root", metavar="DIR", help="folder that holds published data sets")
    train.add_argument("--out", metavar="DIR", help="folder for results; default: runs/networks")
    train.add_argument(
        "--threads", type=_threads, default=1, metavar="N",
        help="default: 1; only with one is the result the same to the bit each time",
    )  # fmt: skip
    own = train.add_argument_group("pictures of your own")
    own.add_argument(
        "--dataset", metavar="FOLDER", help="class folders, or labels.csv with paths and labels"
    )
    own.add_argument("--like", metavar="NAME", help="whose recipe and encoder are taken")
    own.add_argument("--from-nothing", action="store_true", help="start from random weights")
    own.add_argument(
        "--crop", type=_share, metavar="SHARE", help="of the frame that is shown; default: LIKE's"
    )
    own.add_argument("--name", metavar="NAME", help="of the new one; default: LIKE_of_FOLDER")
    own.add_argument("--column", metavar="NAME", help="column of paths, or its number")
    own.add_argument("--label", metavar="NAME", help="column of labels; default: class_name, ...")
    train.epilog = (
        "Interrupted, even by a crash, training continues with the same command, to the same "
        "result."
    )


def _threads(text: str) -> int:
    cores = usable_cores()
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= cores:
        raise argparse.ArgumentTypeError(
            f"expected 1 to {cores}, the cores that it may use, got {text!r}"
        )
    return int(text)


def _share(text: str) -> float:
    try:
        if 0.05 <= (share := float(text)) <= 1:
            return share
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected a number from 0.05 to 1, got {text!r}")


def _seed(text: str) -> int:
    try:
        return read_seed(text)
    except ValueError as error:
        raise UserError(str(error)) from None


def _fetch_options(fetch: argparse.ArgumentParser) -> None:
    fetch.add_argument("name", metavar="NAME", help="a data set that `galhelpers datasets` lists")
    fetch.add_argument("--data-root", default="", metavar="DIR", help="folder that holds the data")
    fetch.add_argument("--seed", type=_seed, default=0, metavar="N", help="default: 0")
    more = fetch.add_argument_group("published data sets")
    more.add_argument("--all", action="store_true", dest="everything", help="optional files too")
    more.add_argument("--config", default="", metavar="NAME", help="Hugging Face: tiny or default")
    more.add_argument("--revision", default="", metavar="COMMIT", help="Hugging Face: this commit")
    more = fetch.add_argument_group("pictures from an image service")
    more.add_argument("--catalog", default="", metavar="FILE", help="table with id, ra, dec")
    more.add_argument("--cutouts", type=int, metavar="N", help="pictures of this many galaxies")
    more.add_argument(
        "--per-second", type=float, default=5.0, metavar="X", help="requests; default: 5"
    )
    more = fetch.add_argument_group("simulated survey")
    more.add_argument(
        "--n", type=int, default=4000, metavar="N", help="galaxies, up to 1,000,000; default: 4000"
    )
    more.add_argument(
        "--telescope", default="sdss", metavar="NAME", help="sdss (default), decals, des or hst"
    )
    more.add_argument(
        "--size", type=int, default=424, metavar="PX", help="16 to 2048; default: 424"
    )
    more.add_argument("--balanced", action="store_true", help="as many galaxies of each class")


def _end_politely() -> None:
    """Treat SIGTERM (a batch system ends a job) and SIGHUP (a terminal closes) as Ctrl-C."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.default_int_handler)


def _doctor(arguments: argparse.Namespace) -> int:
    from galhelpers.course.doctor import doctor

    return doctor()


def _datasets(arguments: argparse.Namespace) -> int:
    from galhelpers.course.datasets import describe_dataset, describe_datasets

    print(describe_dataset(arguments.name) if arguments.name else describe_datasets())
    return 0


def _networks(arguments: argparse.Namespace) -> int:
    from galhelpers.course.networks import describe_network, describe_networks

    print(describe_network(arguments.name) if arguments.name else describe_networks())
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    from galhelpers.course.fetch import fetch

    _end_politely()
    choices = vars(arguments)
    del choices["command"]
    name, data_root = choices.pop("name"), choices.pop("data_root")
    # A bar is for somebody who watches, not for the log of a batch job.
    fetch(name, data_root, progress=sys.stderr.isatty(), **choices)
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from galhelpers.course.run import run_notebooks

    _end_politely()
    return run_notebooks(
        arguments.notebooks,
        profile=arguments.profile,
        dataset=arguments.dataset,
        data_root=arguments.data_root,
        seed=arguments.seed,
        out=arguments.out,
    )


def _train(arguments: argparse.Namespace) -> int:
    choices, name = vars(arguments), arguments.network
    own = ("dataset", "like", "name", "from_nothing", "column", "label", "crop")
    given = {key for key in own if choices[key]}
    fits = not given if name else {"dataset", "like"} <= given and not arguments.data_root
    if not fits:
        words = [name or "", *(f"--{key.replace('_', '-')}" for key in own if key in given)]
        words += ["--data-root"] if arguments.data_root else []
        raise UserError(
            "Expected either the NAME of a network of the course (with --data-root), or --dataset "
            "FOLDER and --like NAME (with --from-nothing, --name, --column, --label, --crop) for "
            f"pictures of your own, got {public(' '.join(words).strip(), 200) or 'neither'}."
        )
    from galhelpers.course.train import train_network, train_on_folder

    _end_politely()
    both = {key: choices[key] for key in ("out", "threads")}
    if name:
        train_network(name, arguments.data_root, **both)
    else:
        source, *rest = own
        train_on_folder(choices[source], **both, **{key: choices[key] for key in rest})
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    from galhelpers.course.predict_images import predict_images

    _end_politely()
    done = predict_images(
        arguments.network,
        arguments.images,
        arguments.out,
        column=arguments.column,
        form=arguments.format,
    )
    print(done.summary())
    return done.status


COMMANDS = {
    "doctor": _doctor,
    "datasets": _datasets,
    "networks": _networks,
    "fetch": _fetch,
    "run": _run,
    "train": _train,
    "predict": _predict,
}
