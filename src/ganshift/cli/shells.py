"""What makes a shell complete commands and options: `ganshift completion`."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from .options import DESCRIBE, HELP, QUIET, Described, Option, read

BASH = """\
# Completes ganshift in bash, and in zsh by its imitation of bash. Made by: ganshift completion
_ganshift() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" words=""
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "{commands}" -- "$current"))
        return
    fi
    case "${{COMP_WORDS[1]}} $before" in
{choices}
        *)
            [[ $current == -* ]] || return 0  # a name of a file, which the shell completes by itself
            case "${{COMP_WORDS[1]}}" in
{options}
            esac
            ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _ganshift ganshift
"""
ZSH = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"
"""What zsh needs to understand the rest."""


def completion(arguments: Sequence[str], commands: Mapping[str, Callable[[Sequence[str]], int]]) -> int:
    """Print the completion of these commands for a shell."""
    import tyro

    @dataclass(frozen=True, kw_only=True)
    class Completion:
        """Print what makes a shell complete ganshift's commands, options and choices."""

        shell: Annotated[Literal["bash", "zsh"], tyro.conf.Positional, tyro.conf.arg(metavar="{bash,zsh}")]
        """The shell."""

    examples = """
        ganshift completion bash > ~/.local/share/bash-completion/completions/ganshift
        ganshift completion zsh > ~/.ganshift-completion    # then, in ~/.zshrc: source ~/.ganshift-completion
        """
    shell = read(Completion, "completion", arguments, examples).shell
    from ..training.log import say

    described = {name: _described(command) for name, command in commands.items()}
    choices = [
        f'        "{command} {name}") words="{" ".join(option.choices)}" ;;'
        for command, options in described.items()
        for option in options
        for name in option.names or (command,)
        if option.choices
    ]
    words = [
        f'                {command}) words="{" ".join([*_long_names(options), QUIET, *HELP])}" ;;'
        for command, options in described.items()
    ]
    text = BASH.format(commands=" ".join([*described, "help"]), choices="\n".join(choices), options="\n".join(words))
    sys.stdout.write(ZSH * (shell == "zsh") + text)
    say("Next: open a new shell, or source the file that this was written to")
    return 0


def _described(command: Callable[[Sequence[str]], int]) -> Sequence[Option]:
    try:
        command(DESCRIBE)
    except Described as answer:
        return answer.options
    raise AssertionError("a command must read its options by cli.options.read")


def _long_names(options: Sequence[Option]) -> list[str]:
    return [name for option in options for name in option.names if name.startswith("--")]
