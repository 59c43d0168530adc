"""Print the completion script of a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from emailsys.config.exit_status import Exit


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL. Save it where the shell looks for completions.

    \b
    Examples:
    bash:  emailsys completion bash > ~/.local/share/bash-completion/completions/emailsys
    zsh:   emailsys completion zsh > ~/.zfunc/_emailsys
    fish:  emailsys completion fish > ~/.config/fish/completions/emailsys.fish
    """
    from emailsys.cli.completion_answers import register
    from emailsys.cli.main import ASKED_BY_A_SHELL, PROGRAM, program
    from emailsys.cli.options import Refused

    register()
    found = get_completion_class(shell)
    if found is None:
        raise Refused(f"click has no completion for {shell}", Exit.UNAVAILABLE)
    click.echo(found(program, {}, PROGRAM, ASKED_BY_A_SHELL).source())
