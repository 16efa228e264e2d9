# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's own certificate authority, and the keys of its control plane. Made once for a lab."""

from __future__ import annotations

import datetime
import ipaddress
import pathlib
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from ..folder import write_private
from ..ports import HOST

CA, SERVER, SERVER_KEY, ACCOUNTS_KEY = "ca.crt", "server.crt", "server.key", "accounts.key"
_LASTS = datetime.timedelta(days=3650)
_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


def ensure(place: pathlib.Path) -> None:
    """Write the files that are missing. The key of the authority is not kept: it signs one certificate."""
    if all((place / name).exists() for name in (CA, SERVER, SERVER_KEY, ACCOUNTS_KEY)):
        return
    signer = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tradeops lab")])
    authority = _certificate(issuer, signer.public_key(), issuer).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tradeops lab kubernetes")])
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in _NAMES]
    names.append(x509.IPAddress(ipaddress.ip_address(HOST)))
    server = (
        _certificate(subject, key.public_key(), issuer)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    # Service account tokens are signed with RSA, which every version of Kubernetes takes.
    accounts = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    write_private(place / ACCOUNTS_KEY, _pem(accounts))
    write_private(place / SERVER_KEY, _pem(key))
    write_private(place / SERVER, _signed(server, signer))
    write_private(place / CA, _signed(authority, signer))


def client_context(place: pathlib.Path) -> ssl.SSLContext:
    """What trusts the servers of the lab and no others."""
    return ssl.create_default_context(cafile=place / CA)


def server_context(place: pathlib.Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place / SERVER, place / SERVER_KEY)
    return context


def _certificate(subject: x509.Name, key: ec.EllipticCurvePublicKey, issuer: x509.Name) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + _LASTS)
    )


def _signed(certificate: x509.CertificateBuilder, signer: ec.EllipticCurvePrivateKey) -> str:
    return certificate.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
