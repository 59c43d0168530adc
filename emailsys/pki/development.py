"""The folder of the development CA: create missing files, and renew certificates that are invalid or expire soon."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from emailsys.pki.certificates import (
    PrivateKey,
    alternative_names,
    issue,
    new_authority,
    new_key,
    read_certificate,
    read_key,
    same_key,
)
from emailsys.pki.recipe import KEY_KINDS, PKIError, Recipe, ServerRecipe, read_recipe


@dataclass(frozen=True, slots=True)
class IssuedFiles:
    """The files of a certificate chain and its key, PEM; `kind` is "rsa" or "ecdsa"."""

    kind: str
    chain: Path
    key: Path


@dataclass(frozen=True, slots=True)
class DevelopmentPKI:
    """The files of the development CA and of the server certificates that it issued, RSA first."""

    authority: Path
    authority_key: Path
    certificates: tuple[IssuedFiles, ...]
    #: The files that were written by this call.
    written: tuple[Path, ...] = ()


def _write(path: Path, octets: bytes, mode: int) -> None:
    """Write a file atomically. It is on disk when this returns."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _make_folder(folder: Path, mode: int = 0o700) -> None:
    """Create a folder with a mode, and missing parents by the umask. They are on disk when this returns."""
    if not folder.is_dir():
        _make_folder(folder.parent, 0o777)
        folder.mkdir(mode=mode, exist_ok=True)
        _sync_folder(folder.parent)


def _read_authority(folder: Path, stem: str) -> tuple[x509.Certificate, PrivateKey] | None:
    """Return an authority with its key, None if the folder has no certificate of it.

    @raise PKIError: one of the two is damaged, or the key is missing or of another authority.
    """
    path, key_path = folder / f"{stem}.pem", folder / f"{stem}.key"
    key = read_key(key_path)
    if not path.exists():
        return None
    if key is None:
        # People may have configured their programs to trust this authority: it is never replaced silently.
        raise PKIError(f"{key_path}: the key of {path.name} is missing. Remove {path}, and a new authority is created")
    certificate = read_certificate(path)
    if not same_key(certificate, key):
        raise PKIError(f"{key_path}: does not belong to {path.name}. Remove both, and a new authority is created")
    return certificate, key


class _Issuer:
    """Issues certificates into a folder: keeps those that are current, creates the others, records what it wrote."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self.folder, self.now = folder, now
        self.written: list[Path] = []
        try:
            _make_folder(folder)
        except OSError as error:
            raise PKIError(f"{folder}: the folder for certificates cannot be created: {error.strerror}") from error

    def save(self, path: Path, octets: bytes, mode: int) -> None:
        try:
            _write(path, octets, mode)
        except OSError as error:
            raise PKIError(f"{path}: cannot be written: {error.strerror}") from error
        self.written.append(path)

    def key(self, path: Path, name: str) -> PrivateKey:
        """Return the existing key, else create one.

        A renewed certificate keeps its key, so that a crash between two writes leaves a matching pair.
        """
        key = read_key(path)
        if key is None:
            key = new_key(name)
            encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            self.save(path, key.private_bytes(*encoding), 0o600)
        return key

    def certificate(self, path: Path, certificate: x509.Certificate) -> None:
        self.save(path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)

    def authority(self, stem: str, recipe: Recipe, name: str) -> tuple[x509.Certificate, PrivateKey]:
        found = _read_authority(self.folder, stem)
        if found is not None:
            certificate, key = found
            left = certificate.not_valid_after_utc - self.now
            # If it was issued while the clock was ahead, no client accepts it.
            if certificate.not_valid_before_utc <= self.now and left > timedelta(days=recipe.server.renew_before):
                return found
        else:
            key = self.key(self.folder / f"{stem}.key", recipe.authority_key)
        certificate = new_authority(name, recipe.authority_days, key, self.now)
        self.certificate(self.folder / f"{stem}.pem", certificate)
        return certificate, key

    def server(
        self,
        stem: str,
        recipe: ServerRecipe,
        names: Iterable[str],
        authority: tuple[x509.Certificate, PrivateKey],
        renew: bool,
    ) -> tuple[IssuedFiles, ...]:
        wanted = alternative_names(recipe, names)
        issued = []
        for name in recipe.keys:
            kind = KEY_KINDS[name]
            files = IssuedFiles(kind, self.folder / f"{stem}-{kind}.pem", self.folder / f"{stem}-{kind}.key")
            key = self.key(files.key, name)
            if renew or not self._is_current(files.chain, key, wanted, authority[0], recipe.renew_before):
                self.certificate(files.chain, issue(recipe, wanted, key, *authority, self.now))
            issued.append(files)
        return tuple(issued)

    def _is_current(
        self, path: Path, key: PrivateKey, wanted: list[x509.GeneralName], authority: x509.Certificate, spare_days: int
    ) -> bool:
        """Whether a certificate is ours, for this key and these names, and not near its end."""
        try:
            certificate = read_certificate(path)
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            certificate.verify_directly_issued_by(authority)
        except (PKIError, x509.ExtensionNotFound, InvalidSignature, ValueError, TypeError):
            return False
        return (
            same_key(certificate, key)
            and set(names) == set(wanted)
            and certificate.not_valid_before_utc <= self.now
            and certificate.not_valid_after_utc - self.now > timedelta(days=spare_days)
        )


def ensure_development_ca(
    folder: Path,
    names: Iterable[str] = (),
    *,
    recipe: Recipe | None = None,
    now: datetime | None = None,
    renew: bool = False,
) -> DevelopmentPKI:
    """Create or renew the development CA and its server certificates in a folder, if necessary. Keys are kept.

    @param names: host names and IP addresses in addition to those of the recipe.
    @param renew: issue the server certificates in any case.
    @raise PKIError: the folder cannot be written, or the CA in it is damaged.
    """
    recipe = read_recipe() if recipe is None else recipe
    issuer = _Issuer(folder, datetime.now(UTC) if now is None else now)
    authority = issuer.authority("ca", recipe, recipe.authority_name)
    certificates = issuer.server("server", recipe.server, names, authority, renew)
    return DevelopmentPKI(folder / "ca.pem", folder / "ca.key", certificates, tuple(issuer.written))


def find_damage(folder: Path) -> str | None:
    """Return why `ensure_development_ca` would fail on the files in a folder, None if it would not. Writes nothing."""
    try:
        _read_authority(folder, "ca")
        for kind in KEY_KINDS.values():
            read_key(folder / f"server-{kind}.key")
    except PKIError as error:
        return str(error)
    return None


def make_variant(
    folder: Path, variant: str, *, recipe: Recipe | None = None, now: datetime | None = None
) -> tuple[IssuedFiles, ...]:
    """Create the faulty certificates that the recipe describes under a name, for tests and demonstrations.

    The development CA of the folder signs them, or a separate authority if the recipe names one.

    @raise PKIError: the recipe has no such variant.
    """
    recipe = read_recipe() if recipe is None else recipe
    if variant not in recipe.variants:
        raise PKIError(f"the recipe has no variant {variant!r}; it has {', '.join(recipe.variants)}")
    server = recipe.variants[variant]
    issuer = _Issuer(folder, datetime.now(UTC) if now is None else now)
    if server.authority:
        authority = issuer.authority(f"{variant}-ca", recipe, server.authority)
    else:
        authority = issuer.authority("ca", recipe, recipe.authority_name)
    return issuer.server(variant, server, (), authority, renew=True)
