"""The `hansa` command (U9 to U18). Door: `main`.

Commands are loaded when they are called, so that `hansa --help` stays fast. An error ends with a next step and a typed
exit code; with `-o json` it is the problem object on stderr.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import Final

import click

from cli import VERSION
from cli.exit_codes import Exit
from cli.failure import CommandFailed

_GROUPS: Final = {
    "audit": ("cli.commands.audit", "Make and check proof packs."),
    "bench": ("cli.commands.bench", "Measure a four-company network on this machine."),
    "cluster": ("cli.commands.cluster", "Run several companies on this machine."),
    "company": ("cli.commands.company", "Companies of the network."),
    "config": ("cli.commands.config", "The configuration of this company's node."),
    "contract": ("cli.commands.contract", "Write, check, test and vote for contracts."),
    "demo": ("cli.commands.demo", "Four companies, real invoices, the whole story."),
    "block": ("cli.commands.block", "Look at a block, and check or save its certificate."),
    "doctor": ("cli.commands.doctor", "Look for what could be wrong on this machine."),
    "event": ("cli.commands.event", "What contracts announced about this company."),
    "genesis": ("cli.commands.genesis", "Found a network together."),
    "init": ("cli.commands.init", "Make the home of a company: keys, journal, configuration."),
    "invoice": ("cli.commands.invoice", "Invoices from import to settlement."),
    "key": ("cli.commands.key", "Keys of this company."),
    "ledger": ("cli.commands.ledger", "Balances, trial balance, ageing."),
    "limit": ("cli.commands.limit", "Credit limits between companies."),
    "login": ("cli.commands.login", "Remember a node and a token; open the pages."),
    "node": ("cli.commands.node", "Run this company's node and look at it."),
    "payment": ("cli.commands.payment", "Payments from proposal to confirmation."),
    "profile": ("cli.commands.profile", "Remembered nodes, and which one is current."),
    "search": ("cli.commands.search", "Find documents, transactions, blocks and companies."),
    "sim": ("cli.commands.sim", "Run the network simulator."),
    "state": ("cli.commands.state", "Read the ledger's state with proof."),
    "token": ("cli.commands.token", "Tokens for the node's API."),
    "tx": ("cli.commands.tx", "Compose, sign, submit and follow transactions."),
    "user": ("cli.commands.user", "People who may sign for this company."),
    "verify": ("cli.commands.verify", "Check a proof without trusting any node."),
    "version": ("cli.commands.version", "Print the versions of program, protocol and Python."),
    "whoami": ("cli.commands.whoami", "Print which person, company and token a command acts with."),
}


class _Lazy(click.Group):
    """Groups that are imported when somebody names them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # the signature of click
        return sorted(_GROUPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _GROUPS:
            return None
        from contracts.frames import make_room

        make_room()  # many commands compile or run contracts
        command = import_module(_GROUPS[cmd_name][0]).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{_GROUPS[cmd_name][0]}.command is no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _GROUPS and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], _GROUPS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"there is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(_GROUPS.items())])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, prog_name="hansa")
def hansa() -> None:
    """Hansa: one ledger that a league of companies keeps together.

    \b
    hansa demo                     four companies on this machine, with a story
    hansa invoice list             what is open
    hansa node status              is the network moving, and if not, why
    """


def main() -> None:
    """Run the command line and exit with a typed code (U18)."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    as_json = _wants_json(arguments)
    try:
        outcome = hansa.main(arguments, prog_name="hansa", standalone_mode=False)
        return int(outcome) if isinstance(outcome, int) else Exit.OK
    except CommandFailed as failure:
        return _report(failure, as_json=as_json)
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _report(CommandFailed(Exit.INTERRUPTED, "interrupted"), as_json=as_json)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return int(Exit.USAGE)
    except click.ClickException as error:
        return _report(_usage(error), as_json=as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone: nothing is left to flush
        return int(Exit.FAILED)
    except OSError as error:
        return _report(_disk(error), as_json=as_json)


def _usage(error: click.ClickException) -> CommandFailed:
    """Return click's refusal of a command line as ours: what is wrong, and where help stands."""
    command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "hansa"
    text = error.format_message()
    if isinstance(error, click.NoSuchOption) and error.option_name[1:2].isdigit():
        text = f"{error.option_name!r} begins like an option; amounts and numbers are not negative here"
    return CommandFailed(Exit.USAGE, text, f"{command} --help")


def _disk(error: OSError) -> CommandFailed:
    """Return what a person reads when the operating system refused and no command knew better."""
    what = f"{error.filename}: " if error.filename else ""
    return CommandFailed(
        Exit.FAILED,
        f"{what}{error.strerror or error}",
        "check path, permissions and free space; hansa doctor looks too",
    )


def _report(failure: CommandFailed, *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps(failure.document(), ensure_ascii=False), err=True)
    else:
        for line in failure.shown:
            click.echo(line, err=True)
    return int(failure.code)


def _wants_json(arguments: list[str]) -> bool:
    """Tell whether the command was asked for JSON, also when its line could not be read otherwise."""
    forms = ("json", "jsonl")
    return any(
        argument in [prefix + form for prefix in ("-o", "-o=", "--output=") for form in forms]
        or (argument in forms and place > 0 and arguments[place - 1] in ("-o", "--output"))
        for place, argument in enumerate(arguments)
    )


if __name__ == "__main__":
    main()
