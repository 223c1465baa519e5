# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The self-signed certificate of reverse proxies."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# The wildcard has two labels before "localhost": TLS clients refuse a wildcard directly below a top-level domain.
HOSTS = ("*.p1.localhost", "localhost")
LOOPBACK = ip_address("127.0.0.1")


class Certificate:
    """A certificate, which is loaded when the first reverse proxy opens."""

    def __init__(self, directory: Path) -> None:
        self.ca_file = directory / "ca.pem"
        self._key_file = directory / "ca.key"
        self._context: ssl.SSLContext | None = None
        self._write()

    def context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(self.ca_file, self._key_file)
        return self._context

    def _write(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "remoteit.fleet simulator")])
        now = datetime.now(timezone.utc)
        usage = x509.KeyUsage(True, False, False, False, False, True, False, False, False)
        names = [*(x509.DNSName(host) for host in HOSTS), x509.IPAddress(LOOPBACK)]
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(identifier, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .sign(key, hashes.SHA256())
        )
        self._key_file.touch(mode=0o600)
        pem = serialization.Encoding.PEM
        form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        self._key_file.write_bytes(key.private_bytes(pem, form, plain))
        self.ca_file.write_bytes(certificate.public_bytes(pem))
