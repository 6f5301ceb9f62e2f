"""Kill a command at every one of its file events, repeat it, and compare with a run never killed.

    python benchmarks/robust/kills.py                     every scenario at every event
    python benchmarks/robust/kills.py fit-cnn --every 5   one of them, every fifth event

A file event is whatever changes the disk: a file opened for writing, renamed or removed, a folder
made or removed; Python's audit hooks report each before it happens. A file that is opened for
writing gives two events, before it and with the file made but empty; one that safetensors writes
(in Rust, unseen by the hooks) gives "before" and "half written". Opening to read changes nothing
and is not counted. For each event the sandbox is made anew, the command is begun in a process that
ends with SIGKILL there, and the same command is run again. It must

    end       with the exit code of the run never killed
    give      the same files with the same bytes: results, decoded data, caches
    leave     nothing else: no scratch file, no half-made folder, nothing in the folder of
              temporary files

Not compared, since two runs that were never killed differ in it too: what SAME_IN_NO_TWO_RUNS
names. `report.html` is compared as what it is made from: choice.json, written just after it, and
that it is there and closed.

The loop's checkpoints, written every 20 s in earnest, are written after every step here (not in
`choose` and `shrink`, which make hundreds of steps of the same kind), so that every moment of
training is tried.
Data and networks are tiny; the budget of `choose` is so large, and its schedules are not cut to
their seconds here, that no clock decides what is trained. One thread.

Printed: a line a scenario (events, how many went on, what went wrong), then a table; --json FILE
keeps it. Exit code 1 if anything went wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

SAME_IN_NO_TWO_RUNS = {
    "seconds": "how long it took",
    "created": "when",
    "train_seconds": "how long it took",
    "pace": "seconds an epoch",
    "command": "how the test harness was called",
}
COMMON = ["--quiet"]
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}


# -- scenarios -----------------------------------------------------------------------------------


@dataclass
class Scenario:
    """`prepare(sandbox)` makes what the command needs; `arguments` are those of `depthwise`."""

    name: str
    arguments: list[str]
    prepare: Callable[[Path], None]
    code: int = 0
    saved_every: int = 1  # steps of training


def table(sandbox: Path) -> None:
    """48 rows, two columns, two classes that a line tells apart."""
    noise = np.random.default_rng(0)
    X = noise.normal(size=(48, 2)).round(3)
    rows = [f"{a},{b},{'yes' if a + b > 0 else 'no'}" for a, b in X]
    (sandbox / "data.csv").write_text("\n".join(["first,second,answer", *rows, ""]))


def pictures(sandbox: Path) -> None:
    """20 PNG of 8 x 8 pixels in a folder a class, all different."""
    from PIL import Image

    noise = np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 128)):
        (sandbox / "data" / name).mkdir(parents=True)
        for k in range(10):
            pixels = noise.integers(low, low + 128, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(sandbox / "data" / name / f"{k}.png")


def fitted(sandbox: Path) -> None:
    """The table, and a network fitted on it, in model/."""
    table(sandbox)
    run(sandbox, ["fit", "data.csv", "--family", "dnn", "--out", "model", *TINY], nowhere())


def fitted_cnn(sandbox: Path) -> None:
    pictures(sandbox)
    run(sandbox, ["fit", "data", "--family", "cnn", "--out", "model", *TINY], nowhere())


TINY = ["--size", "xxs", "--epochs", "2", "--batch-size", "16", "--set", "threads=1", *COMMON]
CHOOSE = ["choose", "data.csv", "--minutes", "600", "--out", "out", "--device", "raspberry-pi-4"]
CHOOSE += ["--max-parameters", "700"]
SHRINK = ["shrink", "model", "--data", "data.csv", "--out", "out", "--device", "raspberry-pi-4"]


def fit(family: str, *more: str, data: str = "data.csv") -> list[str]:
    return ["fit", data, "--family", family, "--out", "out", *more, *COMMON]


def few(stage: str) -> list[str]:
    """A single pass in a stage of its own."""
    return ["--set", f"{stage}_epochs=1"]


TWO = ["--epochs", "2", "--batch-size", "16", "--set", "threads=1"]
SCENARIOS = [
    Scenario("fit-dnn", fit("dnn", "--size", "xxs", *TWO), table),
    Scenario(
        "fit-dnn-pretrained",
        fit("dnn", *TWO, "--set", "hidden=5,4", "--set", "pretrain=dbn", *few("pretrain")),
        table,
    ),
    Scenario("fit-cnn", fit("cnn", "--size", "xxs", *TWO, data="data"), pictures),
    Scenario("fit-dsn", fit("dsn", *TWO, *few("init"), "--set", "n_modules=2"), table),
    Scenario("fit-dbn", fit("dbn", "--size", "s", *TWO, *few("finetune")), table),
    Scenario("fit-dbm", fit("dbm", "--size", "s", *TWO, *few("finetune"), *few("pretrain")), table),
    Scenario("fit-rbm", fit("rbm", "--size", "s", *TWO), table),
    Scenario("fit-autoencoder", fit("autoencoder", "--size", "s", *TWO), table, saved_every=10),
    Scenario("fit-boosting", fit("boosting"), table),
    Scenario("fit-tabular", fit("tabular", *TWO), table),
    Scenario("choose", [*CHOOSE, "--families", "logistic,dnn", *COMMON], table, saved_every=1000),
    Scenario(
        "choose-nothing-fits",
        [*CHOOSE, "--families", "dnn", "--max-size-mb", "0.000001", *COMMON],
        table,
        code=3,
    ),
    Scenario("shrink", [*SHRINK, "--max-size-mb", "0.003", *COMMON], fitted, saved_every=1000),
    Scenario("export-onnx", ["export", "model", "--out", "out", *COMMON], fitted),
    Scenario("export-onnx-file", ["export", "model", "--out", "small.onnx", *COMMON], fitted),
    Scenario(
        "export-torch", ["export", "model", "--to", "torch-export", "--out", "out", *COMMON], fitted
    ),
    Scenario(
        "export-openvino", ["export", "model", "--to", "openvino", "--out", "out", *COMMON], fitted
    ),
    Scenario("inspect", ["inspect", "data"], pictures),
]


# -- one run in a process of its own -------------------------------------------------------------


@dataclass
class Watched:
    """Counts file events under `root`; ends the process at event number `fatal`."""

    root: str = ""
    fatal: int | None = None
    count: int = 0
    log: list[str] = field(default_factory=list)
    outside: set[str] = field(default_factory=set)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.root or (event != "open" and event not in CHANGES):
            return
        path = arguments[0]
        if not isinstance(path, str | bytes | os.PathLike):
            return
        made = False
        if event == "open":
            flags = arguments[2] or 0
            if not flags & WRITING:
                return
            made = True
        full = os.path.abspath(os.fsdecode(path))  # noqa: PTH100
        if not full.startswith(self.root):
            if not full.startswith("/dev/"):
                self.outside.add(f"{event} {full}")
            return
        self.at(f"{event} {full[len(self.root) :]}")
        if made and flags & os.O_TRUNC:
            self.at(f"made {full[len(self.root) :]}", lambda: Path(full).touch())

    def at(self, what: str, before_death: Callable[[], Any] = lambda: None) -> None:
        self.count += 1
        self.log.append(what)
        if self.count == self.fatal:
            self.root = ""
            before_death()
            os.kill(os.getpid(), signal.SIGKILL)


WATCHED = Watched()


def nowhere() -> Watched:
    return Watched()


def run(
    sandbox: Path, arguments: list[str], watch: Watched, saved_every: int = 1
) -> tuple[int, dict[str, Any]]:
    """(exit code, minus the signal's number if it was killed; what was counted) of the command in
    a forked process whose files, caches and temporary files lie in `sandbox`."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.close(reader)
        _child(sandbox, arguments, watch, saved_every, writer)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return code, json.loads(told) if told else {}


def _child(
    sandbox: Path, arguments: list[str], watch: Watched, saved_every: int, writer: int
) -> None:
    code = 70
    try:
        os.chdir(sandbox)
        (sandbox / "tmp").mkdir(exist_ok=True)
        os.environ |= {"DEPTHWISE_CACHE": str(sandbox / "cache"), "TMPDIR": str(sandbox / "tmp")}
        tempfile.tempdir = None
        log = os.open(sandbox.parent / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        _save_in_halves()
        _by_steps(saved_every)
        WATCHED.__dict__.update(vars(watch))
        from depthwise.cli import main

        WATCHED.root = f"{sandbox}/" if watch.fatal is not None else ""
        try:
            main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        WATCHED.root = ""
        told = {"count": WATCHED.count, "log": WATCHED.log, "outside": sorted(WATCHED.outside)}
        os.write(writer, json.dumps(told).encode())
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _save_in_halves() -> None:
    """What safetensors writes gives two events too."""
    import safetensors.torch as home

    whole = home.serialize_file

    def halved(tensors: Any, filename: Any, metadata: Any = None) -> None:
        name = str(filename).removeprefix(WATCHED.root)
        if WATCHED.root:
            WATCHED.at(f"write {name}")
            data = home.serialize(tensors, metadata)
            WATCHED.at(f"half {name}", lambda: Path(filename).write_bytes(data[: len(data) // 2]))
        whole(tensors, filename, metadata)

    home.serialize_file = halved


def _by_steps(saved_every: int) -> None:
    """No clock decides anything in the loop: it saves by steps, and a limit of seconds does not cut
    its schedule; so two runs have the same events."""
    from depthwise.training import loop

    def save_now_and_then(self: Any) -> None:
        if self.checkpoint and self.step % saved_every == 0:
            self._save()

    instead = {
        "_save_now_and_then": save_now_and_then,
        "_out_of_time": lambda self: False,
        "_cut_to_time": lambda self: None,
    }
    for name, method in instead.items():
        assert callable(getattr(loop._Loop, name))
        setattr(loop._Loop, name, method)


# -- comparing -----------------------------------------------------------------------------------


def snapshot(sandbox: Path) -> dict[str, str]:
    """Every file by its path, as a digest of what is compared of it; folders too."""
    found = {}
    for path in sorted(sandbox.rglob("*")):
        name = str(path.relative_to(sandbox))
        if name.startswith("tmp/torchinductor"):
            continue  # the folder in which torch keeps what it compiled; it stays empty
        found[name] = "folder" if path.is_dir() else _digest(path)
    return found


def _digest(path: Path) -> str:
    if path.suffix == ".json":
        try:
            plain = json.dumps(_timeless(json.loads(path.read_text())), sort_keys=True)
        except ValueError:
            return "no JSON"
        return hashlib.sha256(plain.encode()).hexdigest()
    if path.suffix == ".html":
        return "whole page" if path.read_text().rstrip().endswith("</html>") else "cut page"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in SAME_IN_NO_TWO_RUNS}
    if isinstance(value, list):
        return [_timeless(v) for v in value]
    return value


def differences(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """ "+name" of what is left over, "-name" of what is missing, "~name" of other bytes."""
    lost = [f"-{name}" for name in wanted.keys() - found.keys()]
    left = [f"+{name}" for name in found.keys() - wanted.keys()]
    changed = [f"~{name}" for name in wanted.keys() & found.keys() if wanted[name] != found[name]]
    return sorted(lost + left + changed)


# -- the attack ----------------------------------------------------------------------------------


@dataclass
class Outcome:
    scenario: str
    events: int
    tried: int = 0
    wrong: list[dict[str, Any]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        good = self.tried - len(self.wrong)
        return f"{self.scenario:<20} {self.events:>6} events, {good} of {self.tried} went on"


def attack(scenario: Scenario, base: Path, every: int, tell: Callable[[str], None]) -> Outcome:
    sandbox, mould = base / "sandbox", base / "mould"
    fresh(sandbox)
    scenario.prepare(sandbox)
    shutil.rmtree(mould, ignore_errors=True)
    shutil.move(sandbox, mould)
    twice = []
    for _ in range(2):
        fresh(sandbox, mould)
        code, told = run(sandbox, scenario.arguments, Watched(fatal=0), scenario.saved_every)
        log = (base / "log").read_text()
        assert code == scenario.code, f"{scenario.name} gave {code} without a kill:\n{log}"
        twice.append(snapshot(sandbox))
    outcome = Outcome(scenario.name, told["count"])
    if told["outside"]:
        tell(f"  {scenario.name} also writes elsewhere: {', '.join(told['outside'])}")
    if unlike := differences(*twice):
        tell(f"  {scenario.name}: two runs never killed differ: {unlike}")
        _show_difference(sandbox, mould, base, scenario, unlike)
    if leftovers := [name for name in twice[0] if name.startswith("tmp/")]:
        tell(f"  {scenario.name}: never killed, it leaves {leftovers}")
    for fatal in range(1, outcome.events + 1, every):
        fresh(sandbox, mould)
        killed, _ = run(sandbox, scenario.arguments, Watched(fatal=fatal), scenario.saved_every)
        outcome.tried += 1
        code, _ = run(sandbox, scenario.arguments, nowhere(), scenario.saved_every)
        unlike = differences(twice[0], snapshot(sandbox))
        if code != scenario.code or unlike:
            where = told["log"][fatal - 1]
            said = (base / "log").read_text()[-300:] if code != scenario.code else ""
            wrong = {"event": fatal, "at": where, "killed": killed, "code": code}
            outcome.wrong.append({**wrong, "unlike": unlike[:6], "said": said})
            tell(f"  {scenario.name} {fatal}: at {where}: exit {code} {unlike[:6]} {said}")
    tell(str(outcome))
    return outcome


def _show_difference(
    sandbox: Path, mould: Path, base: Path, scenario: Scenario, unlike: list[str]
) -> None:
    """Which values of a JSON file differ between two runs: on stderr, for whoever mends it."""
    first = {n[1:]: (sandbox / n[1:]).read_text() for n in unlike if n.endswith(".json")}
    fresh(sandbox, mould)
    run(sandbox, scenario.arguments, nowhere(), scenario.saved_every)
    for name, text in first.items():
        for line in _unequal(json.loads(text), json.loads((sandbox / name).read_text())):
            print(f"    {name}: {line}", file=sys.stderr)


def _unequal(a: Any, b: Any, path: str = "") -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            if key not in SAME_IN_NO_TWO_RUNS:
                yield from _unequal(a.get(key), b.get(key), f"{path}.{key}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b)):
            yield from _unequal(x, y, f"{path}[{i}]")
    elif a != b:
        yield f"{path}: {str(a)[:80]!r} | {str(b)[:80]!r}"


def fresh(sandbox: Path, mould: Path | None = None) -> None:
    shutil.rmtree(sandbox, ignore_errors=True)
    if mould is None:
        sandbox.mkdir(parents=True)
    else:
        shutil.copytree(mould, sandbox)


def _import_all() -> None:
    """So that each run begins by a fork and not with seconds of imports; nothing is computed."""
    import importlib
    import pkgutil

    import depthwise

    for module in pkgutil.walk_packages(depthwise.__path__, "depthwise."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in ("onnx", "onnxscript", "onnxruntime", "openvino", "torch.onnx"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help=", ".join(s.name for s in SCENARIOS))
    parser.add_argument("--every", type=int, default=1, help="every how many events")
    parser.add_argument("--json", help="a file for what was found")
    given = parser.parse_args()
    known = {scenario.name: scenario for scenario in SCENARIOS}
    chosen = [known[name] for name in given.names or known]
    sys.addaudithook(WATCHED.hook)
    _import_all()
    outcomes = []
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # no waiting for a disk
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        base = Path(folder).resolve()
        for scenario in chosen:
            begun = time.monotonic()
            outcome = attack(scenario, base, given.every, lambda text: print(text, flush=True))
            outcomes.append({**vars(outcome), "seconds": round(time.monotonic() - begun)})
    wrong = sum(len(outcome["wrong"]) for outcome in outcomes)
    tried = sum(outcome["tried"] for outcome in outcomes)
    print(f"{tried - wrong} of {tried} kills: the same command went on to the same bytes")
    if given.json:
        Path(given.json).write_text(json.dumps(outcomes, indent=1))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
