"""What a request becomes once it is understood: something to run on the doors of a store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from emailsys.ops.doors import Doors, Hooks
from emailsys.ops.fields import Fields

Run = Callable[[Doors, Hooks], Awaitable[Any]]
Understand = Callable[[Fields], Run]
