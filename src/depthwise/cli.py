"""The command line: a thin skin over the library's verbs, with the same names and arguments.

    depthwise choose DATA --max-latency-ms 2      which network to ship
    depthwise fit DATA --family cnn --out DIR     train one
    depthwise predict MODEL FILE...               ask it
    depthwise sample MODEL -n 64 --out grid.png   new items, of a model of the data itself
    depthwise reconstruct MODEL FILE...           items as such a model sees them; what is strange
    depthwise generate MODEL --prompt TEXT        text, of a language model
    depthwise enroll MODEL NAME FILE...           a person to be recognised, by a model of faces
    depthwise identify MODEL FILE...              who is on these pictures
    depthwise verify MODEL A B                    whether two pictures show one person
    depthwise forget MODEL NAME                   a person removed for good
    depthwise measure MODEL                       its six metrics
    depthwise shrink MODEL --data DATA --out DIR  made to keep limits
    depthwise export MODEL --to onnx              a file that runs without depthwise
    depthwise inspect DATA                        what is in the data, and what is wrong with it
    depthwise devices                             what there is to choose for

Results go to stdout and all else to stderr; `--json` makes the results machine-readable. Exit
codes: 0; 1 some of the files could not be used; 2 bad input; 3 nothing fits; 4 training diverged;
130 Ctrl-C; 143 SIGTERM. Nothing heavy is imported until a command needs it.
"""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from depthwise.commands import ask, edge, look, train
from depthwise.commands import enroll as people
from depthwise.commands.deferred import defer
from depthwise.commands.devices import devices
from depthwise.commands.edge import say
from depthwise.commands.export import export
from depthwise.commands.generate import generate
from depthwise.commands.shrink import shrink
from depthwise.commands.stopping import STOPPED, code_of, how_to_go_on, sigterm_raises
from depthwise.folder_lock import UnlockedFolderWarning

__all__ = ["app", "main"]


SELDOM = 50_000  # new objects between two looks for garbage; 700 unless said


class _Commands(TyperGroup):
    """Ctrl-C is 130 whatever the version of typer; what is printed has been written before 0."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
        except STOPPED as stop:
            say(how_to_go_on(stop, ctx.invoked_subcommand))
            raise typer.Exit(code_of(stop)) from None
        sys.stdout.flush()
        return result


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    rich_markup_mode=None,  # rich's help takes twice as long to appear
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Which deep network should you ship? Trains the ones that could work, measures them on "
    "your device, and leaves the winner ready to use.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from depthwise import __version__

        print(f"depthwise {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """The global options. `main` handles `--debug` itself, so that it works at any position."""


for command in (
    train.choose,
    train.fit,
    ask.predict,
    ask.sample,
    ask.reconstruct,
    generate,
    people.enroll,
    people.identify,
    people.verify,
    people.forget,
    look.measure,
    shrink,
    export,
    look.inspect,
    devices,
):
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit; errors are one line on stderr, a traceback only with --debug."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    edge.survive_any_name()
    defer("scipy.stats")
    defer("pandas")
    gc.set_threshold(SELDOM)  # nearly all that is imported stays
    with warnings.catch_warnings(), sigterm_raises():
        if not debug:
            _warn_of_folders_alone()
        try:
            app([argument for argument in given if argument != "--debug"], prog_name="depthwise")
        except STOPPED as stop:  # before or after the command itself
            say(how_to_go_on(stop, None))
            sys.exit(code_of(stop))
        except Exception as error:
            if debug:
                raise
            edge.fail(error)
    sys.exit(0)


def _warn_of_folders_alone() -> None:
    """Of all warnings only those about the folder of the results are for the person, as a line."""
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", UnlockedFolderWarning)
    warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
