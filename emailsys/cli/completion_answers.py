"""What a shell is told when Tab is pressed, where click's own answer does not survive mail addresses."""

from __future__ import annotations

import os
import re
from typing import Any, Final

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)
from typing_extensions import override

_BASH: Final = r"""
%(complete_func)s() {
    local response type value
    COMPREPLY=()
    response=$(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \
        %(complete_var)s=bash_complete "$1")
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done <<< "$response"
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_ZSH: Final = r"""#compdef %(prog_name)s

%(complete_func)s() {
    local type value help
    local -a answer values described all
    (( ! $+commands[%(prog_name)s] )) && return 1
    answer=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) %(complete_var)s=zsh_complete \
        %(prog_name)s)}")
    for type value help in ${answer}; do
        case $type in
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            plain)
                all+=("$value")
                if [[ $help == _ ]]; then values+=("$value"); else described+=("$value:$help"); fi ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described -U
    (( $#values )) && compadd -U -V unsorted -a values
    # Of several that do not all begin with what was typed, none may take its place.
    if (( $#all > 1 )) && [[ -n "${(@)all:#${(b)${(Q)PREFIX}}*}" ]]; then
        compstate[insert]=''
        compstate[list]='list force'
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

_FISH: Final = r"""
function %(complete_func)s
    for line in (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp | string collect) \
            COMP_CWORD=(commandline -ct | string collect) %(prog_name)s)
        set -l completion (string split -m 1 , -- $line)
        switch $completion[1]
            case dir
                __fish_complete_directories $completion[2]
            case file
                __fish_complete_path $completion[2]
            case plain
                echo -- $completion[2]
        end
    end
end
complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""

# What bash takes for more than itself outside quotes.
_SPECIAL: Final = re.compile(r"[^\w@%+=:,./~\-]")


class Bash(BashComplete):
    """bash tears words apart at "@", ":" and "=" ($COMP_WORDBREAKS) and replaces the last piece alone.

    So the words are read from the line as it was typed, and of each completion only what follows the torn-off pieces
    is handed back.
    """

    source_template = _BASH

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # As many characters of each completion stand in the line already, out of bash's reach.
        self._torn = ""
        self._is_quoted = False

    @override
    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is completed, and what there is of that."""
        line = os.environ.get("COMP_LINE", "")
        words = split_arg_string(line)
        self._is_quoted = _has_open_quote(line)
        begins_anew = line[-1:].isspace() and not self._is_quoted and not line.endswith("\\ ")
        incomplete = "" if begins_anew or len(words) < 2 else words.pop()
        value = incomplete.removeprefix(_option_of(incomplete))
        breaks = set(os.environ.get("COMP_WORDBREAKS", "@:=")) - set(" \t\n\"'<>;|&()")
        # "@" begins the piece that is replaced; the others end the one before.
        end = max((at + (character != "@") for at, character in enumerate(value) if character in breaks), default=0)
        self._torn = "" if self._is_quoted else value[:end]
        return words[1:], incomplete

    @override
    def format_completion(self, item: CompletionItem[Any]) -> str:
        """A line of the answer."""
        value = str(item.value).removeprefix(self._torn)
        if not self._is_quoted and item.type == "plain":
            value = _SPECIAL.sub(r"\\\g<0>", value)
        return f"{item.type},{value}"


def _option_of(incomplete: str) -> str:
    """The "--option=" that a word begins with, "" if with none; click completes only what follows it."""
    option, equals, _ = incomplete.partition("=")
    return option + equals if equals and option.startswith("--") else ""


class _WholeWord(ShellComplete):
    """The shell replaces the whole word: each completion has the "--option=" that it began with."""

    _option = ""

    @override
    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is completed, and what there is of that."""
        words, incomplete = super().get_completion_args()
        self._option = _option_of(incomplete)
        return words, incomplete

    @override
    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Some lines of the answer."""
        return super().format_completion(CompletionItem(f"{self._option}{item.value}", item.type, item.help))


class Zsh(_WholeWord, ZshComplete):
    """click's script takes away what was typed where completions begin otherwise."""

    source_template = _ZSH


class Fish(_WholeWord, FishComplete):
    """click's script cuts a completion at its second comma; lists of addresses have them."""

    source_template = _FISH


def _has_open_quote(line: str) -> bool:
    quote = ""
    escaped = False
    for character in line:
        if escaped:
            escaped = False
        elif character == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
    return bool(quote)


def offer() -> None:
    """Have click answer the shells so."""
    add_completion_class(Bash)
    add_completion_class(Zsh)
    add_completion_class(Fish)
