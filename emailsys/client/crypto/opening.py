"""Opens the protected parts of a message: decrypts and verifies, and says which text each verdict covers.

A decrypted part stands in the tree in the place of the encrypted one. Each part becomes text by itself, so that
decrypted text never gets into the HTML of another part (EFAIL). Nothing of it is written to the disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from emailsys.client.crypto.armour import segments
from emailsys.client.crypto.status import WEAK_HASHES
from emailsys.client.crypto.values import DecryptionState, Layer, Method, Opened, Plain, Signature, SignatureState
from emailsys.mail.message.mailboxes import read_mailboxes
from emailsys.mail.message.mime import Part, parse

if TYPE_CHECKING:
    from emailsys.client.crypto.gpg import Gpg
    from emailsys.client.crypto.smime import SMime

# Protected parts of one message that are opened, and how deep they may be in each other.
_MAX_LAYERS: Final = 10
_MAX_DEPTH: Final = 4
# Clocks differ.
_AHEAD: Final = timedelta(hours=1)
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_PGP_SIGNATURE: Final = "application/pgp-signature"
_NO_GPG: Final = "gpg is not installed"
_NO_OPENSSL: Final = "openssl is not installed"


class Opener:
    """Opens messages with the keys of the user."""

    def __init__(
        self, gpg: Gpg | None, now: Callable[[], datetime], ask: bool = False, smime: SMime | None = None
    ) -> None:
        """
        @param gpg: None if it is not installed. Parts in OpenPGP are then named, and not opened.
        @param smime: None if openssl is not installed. S/MIME signatures are then not checked.
        @param ask: whether the user may be asked for passphrases.
        """
        self._gpg = gpg
        self._now = now
        self._ask = ask
        self._smime = smime

    def open(self, root: Part) -> Opened:
        """Open the protected parts of a message. Messages inside are left as they are."""
        return _Opening(self._gpg, self._smime, self._now(), self._ask, root).opened


class _Opening:
    """One message that is being opened."""

    def __init__(self, gpg: Gpg | None, smime: SMime | None, now: datetime, ask: bool, root: Part) -> None:
        self._gpg = gpg
        self._smime = smime
        self._now = now
        self._ask = ask
        self._authors = {one.address.key for one in read_mailboxes(root.text_of("from"))}
        self.opened = Opened(root)
        self._visit(root, (), 0, is_whole=True)

    def _visit(self, part: Part, above: tuple[Layer, ...], depth: int, is_whole: bool) -> None:
        """Open a part and those in it.

        @param above: the layers that cover it.
        @param depth: the number of decryptions that it comes from.
        @param is_whole: whether the message shows nothing that is not in this part.
        """
        kind = part.content_type
        if kind == "multipart/encrypted" and _protocol(part) in ("", "application/pgp-encrypted"):
            self._encrypted(part, above, depth, is_whole)
        elif kind == "multipart/signed" and part.parts:
            self._signed(part, above, depth, is_whole)
        elif _is_wrapped(part):
            self._wrapped(part, above, depth, is_whole)
        elif part.is_leaf:
            self.opened.covering[id(part)] = above
            if kind == "text/plain" and part.disposition != "attachment":
                self._text(part, above, depth, is_whole)
            elif is_whole and above:
                self.opened.payload = part
        elif part.is_message:
            self._cover(part, above)
        else:
            if is_whole and above:
                self.opened.payload = part
            for one in part.parts:
                self._visit(one, above, depth, False)

    def _cover(self, part: Part, above: tuple[Layer, ...]) -> None:
        for one in part.walk():
            self.opened.covering[id(one)] = above

    def _add(self, layer: Layer) -> Layer:
        self.opened.layers.append(layer)
        return layer

    def _limit(self, depth: int, method: Method = Method.OPENPGP) -> str:
        if (self._gpg if method is Method.OPENPGP else self._smime) is None:
            return _NO_GPG if method is Method.OPENPGP else _NO_OPENSSL
        if depth >= _MAX_DEPTH:
            return f"it is the {depth + 1}th encrypted part in another one"
        return f"more than {_MAX_LAYERS} parts are protected" if len(self.opened.layers) >= _MAX_LAYERS else ""

    # PGP/MIME (RFC 3156)

    def _encrypted(self, part: Part, above: tuple[Layer, ...], depth: int, is_whole: bool) -> None:
        self._cover(part, above)
        if self._gpg is None or (reason := self._limit(depth)):
            reason = reason if self._gpg is not None else _NO_GPG
            state = DecryptionState.UNOPENED
            self._add(Layer(part.number, Method.OPENPGP, state, reason=reason, is_whole=is_whole))
            return
        # RFC 3156 §4: the first part is the control information, the second the data.
        data = part.parts[1].decoded()[0] if len(part.parts) > 1 else part.decoded()[0] if part.is_leaf else b""
        # What else stands there, such as the footer of a mailing list, is not encrypted. It is shown below.
        others = part.parts[2:]
        is_whole = is_whole and not others
        plain = self._gpg.decrypt(data, self._ask)
        state = plain.state
        if state is DecryptionState.DECRYPTED and not plain.is_encrypted:
            # A message that only claims to be encrypted.
            plain = Plain(DecryptionState.FAILED, reason="it is not encrypted")
        plain = replace(plain, is_encrypted=True)
        layer = self._add(self._layer(part, plain, is_whole))
        if layer.decryption is not DecryptionState.DECRYPTED:
            return
        inner = parse(plain.octets)
        _graft(part, [inner])
        part.parts += others
        self._visit(inner, (*above, layer), depth + 1, is_whole)
        for one in others:
            self._visit(one, above, depth, False)

    def _layer(self, part: Part, plain: Plain, is_whole: bool) -> Layer:
        signatures = tuple(map(self._judged, plain.signatures))
        state = plain.state if plain.is_encrypted else None
        return Layer(part.number, Method.OPENPGP, state, signatures, plain.reason, is_whole)

    def _signed(self, part: Part, above: tuple[Layer, ...], depth: int, is_whole: bool) -> None:
        first, *others = part.parts
        signature = next((one for one in others if one.is_leaf), None)
        protocol = _protocol(part) or (signature.content_type if signature is not None else "")
        if "pkcs7" in protocol:
            found = self._smime_verified(first, signature, depth)
            method = Method.SMIME
        else:
            method = Method.OPENPGP
            found = self._verified(part, first, signature, protocol, depth)
        # RFC 1847 §2.1: two parts. What else stands there is not signed.
        is_whole = is_whole and len(others) == 1
        layer = self._add(Layer(part.number, method, None, tuple(map(self._judged, found)), is_whole=is_whole))
        for one in others:
            self._cover(one, above)
        self._check_micalg(part, layer)
        self._visit(first, (*above, layer), depth, is_whole)

    def _verified(
        self, part: Part, first: Part, signature: Part | None, protocol: str, depth: int
    ) -> tuple[Signature, ...]:
        reason = self._limit(depth)
        if protocol != _PGP_SIGNATURE:
            reason = "its method is not known here"
        elif signature is None or signature.content_type != _PGP_SIGNATURE:
            reason = "the second part is no OpenPGP signature"
        if reason or signature is None or self._gpg is None:
            return (Signature(SignatureState.UNCHECKED, reason=reason),)
        # RFC 3156 §5: the signature is over CRLF lines, with the header section of the part.
        data = _BARE_LF.sub(b"\r\n", first.header + first.raw)
        return self._gpg.verify(signature.decoded()[0], data)

    def _smime_verified(self, first: Part, signature: Part | None, depth: int) -> tuple[Signature, ...]:
        reason = self._limit(depth, Method.SMIME)
        if signature is None or not signature.content_type.endswith(("/pkcs7-signature", "/x-pkcs7-signature")):
            reason = "the second part is no S/MIME signature"
        if reason or signature is None or self._smime is None:
            return (Signature(SignatureState.UNCHECKED, reason=reason),)
        data = _BARE_LF.sub(b"\r\n", first.header + first.raw)
        return self._smime.verify(signature.decoded()[0], data).signatures

    def _wrapped(self, part: Part, above: tuple[Layer, ...], depth: int, is_whole: bool) -> None:
        """Open a part that is inside its signature (RFC 8551 §3.5.2)."""
        self._cover(part, above)
        if self._smime is None or self._limit(depth, Method.SMIME):
            return
        verified = self._smime.verify(part.decoded()[0])
        signatures = tuple(map(self._judged, verified.signatures))
        layer = self._add(Layer(part.number, Method.SMIME, None, signatures, is_whole=is_whole))
        if verified.content:
            inner = parse(verified.content)
            _graft(part, [inner])
            self._visit(inner, (*above, layer), depth + 1, is_whole)

    def _check_micalg(self, part: Part, layer: Layer) -> None:
        stated = part.parameters.get("micalg", "").strip().lower().removeprefix("pgp-")
        used = {one.hash_name for one in layer.signatures if one.hash_name}
        if layer.method is Method.OPENPGP and used and stated not in used:
            part.defects.append(f"micalg says {stated[:20] or 'nothing'}, but the signature uses {', '.join(used)}")

    def _judged(self, signature: Signature) -> Signature:
        """Return a signature with the verdict on its author, in addition to that on its numbers."""
        state = signature.state
        if state is not SignatureState.GOOD:
            return signature
        if signature.hash_name in WEAK_HASHES:
            state = SignatureState.WEAK
        elif signature.made is not None and signature.made > self._now + _AHEAD:
            state = SignatureState.FUTURE
        elif not self._authors or not self._authors <= signature.addresses:
            state = SignatureState.OTHER_SIGNER
        elif not self._authors <= signature.certified:
            state = SignatureState.UNTRUSTED
        signer = next((name for address, name in signature.names if address in self._authors), signature.signer)
        return replace(signature, state=state, signer=signer)

    # OpenPGP in the text

    def _text(self, part: Part, above: tuple[Layer, ...], depth: int, is_whole: bool) -> None:
        octets = part.decoded()[0]
        pieces = segments(octets) if b"-----BEGIN PGP " in octets else []
        if not any(one.is_block for one in pieces):
            if is_whole and above:
                self.opened.payload = part
            return
        is_whole = is_whole and len(pieces) == 1
        inner = []
        for piece in pieces:
            if not piece.is_block:
                inner.append((_text_part(part, piece.octets, ""), above))
                continue
            plain = Plain(DecryptionState.UNOPENED, is_encrypted=b"-----BEGIN PGP MESSAGE" in piece.octets[:40])
            if self._gpg is None or (reason := self._limit(depth)):
                reason = reason if self._gpg is not None else _NO_GPG
                plain = replace(plain, reason=reason)
                if not plain.is_encrypted:
                    plain = replace(plain, signatures=(Signature(SignatureState.UNCHECKED, reason=reason),))
            else:
                claims = plain.is_encrypted
                plain = self._gpg.decrypt(piece.octets, self._ask)
                if plain.state is not DecryptionState.DECRYPTED:
                    signatures = () if claims else (Signature(SignatureState.BAD, reason=plain.reason),)
                    plain = replace(plain, is_encrypted=claims, signatures=signatures)
            layer = self._add(self._layer(part, plain, is_whole))
            if plain.state is DecryptionState.DECRYPTED:
                inner.append((_text_part(part, plain.octets, "utf-8"), (*above, layer)))
            else:
                inner.append((_text_part(part, piece.octets, ""), above if plain.is_encrypted else (*above, layer)))
        _graft(part, [one for one, _ in inner])
        for one, covering in inner:
            self.opened.covering[id(one)] = covering
        if is_whole:
            self.opened.payload = part


def _is_wrapped(part: Part) -> bool:
    kind = part.content_type.replace("/x-pkcs7", "/pkcs7")
    return kind == "application/pkcs7-mime" and part.parameters.get("smime-type", "").strip().lower() == "signed-data"


def _protocol(part: Part) -> str:
    return part.parameters.get("protocol", "").strip().lower().replace("/x-pkcs7", "/pkcs7")


def _text_part(part: Part, octets: bytes, charset: str) -> Part:
    """Return a piece of a text as a part. @param charset: "utf-8" if it is that, else the charset of the part."""
    if charset:
        try:
            octets.decode("utf-8")
        except UnicodeDecodeError:
            charset = ""
    parameters = {"charset": charset or part.charset}
    return Part(octets, "1", 0, 0, 0, len(octets), (), "text/plain", parameters, "8bit")


def _graft(part: Part, inner: Sequence[Part]) -> None:
    """Put other parts in the place of those of a part, or of its text. Their numbers begin at N.0."""
    if part.is_leaf:
        part.content_type = "multipart/mixed"
    part.parts = list(inner)
    for place, root in enumerate(inner):
        base = f"{part.number}.0" if len(inner) == 1 else f"{part.number}.0.{place + 1}"
        for one in root.walk():
            one.number = base + one.number.removeprefix("1")
            one.level += part.level + 1
