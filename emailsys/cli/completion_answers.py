"""Shell completion for bash, zsh and fish that works with mail addresses. click's own scripts break them."""

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
    # If some of several completions do not begin with the typed text, insert none of them.
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

# Characters that bash interprets outside quotes.
_SPECIAL: Final = re.compile(r"[^\w@%+=:,./~\-]")


class Bash(BashComplete):
    """Completion for bash.

    bash splits words at "@", ":" and "=" ($COMP_WORDBREAKS), and replaces only the last piece. Therefore the words are
    read from the line as it was typed, and each completion is returned without the pieces before the last one.
    """

    source_template = _BASH

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # The pieces of the word before the last one. They are in the line already, and bash does not replace them.
        self._kept = ""
        self._is_quoted = False

    @override
    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is completed, and the typed part of that word."""
        line = os.environ.get("COMP_LINE", "")
        words = split_arg_string(line)
        self._is_quoted = _has_open_quote(line)
        begins_anew = line[-1:].isspace() and not self._is_quoted and not line.endswith("\\ ")
        incomplete = "" if begins_anew or len(words) < 2 else words.pop()
        value = incomplete.removeprefix(_option_of(incomplete))
        breaks = set(os.environ.get("COMP_WORDBREAKS", "@:=")) - set(" \t\n\"'<>;|&()")
        # "@" is the first character of the piece that is replaced. The other characters end the piece before.
        end = max((at + (character != "@") for at, character in enumerate(value) if character in breaks), default=0)
        self._kept = "" if self._is_quoted else value[:end]
        return words[1:], incomplete

    @override
    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Format a completion as a line of the answer."""
        value = str(item.value).removeprefix(self._kept)
        if not self._is_quoted and item.type == "plain":
            value = _SPECIAL.sub(r"\\\g<0>", value)
        return f"{item.type},{value}"


def _option_of(incomplete: str) -> str:
    """Return the "--option=" at the beginning of a word, or "". click completes only the part after it."""
    option, equals, _ = incomplete.partition("=")
    return option + equals if equals and option.startswith("--") else ""


class _WholeWord(ShellComplete):
    """Completion for shells that replace the whole word: each completion begins with the typed "--option="."""

    _option = ""

    @override
    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is completed, and the typed part of that word."""
        words, incomplete = super().get_completion_args()
        self._option = _option_of(incomplete)
        return words, incomplete

    @override
    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Format a completion as lines of the answer."""
        return super().format_completion(CompletionItem(f"{self._option}{item.value}", item.type, item.help))


class Zsh(_WholeWord, ZshComplete):
    """Completion for zsh. click's script removes the typed text if completions do not begin with it."""

    source_template = _ZSH


class Fish(_WholeWord, FishComplete):
    """Completion for fish. click's script cuts completions at the second comma, which lists of addresses have."""

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


def register() -> None:
    """Register these classes with click."""
    add_completion_class(Bash)
    add_completion_class(Zsh)
    add_completion_class(Fish)
