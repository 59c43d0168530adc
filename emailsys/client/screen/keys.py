"""Key table of the full screen, from which the bindings and the help are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from textual.binding import Binding


@dataclass(frozen=True, slots=True)
class Key:
    """A key with its action and its help text. `footer` is its name in the bottom line, "" if it is not shown there."""

    keys: str
    action: str
    help: str
    footer: str = ""

    @property
    def shown(self) -> str:
        """The name of the key for the help."""
        return ", ".join(_SHOWN.get(key, key) for key in self.keys.split(","))

    def binding(self, priority: bool = False) -> Binding:
        """Return the Textual binding."""
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
    "exclamation_mark": "!",
    "dollar_sign": "$",
    "equals_sign": "=",
    "asterisk": "*",
    "minus": "-",
    "plus": "+",
    "semicolon": ";",
    "vertical_line": "|",
    "space": "Space",
    "enter": "Enter",
    "tab": "Tab",
    "escape": "Esc",
    "up": "↑",
    "down": "↓",
    "f3": "F3",
    "f4": "F4",
    "f5": "F5",
    "f6": "F6",
    "f7": "F7",
    "f8": "F8",
    "f9": "F9",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "delete": "Del",
    "ctrl+t": "^T",
    "ctrl+s": "^S",
    "ctrl+o": "^O",
    "ctrl+q": "^Q",
    "ctrl+z": "^Z",
}

MOVING: Final = (
    Key("j", "next", "next message"),
    Key("k", "previous", "previous message"),
    Key("tab", "next_unread", "next unread message"),
    Key("equals_sign", "first", "first message of the list"),
    Key("asterisk", "last", "last message of the list"),
    Key("enter", "open", "open the message, or continue the draft", "Open"),
    Key("space", "page_down", "page down; at the end, the next message"),
    Key("minus", "page_up", "page up"),
    Key("i,escape", "to_list", "back to the list; from a search, back to the folder"),
    Key("c", "to_folders", "choose a folder", "Folder"),
    Key("f6", "next_pane", "next pane: folders, list, message"),
)
LISTING: Final = (
    Key("o", "sort", "order: by date, sender, subject, size; conversations as trees"),
    Key("x", "collapse", "collapse or expand the conversation; d s a F N Y t act on all of it"),
    Key("X", "collapse_all", "collapse or expand all conversations"),
    Key("plus", "save_search", "save the search as a virtual folder, rename or remove it"),
)
READING: Final = (
    Key("h", "headers", "show all header fields, or the usual ones"),
    Key("H", "html", "show the HTML part as text, or the plain text"),
    Key("V", "structure", "show the MIME parts of the message, and its defects"),
    Key("v", "attachments", "save, open or pipe attachments", "Files"),
    Key("U", "links", "list the links of the message, and open one"),
    Key("B", "browser", "open the HTML in a browser, without what it would load"),
    Key("vertical_line", "pipe", "pipe the message to a command"),
    Key("p", "print", "print the message"),
    Key("P", "parts", "show or save any part: a message inside, a report, a text"),
    Key("K", "unlock", "enter the passphrase of your key, to read an encrypted message"),
    Key("C", "conversation", "show the conversation of the message"),
    Key("slash", "search", "search: words, from:, subject:, has:attachment ...", "Search"),
)
WRITING: Final = (
    Key("m", "compose", "write a message", "Write"),
    Key("r", "reply", "reply to the sender", "Reply"),
    Key("g", "reply_all", "reply to all"),
    Key("L", "reply_list", "reply to the mailing list"),
    Key("I", "invitation", "answer an invitation: accept, tentative, decline"),
    Key("f", "forward", "forward the message", "Forward"),
    Key("b", "bounce", "send the message on to others, unchanged; answers go to its author"),
    Key("e", "edit", "write a new message from this one, or continue the draft"),
    Key("Q", "unsubscribe", "leave the mailing list of the message, after a question"),
    Key("A", "contacts", "contact book: add the sender, write, change, import, export"),
    Key("dollar_sign", "flush", "send the messages in the outbox"),
    Key("z", "stop", "stop the message that is on hold"),
)
HANDLING: Final = (
    Key("d", "delete", "move to Trash; in Trash delete; in the outbox stop", "Delete"),
    Key("u", "undelete", "undo the last delete or move; restore from Trash"),
    Key("s", "move", "move to another folder"),
    Key("a", "archive", "move to the folder Archive"),
    Key("Z", "snooze", "put out of sight until a moment"),
    Key("exclamation_mark", "spam", "move to the folder Spam"),
    Key("S", "spam_rule", "move to Spam, and all later messages of the senders, too"),
    Key("F", "flag", "flag or unflag"),
    Key("N", "unread", "mark as unread or read"),
    Key("Y", "tag", "change tags: +add -remove"),
)
SELECTING: Final = (
    Key("t", "select", "select or unselect (mutt calls this tagging)"),
    Key("T", "select_found", "select the messages of the list that match a search"),
    Key("ctrl+t", "unselect_found", "unselect the messages that match a search"),
    Key("semicolon", "for_all", "apply the next key to all selected messages"),
)
PROGRAM: Final = (
    Key("G", "fetch", "fetch new mail from all accounts", "Fetch"),
    Key("M", "manage", "menu: folders, rules, import and export"),
    Key("f3", "theme", "switch between dark and light"),
    Key("question_mark", "help", "show this help", "Help"),
    Key("q", "quit", "back to the list; from the list, leave", "Quit"),
)
#: Keys of all screens. In the text of a message, Ctrl-Z undoes the last change instead.
EVERYWHERE: Final = (
    Key("ctrl+q", "quit", "leave from any screen; a letter is saved as a draft"),
    Key("ctrl+z", "suspend_process", "suspend the program; fg continues it"),
)
COMPOSING: Final = (
    Key("ctrl+t", "send", "send the message", "Send"),
    Key("ctrl+s", "save", "save a draft and continue writing", "Save draft"),
    Key("ctrl+o", "attach", "attach a file", "Attach"),
    Key("f8", "sign", "sign the message with OpenPGP, or do not"),
    Key("f9", "encrypt", "encrypt it: never, if all recipients have keys, always"),
    Key("f4", "editor", "edit in your own editor", "Editor"),
    Key("f5", "template", "put a template above the text; save the message as one"),
    Key("f7", "moment", "send the message later, at a moment of your choice"),
    Key("escape", "close", "leave, and save a draft", "Leave"),
)
OFFERED: Final = (
    Key("down", "offer_next", "in To, Cc, Bcc: next suggestion"),
    Key("up", "offer_previous", "in To, Cc, Bcc: previous suggestion"),
    Key("tab", "next_field", "accept the suggestion (also Enter or a click); Esc refuses it"),
)
BOOK: Final = (
    Key("a", "add_sender", "add the sender of the message", "add sender"),
    Key("n", "add_contact", "add a person or a group", "new"),
    Key("enter", "change_contact", "change the contact", "change"),
    Key("m", "write_to", "write to the contact", "write"),
    Key("d", "remove_contact", "remove the contact", "remove"),
    Key("i", "import_cards", "import a vCard file", "import"),
    Key("x", "export_cards", "export all contacts as a vCard file", "export"),
)
ATTACHED: Final = (Key("delete", "detach", "in the list of attachments: remove the attachment"),)

SECTIONS: Final = (
    ("Move around", MOVING),
    ("The list", LISTING),
    ("Read", READING),
    ("Write and send", WRITING),
    ("Delete, move and mark", HANDLING),
    ("Select several messages", SELECTING),
    ("Program", PROGRAM + EVERYWHERE),
    ("While you write a message", COMPOSING + OFFERED + ATTACHED),
    ("In the contact book", BOOK),
)
# A terminal of 80 columns cuts the bottom line off, so the help key comes first.
MAIN: Final = tuple(
    sorted(MOVING + LISTING + READING + WRITING + HANDLING + SELECTING + PROGRAM, key=lambda key: key.action != "help")
)
#: The keys that may follow ";".
FOR_ALL: Final = tuple(
    key for key in MAIN if key.action in {*(one.action for one in HANDLING), "forward", "bounce", "select"}
)
