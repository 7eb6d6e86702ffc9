"""What makes a shell complete commands and options: `ganshift completion`."""

import sys
from typing import Literal

import tyro
from tyro.conf import Positional

from .options import command
from .training import run_options

FILES = {
    "bash": """\
_ganshift() {
    _tyro_ganshift
    local word="${COMP_WORDS[COMP_CWORD]}" found="${COMPREPLY[0]}"
    # bash completes names of files better, and offers them where nothing is typed
    if ((COMP_CWORD > 1)) && [[ ! $found || -e $found || (! $word && $found == -*) ]]; then
        COMPREPLY=()
    fi
}
complete -o default -F _ganshift ganshift
""",
    "zsh": "[[ $? != 0 || -z $words[CURRENT] && $words[CURRENT-1] != -* ]] && (( CURRENT > 2 )) && _files\n",
    "fish": "complete --command ganshift --force-files\n",
}
"""What lets a shell complete names of files, too, where tyro knows no option or choice."""


@command
def completion(shell: Positional[Literal["bash", "zsh", "fish"]]) -> int:
    """Print a script that makes a shell complete ganshift's commands, options and choices.

    Args:
        shell: bash, zsh or fish.

    Examples:
        ganshift completion bash > ~/.local/share/bash-completion/completions/ganshift
        ganshift completion zsh > ~/.zfunc/_ganshift    # then, in ~/.zshrc: fpath=(~/.zfunc $fpath); compinit
        ganshift completion fish > ~/.config/fish/completions/ganshift.fish
    """
    from ..training.log import say
    from . import FUNCTIONS, TRAINING, command_named

    commands = {name: command_named(name) for name in FUNCTIONS}
    for name, method in TRAINING.items():
        commands[name] = run_options(method, method.default_preset)
    try:
        tyro.extras.subcommand_cli_from_dict(commands, prog="ganshift", args=["--tyro-print-completion", shell])
    except SystemExit:  # it is printed
        sys.stdout.write(FILES[shell])
    say("Next: open a new shell")
    return 0
