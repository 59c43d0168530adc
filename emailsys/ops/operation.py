"""What a request becomes once it is understood: something to run on the doors of a store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from emailsys.ops.request_fields import Fields
from emailsys.ops.store_access import Doors, Hooks

Run = Callable[[Doors, Hooks], Awaitable[Any]]
Understand = Callable[[Fields], Run]
