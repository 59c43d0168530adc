"""OpenPGP by the user's gpg: verify, decrypt, sign and encrypt."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from emailsys.client.crypto.keys import Key, key_id, parse_keys
from emailsys.client.crypto.processes import Ran, run
from emailsys.client.crypto.status import (
    MAX_STATUS,
    Status,
    decryption_of,
    is_cancelled,
    needs_passphrase,
    parse_status,
    signatures_of,
)
from emailsys.client.crypto.values import (
    MAX_PLAIN,
    CryptoError,
    DecryptionState,
    Locked,
    Plain,
    Signature,
    SignatureState,
)

_MAX_LISTING: Final = 50_000_000
_MAX_SIGNATURE: Final = 1_000_000
# Seconds for one run of gpg, and if the user may have to enter a passphrase.
_SECONDS: Final = 60.0
_ASKING: Final = 300.0
# Seconds for which keys are kept. The user may certify one meanwhile.
_KEPT: Final = 30.0
# Nothing of this depends on gpg.conf. No key is fetched, no program for the network is started.
_ALWAYS: Final = (
    "--batch",
    "--no-tty",
    "--no-verbose",
    "--no-auto-key-retrieve",
    "--auto-key-locate",
    "local",
    "--disable-dirmngr",
    "--display-charset",
    "utf-8",
    "--no-mdc-warning",
    "--no-encrypt-to",
)


class Gpg:
    """Runs gpg with the user's own keyring and agent. Methods block."""

    def __init__(self, program: str, home: Path | None = None) -> None:
        """@param home: the folder of gpg; None for the user's own."""
        self._start = (program, *_ALWAYS, *(("--homedir", str(home)) if home is not None else ()))
        self._keys: tuple[float, list[Key]] | None = None
        self._signers: dict[str, tuple[float, Key | None]] = {}

    # Reading

    def verify(self, signature: bytes, data: bytes) -> tuple[Signature, ...]:
        """Verify a detached signature over `data`. Never raises."""
        try:
            return self._verify(signature, data)
        except OSError as error:
            return (Signature(SignatureState.UNCHECKED, reason=f"gpg cannot be run: {error.strerror}"),)

    def _verify(self, signature: bytes, data: bytes) -> tuple[Signature, ...]:
        if len(signature) > _MAX_SIGNATURE:
            return (Signature(SignatureState.UNCHECKED, reason="the signature is too large"),)
        with tempfile.TemporaryDirectory(prefix="emailsys-") as folder:
            file = Path(folder) / "signature"
            file.write_bytes(signature)
            ran, lines = self._run(["--verify", "--", str(file), "-"], data, 0, ask=False)
        if ran.is_late:
            return (Signature(SignatureState.UNCHECKED, reason="gpg took too long"),)
        found = tuple(map(self._with_key, signatures_of(lines)))
        if any(line.keyword == "PLAINTEXT" for line in lines):
            # A text with its own signature in it, in place of a signature over this text.
            return (Signature(SignatureState.BAD, reason="the signature has a text of its own"),)
        return found or (Signature(SignatureState.BAD, reason="there is no OpenPGP signature in it"),)

    def decrypt(self, octets: bytes, ask: bool = False) -> Plain:
        """Decrypt a message, and verify the signatures in it. Takes a text with a clear signature, too. Never raises.

        @param ask: whether gpg may ask the user for a passphrase.
        """
        try:
            return self._decrypt(octets, ask)
        except OSError as error:
            return Plain(DecryptionState.UNOPENED, reason=f"gpg cannot be run: {error.strerror}")

    def _decrypt(self, octets: bytes, ask: bool) -> Plain:
        ran, lines = self._run(["--decrypt"], octets, MAX_PLAIN, ask)
        if ran.is_cut:
            state = DecryptionState.FAILED if ran.is_late else DecryptionState.TOO_LARGE
            return Plain(state, reason="gpg took too long" if ran.is_late else "")
        keywords = [line.keyword for line in lines]
        signatures = tuple(map(self._with_key, signatures_of(lines)))
        if any(one in keywords for one in ("BEGIN_DECRYPTION", "ENC_TO", "NO_SECKEY")):
            state = decryption_of(lines)
            octets = ran.output if state is DecryptionState.DECRYPTED else b""
            return Plain(state, octets, signatures if octets else ())
        if "NEWSIG" in keywords and keywords.count("PLAINTEXT") == 1:
            return Plain(DecryptionState.DECRYPTED, ran.output, signatures, is_encrypted=False)
        return Plain(DecryptionState.FAILED, is_encrypted=False, reason="gpg found no message in it")

    def _with_key(self, signature: Signature) -> Signature:
        """Add what the keyring says about the key that made a signature."""
        if signature.made is None or not signature.key:
            return signature
        now = time.monotonic()
        looked_up, key = self._signers.get(signature.key, (now - 2 * _KEPT, None))
        if now - looked_up > _KEPT:
            # The fingerprint is hexadecimal, and gpg made it.
            ran, _ = self._run(["--with-colons", "--list-keys", "--", signature.key], b"", _MAX_LISTING, ask=False)
            key = next((one for one in parse_keys(ran.output) if one.fingerprint == signature.key), None)
            self._signers[signature.key] = now, key
        if key is None:
            return signature
        # gpg names the first user id, which anybody may have chosen. A certified one says more.
        names = tuple((one.address, one.text) for one in key.users if one.is_certified and one.address is not None)
        certified = frozenset(address for address, _ in names)
        signer = names[0][1] if names else signature.signer
        return replace(signature, signer=signer, addresses=key.addresses(), certified=certified, names=names)

    # Writing

    def public_keys(self) -> list[Key]:
        """Return all keys of the keyring."""
        now = time.monotonic()
        if self._keys is None or now - self._keys[0] > _KEPT:
            ran, _ = self._run(["--with-colons", "--list-keys"], b"", _MAX_LISTING, ask=False)
            self._keys = (now, parse_keys(ran.output))
        return self._keys[1]

    def secret_keys(self) -> list[Key]:
        """Return the keys of which the user has the secret part."""
        ran, _ = self._run(["--with-colons", "--list-secret-keys"], b"", _MAX_LISTING, ask=False)
        return parse_keys(ran.output)

    def secret_key(self, wanted: str) -> Key | None:
        """Return the user's key by its id or fingerprint. @raise ValueError: it is neither."""
        digits = key_id(wanted)
        return next((one for one in self.secret_keys() if one.fingerprint.endswith(digits)), None)

    def sign(self, data: bytes, signer: str, ask: bool = False) -> tuple[bytes, str]:
        """Return a detached, armoured signature, and the name of its hash (RFC 3156 §5).

        @param signer: the fingerprint of the user's key.
        @raise Locked: a passphrase is needed, and `ask` is not set.
        @raise CryptoError: gpg made no signature.
        """
        arguments = ["--armor", "--digest-algo", "SHA512", "--local-user", signer, "--detach-sign"]
        ran, lines = self._run(arguments, data, _MAX_SIGNATURE, ask)
        made = next((line for line in lines if line.keyword == "SIG_CREATED"), None)
        _check(ran, lines, made is not None, "sign")
        # The hash that gpg used, whatever its configuration says.
        names = {"8": "pgp-sha256", "9": "pgp-sha384", "10": "pgp-sha512", "11": "pgp-sha224", "2": "pgp-sha1"}
        return ran.output, names.get(made.argument(2) if made is not None else "", "pgp-sha512")

    def encrypt(
        self, data: bytes, recipients: Sequence[str], hidden: Sequence[str] = (), signer: str | None = None,
        ask: bool = False,
    ) -> bytes:  # fmt: skip
        """Return `data` encrypted, armoured, and signed if `signer` is given.

        @param recipients: fingerprints of keys, which the caller has checked.
        @param hidden: fingerprints that the message does not tell.
        @raise Locked: a passphrase is needed, and `ask` is not set.
        @raise CryptoError: gpg did not encrypt.
        """
        # The least compression: a file in base64 gets its size back, and more would take most of the time.
        arguments = ["--armor", "--trust-model", "always", "--no-emit-version", "--compress-level", "1"]
        for one in recipients:
            arguments += ["--recipient", one]
        for one in hidden:
            arguments += ["--hidden-recipient", one]
        if signer is not None:
            arguments += ["--digest-algo", "SHA512", "--local-user", signer, "--sign"]
        ran, lines = self._run([*arguments, "--encrypt"], data, 2 * len(data) + _MAX_SIGNATURE, ask)
        keywords = {line.keyword for line in lines}
        is_done = "END_ENCRYPTION" in keywords and not keywords.intersection({"INV_RECP", "FAILURE"})
        _check(ran, lines, is_done and (signer is None or "SIG_CREATED" in keywords), "encrypt")
        return ran.output

    def _run(self, arguments: Sequence[str], data: bytes, most: int, ask: bool) -> tuple[Ran, list[Status]]:
        words = [*self._start, "--pinentry-mode", "ask" if ask else "error", *arguments]
        limit = _ASKING if ask else _SECONDS
        ran = run(words, data, most=most, seconds=limit, most_status=MAX_STATUS, environment=_environment())
        return ran, parse_status(ran.status)


def _check(ran: Ran, lines: Sequence[Status], is_done: bool, verb: str) -> None:
    if needs_passphrase(lines):
        raise Locked("The secret key needs its passphrase.")
    if is_cancelled(lines):
        raise CryptoError(f"No passphrase was entered, so gpg did not {verb}.")
    if ran.code or ran.is_cut or not is_done:
        words = "took too long" if ran.is_late else f"could not {verb}"
        raise CryptoError(f"gpg {words} the message. To see why, try it by hand: gpg --{verb} FILE")


def _environment() -> dict[str, str]:
    """Return the environment of gpg. Pinentry needs to know the terminal."""
    found = dict(os.environ)
    if sys.platform != "win32" and "GPG_TTY" not in found:
        with suppress(OSError):
            found["GPG_TTY"] = os.ttyname(0)
    return found


def find_gpg() -> Gpg | None:
    """Return the user's gpg; None if it is not installed."""
    program = shutil.which("gpg") or shutil.which("gpg2")
    return Gpg(program) if program is not None else None
