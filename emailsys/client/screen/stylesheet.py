"""Style sheet of the full screen: layout and colours."""

from __future__ import annotations

from typing import Final

STYLESHEET: Final = """
Screen { background: $background; color: $foreground; }
.bar { background: $panel; color: $foreground; height: 1; padding: 0 1; text-style: bold; }
#panes { height: 1fr; }
#folders { width: 26; background: $background; padding: 0 1; border-right: solid $panel; scrollbar-size: 1 1; }
#right { width: 1fr; }
#messages { height: 2fr; min-height: 3; background: $background; scrollbar-size: 1 1; overflow-x: hidden; }
#messages > .datatable--header { background: $panel; color: $foreground; }
#messages > .datatable--cursor { background: $primary 30%; color: $foreground; }
#messages:focus > .datatable--cursor { background: $primary; color: $background; }
#messages:nocolor > .datatable--cursor { background: $background; color: $foreground; text-style: reverse; }
#reader { display: none; height: 3fr; padding: 0 1; border-top: solid $panel; background: $surface;
  scrollbar-size: 1 1; }
#reader.open { display: block; }
.picture { height: auto; padding-bottom: 1; }
.picture > * { height: auto; max-width: 100%; }
.picture > * > * { width: 100%; height: 100%; }
#reader:focus { border-top: solid $primary; }
/* A low terminal has no room for the list beside the message. */
.-low #reader:focus { dock: top; height: 100%; border-top: none; }
#folders:focus { border-right: solid $primary; }
#status { height: 1; background: $panel; padding: 0 1; }
#status Label { width: 1fr; text-wrap: nowrap; text-overflow: ellipsis; }
#status ProgressBar { width: 40; display: none; }
#status ProgressBar.busy { display: block; }
/* Above the status line, which the same words may be in. */
ToastRack { margin-bottom: 2; }
/* In a small terminal it is as wide as the screen, and takes few lines: the list stays readable. */
.-tiny Toast, .-low Toast { width: 100%; max-width: 100%; padding: 0 1; margin-top: 0; }
.-narrow #folders, .-tiny #folders { display: none; }
.-narrow #folders.asked, .-tiny #folders.asked { display: block; }
.-tiny #folders.asked { width: 100%; border-right: none; }
InputDialog, ChoiceDialog, ConfirmDialog, TextDialog, SelectionDialog, OpenDialog, SendingDialog,
ContactBookDialog {
  align: center middle; background: $background 60%; layers: below default; }
/* A notification never covers a question. */
InputDialog ToastRack, ChoiceDialog ToastRack, ConfirmDialog ToastRack, TextDialog ToastRack,
SelectionDialog ToastRack, OpenDialog ToastRack, SendingDialog ToastRack, ContactBookDialog ToastRack {
  layer: below; }
.dialog { width: 70; max-width: 95%; height: auto; max-height: 90%; padding: 1 2; background: $surface;
  border: round $primary; }
.dialog.large { width: 90; height: 90%; }
.dialog .title { text-style: bold; margin-bottom: 1; width: 100%; }
.dialog .whole { height: auto; max-height: 20; }
.dialog .hint { color: $foreground 70%; width: 100%; }
.dialog .problem { display: none; color: $text-error; width: 100%; }
.dialog.refused .problem { display: block; }
.dialog OptionList { height: auto; max-height: 20; background: $surface; border: none; }
.dialog .buttons { height: auto; }
.dialog Button { margin-right: 2; }
.-low .dialog { padding: 0; border: none; width: 100%; max-width: 100%; max-height: 100%; }
.-low .dialog.large { width: 100%; height: 100%; }
.-low .dialog .title { margin-bottom: 0; max-height: 3; }
.-low .dialog .hint, .-low .dialog.refused .title { display: none; }
.-low .dialog Input { border: none; height: 1; padding: 0; }
.-low .dialog Button { border: none; height: 1; min-width: 8; margin: 0; }
#fields { height: auto; padding: 0 1; background: $surface; }
.field { height: 1; }
.field Label { width: 9; color: $foreground 70%; }
.field Input, .field Select, .address { width: 1fr; }
.address { height: 1; }
.offers { display: none; overlay: screen; constrain: inside inside; width: auto; min-width: 30; max-width: 100%;
  height: auto; max-height: 8; background: $panel; border: none; border-left: thick $primary; }
#unusable { height: auto; max-height: 5; padding: 0 1; background: $warning 30%; }
#attachments { height: auto; max-height: 5; border: none; background: $surface; padding: 0 1; }
#body { height: 1fr; border: none; border-top: solid $panel; background: $background; padding: 0 1; }
#protection { height: auto; max-height: 3; background: $panel; padding: 0 1; }
#markdown { height: 1; background: $panel; width: 100%; }
"""
