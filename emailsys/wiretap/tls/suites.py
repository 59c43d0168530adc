"""Cipher suites of TLS: their names, and what their names tell of their strength."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

#: RFC 8446 §B.4: the suites of TLS 1.3 do not name the key exchange.
_TLS13: Final = 0x1300
_CCM13: Final = 0xC0B4  # RFC 9150: integrity only, 0xC0B4 and 0xC0B5
_WITH: Final = re.compile(r"TLS_(?P<exchange>.+?)_WITH_(?P<cipher>.+)")
_EPHEMERAL: Final = ("ECDHE", "DHE", "ECCPWD")
#: RFC 5746 §3.3 and RFC 7507: signals of a client in its list of suites.
SIGNALS: Final[Mapping[int, str]] = {
    0x00FF: "TLS_EMPTY_RENEGOTIATION_INFO_SCSV",
    0x5600: "TLS_FALLBACK_SCSV",
}
_FLAWS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"_NULL_|^TLS_SHA\d+_SHA\d+$"), "it does not encrypt"),
    (re.compile(r"_anon_"), "it does not authenticate the server"),
    (re.compile(r"_EXPORT"), "its keys were made short enough to be broken"),
    (re.compile(r"_RC4_"), "RC4 leaks parts of the text (RFC 7465)"),
    (re.compile(r"_RC2_"), "RC2 is broken"),
    (re.compile(r"_(DES|DES40)_CBC"), "DES keys of 56 bits or less can be tried out"),
    (re.compile(r"_(3DES|IDEA)_"), "its blocks of 64 bits repeat on long connections (Sweet32)"),
    (re.compile(r"_MD5$"), "MD5 is broken"),
)


@dataclass(frozen=True, slots=True)
class Suite:
    """A cipher suite. `openssl` is its name in OpenSSL, "" if it has none."""

    code: int
    name: str
    openssl: str = ""

    @property
    def is_tls13(self) -> bool:
        """Whether TLS 1.3 uses the suite, and only TLS 1.3."""
        return "_WITH_" not in self.name and (self.code & 0xFF00 == _TLS13 or self.code in (_CCM13, _CCM13 + 1))

    @property
    def key_exchange(self) -> str:
        """ECDHE, DHE, RSA and so on; "" for TLS 1.3, where the key share decides, and for unknown suites."""
        found = _WITH.fullmatch(self.name)
        if found is None:
            return ""
        exchange = found["exchange"]
        return "RSA" if exchange.startswith("RSA_EXPORT") else exchange.split("_", 1)[0]

    @property
    def is_anonymous(self) -> bool:
        """Whether the server proves nothing about who it is."""
        return "_anon_" in self.name

    @property
    def has_forward_secrecy(self) -> bool:
        """Whether each connection has keys that no later theft of the certificate's key reveals."""
        return self.is_tls13 or self.key_exchange in _EPHEMERAL or self.is_anonymous

    @property
    def is_aead(self) -> bool:
        """Whether encryption and integrity are one (GCM, CCM, ChaCha20-Poly1305), as RFC 9325 §4.2 recommends."""
        return self.is_tls13 or any(word in self.name for word in ("_GCM_", "_CCM", "_CHACHA20_POLY1305"))

    @property
    def flaws(self) -> tuple[str, ...]:
        """Return the weaknesses of the suite in words; none for suites that are only old."""
        return tuple(words for pattern, words in _FLAWS if pattern.search(self.name))

    @property
    def hash_name(self) -> str:
        """The hash of the key schedule in TLS 1.3: sha256 or sha384."""
        return "sha384" if self.name.endswith("SHA384") else "sha256"


@cache
def all_suites() -> Mapping[int, Suite]:
    """Returns the known suites by code."""
    found = {}
    for line in files(__package__).joinpath("suites.txt").read_text("ascii").splitlines():
        if line.startswith("#"):
            continue
        code, name, openssl = line.split()
        found[int(code, 16)] = Suite(int(code, 16), name, "" if openssl == "-" else openssl)
    return found


def suite(code: int) -> Suite:
    """Returns a suite; one that is not in the registry is named by its code."""
    known = all_suites().get(code)
    return known or Suite(code, SIGNALS.get(code) or f"suite 0x{code:04X}{' (GREASE)' if is_grease(code) else ''}")


def is_grease(code: int) -> bool:
    """Whether a value means nothing, and is sent so that servers learn to ignore unknown ones (RFC 8701)."""
    return code & 0x0F0F == 0x0A0A and code >> 8 == code & 0xFF
