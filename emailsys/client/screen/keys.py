"""The keys of the full screen: one table makes the bindings and the help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from textual.binding import Binding


@dataclass(frozen=True, slots=True)
class Key:
    """A key, what it does, and how the help says so. `footer` is its name in the bottom line, "" for none."""

    keys: str
    action: str
    help: str
    footer: str = ""

    @property
    def shown(self) -> str:
        """The key as a person reads it."""
        return ", ".join(_SHOWN.get(key, key) for key in self.keys.split(","))

    def binding(self, priority: bool = False) -> Binding:
        """The binding for Textual."""
        return Binding(
            self.keys,
            self.action,
            self.footer or self.help,
            show=bool(self.footer),
            key_display=_SHOWN.get(self.keys.split(",")[0]),
            priority=priority,
        )


_SHOWN: Final = {
    "question_mark": "?",
    "slash": "/",
    "dollar_sign": "$",
    "equals_sign": "=",
    "asterisk": "*",
    "minus": "-",
    "semicolon": ";",
    "space": "Space",
    "enter": "Enter",
    "tab": "Tab",
    "escape": "Esc",
    "up": "↑",
    "down": "↓",
    "f3": "F3",
    "f4": "F4",
    "f6": "F6",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "delete": "Del",
    "ctrl+t": "^T",
    "ctrl+s": "^S",
    "ctrl+o": "^O",
}

MOVING: Final = (
    Key("j", "next", "next message"),
    Key("k", "previous", "previous message"),
    Key("tab", "next_unread", "next message that is not read"),
    Key("equals_sign", "first", "first message of the list"),
    Key("asterisk", "last", "last message that is shown"),
    Key("enter", "open", "open the message; go on with a draft", "Open"),
    Key("space", "page_down", "a page further down, then the next message"),
    Key("minus", "page_up", "a page back up"),
    Key("i,escape", "to_list", "back to the list; ends a search"),
    Key("c", "to_folders", "choose a folder", "Folder"),
    Key("f6", "next_pane", "next pane: folders, list, message"),
)
READING: Final = (
    Key("h", "headers", "all header fields, or the usual ones"),
    Key("H", "html", "the HTML form as text, or the plain text"),
    Key("V", "structure", "the parts the message is made of, and its defects"),
    Key("v", "attachments", "attachments: save them", "Files"),
    Key("C", "conversation", "the conversation of the message"),
    Key("slash", "search", "search: words, from:, subject:, has:attachment ...", "Search"),
)
WRITING: Final = (
    Key("m", "compose", "write a message", "Write"),
    Key("r", "reply", "answer the sender", "Reply"),
    Key("g", "reply_all", "answer everybody"),
    Key("f", "forward", "pass the message on", "Forward"),
    Key("e", "edit", "write a message anew from this one; go on with a draft"),
    Key("dollar_sign", "flush", "send what waits in the outbox"),
    Key("z", "stop", "stop the message that is being held"),
)
HANDLING: Final = (
    Key("d", "delete", "to Trash; in Trash for good; in the outbox: stop it", "Delete"),
    Key("u", "undelete", "bring back what was deleted or moved last, or out of Trash"),
    Key("s", "move", "move to another folder"),
    Key("a", "archive", "move to the folder Archive"),
    Key("F", "flag", "flag it, or take the flag off"),
    Key("N", "unread", "mark it as not read, or as read"),
    Key("Y", "tag", "its tags: +add -remove"),
)
SELECTING: Final = (
    Key("t", "select", "select the message, or not any more (what mutt calls tagging)"),
    Key("T", "select_found", "select what a search finds in the list"),
    Key("ctrl+t", "unselect_found", "unselect what a search finds"),
    Key("semicolon", "for_all", "the next key is for all that are selected"),
)
PROGRAM: Final = (
    Key("G", "fetch", "fetch new mail of all accounts", "Fetch"),
    Key("f3", "theme", "dark or light"),
    Key("question_mark", "help", "this help", "Help"),
    Key("q", "quit", "back to the list; from there, leave", "Quit"),
)
COMPOSING: Final = (
    Key("ctrl+t", "send", "send it", "Send"),
    Key("ctrl+s", "save", "keep it as a draft and go on writing", "Save draft"),
    Key("ctrl+o", "attach", "attach a file", "Attach"),
    Key("f4", "editor", "write in your own editor", "Editor"),
    Key("escape", "close", "leave; it is kept as a draft", "Leave"),
)
OFFERED: Final = (
    Key("down", "offer_next", "in To, Cc, Bcc: the next one of the addresses that are offered"),
    Key("up", "offer_previous", "the one before"),
    Key("tab", "take_offer", "take it; Enter and a click do so, too; Esc wants none"),
)
ATTACHED: Final = (Key("delete", "detach", "in the list of attachments: take it off"),)

SECTIONS: Final = (
    ("Moving", MOVING),
    ("Reading", READING),
    ("Writing", WRITING),
    ("Handling", HANDLING),
    ("Several messages at once", SELECTING),
    ("Program", PROGRAM),
    ("While writing", COMPOSING + OFFERED + ATTACHED),
)
# A terminal of 80 columns cuts the bottom line: the key that shows all others comes first.
MAIN: Final = tuple(
    sorted(MOVING + READING + WRITING + HANDLING + SELECTING + PROGRAM, key=lambda key: key.action != "help")
)
#: What the key after ; may be.
FOR_ALL: Final = tuple(key for key in MAIN if key.action in {*(one.action for one in HANDLING), "forward", "select"})
