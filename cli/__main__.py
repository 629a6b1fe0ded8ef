"""The `hansa` command (U9 to U18). Door: `main`.

Commands are loaded when they are called, so that `hansa --help` stays fast. An error ends with a next step and a typed
exit code; with `-o json` it is the problem object on stderr.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Final

import click

from cli.exit_codes import Exit
from cli.failure import CommandFailed

_GROUPS: Final = {
    "audit": ("cli.commands.audit", "Make and check proof packs."),
    "bench": ("cli.commands.bench", "Measure a four-company network on this machine."),
    "cluster": ("cli.commands.cluster", "Run several companies on this machine."),
    "contract": ("cli.commands.contract", "Check and test contracts."),
    "demo": ("cli.commands.demo", "Four companies, real invoices, the whole story."),
    "block": ("cli.commands.block", "Look at a block, and check or save its certificate."),
    "doctor": ("cli.commands.doctor", "Look for what could be wrong on this machine."),
    "genesis": ("cli.commands.genesis", "Found a network together."),
    "init": ("cli.commands.init", "Make the home of a company: keys, journal, configuration."),
    "invoice": ("cli.commands.invoice", "Invoices from import to settlement."),
    "key": ("cli.commands.key", "Keys of this company."),
    "ledger": ("cli.commands.ledger", "Balances, trial balance, ageing."),
    "limit": ("cli.commands.limit", "Credit limits between companies."),
    "login": ("cli.commands.login", "Remember a node and a token; open the pages."),
    "node": ("cli.commands.node", "Run this company's node and look at it."),
    "payment": ("cli.commands.payment", "Payments from proposal to confirmation."),
    "sim": ("cli.commands.sim", "Run the network simulator."),
    "state": ("cli.commands.state", "Read the ledger's state with proof."),
    "token": ("cli.commands.token", "Tokens for the node's API."),
    "tx": ("cli.commands.tx", "Compose, sign, submit and follow transactions."),
    "verify": ("cli.commands.verify", "Check a proof without trusting any node."),
}


class _Lazy(click.Group):
    """Groups that are imported when somebody names them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # the signature of click
        return sorted(_GROUPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _GROUPS:
            return None
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
@click.version_option("0.1.0", prog_name="hansa")
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
    try:
        outcome = hansa.main(arguments, prog_name="hansa", standalone_mode=False)
        return int(outcome) if isinstance(outcome, int) else Exit.OK
    except CommandFailed as failure:
        _report(failure, as_json=_wants_json(arguments))
        return int(failure.code)
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except click.Abort:
        click.echo("interrupted", err=True)
        return int(Exit.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        return int(Exit.USAGE)
    except BrokenPipeError:
        sys.stderr.close()
        return int(Exit.FAILED)
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)


def _report(failure: CommandFailed, *, as_json: bool) -> None:
    if as_json:
        problem = failure.problem or {
            "type": "about:blank", "title": failure.text, "code": failure.code.name.lower(), "next": failure.next_step,
        }  # fmt: skip
        click.echo(json.dumps(problem, ensure_ascii=False), err=True)
        return
    click.echo(failure.text, err=True)
    if failure.next_step:
        click.echo(f"Next: {failure.next_step}", err=True)


def _wants_json(arguments: list[str]) -> bool:
    return any(
        argument in ("-ojson", "--output=json") or (argument == "json" and arguments[place - 1] in ("-o", "--output"))
        for place, argument in enumerate(arguments)
    )


if __name__ == "__main__":
    main()
