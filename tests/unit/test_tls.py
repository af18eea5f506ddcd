"""The throwaway authority and certificate: that they are what clients will check, and that the key stays private."""

from __future__ import annotations

import os
import ssl
import stat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from pg_ephemeral.errors import InvalidValue, ServerError
from pg_ephemeral.postgres.tls import Certificates

HOST = "postgresql.example.com"


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates.issue(HOST)


def extension(certificate: x509.Certificate, kind):
    return certificate.extensions.get_extension_for_class(kind).value


# acceptance: 141
def test_the_authority_may_sign_one_level_of_certificates(certificates):
    authority = x509.load_pem_x509_certificate(certificates.ca_pem.encode())
    constraints = extension(authority, x509.BasicConstraints)
    assert constraints.ca
    assert constraints.path_length == 0
    usage = extension(authority, x509.KeyUsage)
    assert usage.key_cert_sign
    assert usage.crl_sign
    assert authority.issuer == authority.subject
    assert authority.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)[0].value == "pg-ephemeral CA"
    authority.verify_directly_issued_by(authority)


# acceptance: 141
def test_the_certificate_is_for_the_host_and_signed_by_the_authority(certificates):
    authority = x509.load_pem_x509_certificate(certificates.ca_pem.encode())
    server = x509.load_pem_x509_certificate(certificates.cert_pem.encode())
    assert server.issuer == authority.subject
    server.verify_directly_issued_by(authority)
    assert not extension(server, x509.BasicConstraints).ca
    assert extension(server, x509.SubjectAlternativeName).get_values_for_type(x509.DNSName) == [HOST]
    assert x509.oid.ExtendedKeyUsageOID.SERVER_AUTH in extension(server, x509.ExtendedKeyUsage)
    assert server.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "pg-ephemeral server"


# acceptance: 141
def test_the_key_is_the_certificates(certificates):
    server = x509.load_pem_x509_certificate(certificates.cert_pem.encode())
    key = serialization.load_pem_private_key(certificates.key_pem.encode(), password=None)
    assert key.public_key() == server.public_key()


def test_an_address_is_named_as_one():
    server = x509.load_pem_x509_certificate(Certificates.issue("127.0.0.1").cert_pem.encode())
    names = extension(server, x509.SubjectAlternativeName)
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_each_authority_is_another(certificates):
    other = Certificates.issue(HOST)
    assert other.ca_pem != certificates.ca_pem
    assert other.key_pem != certificates.key_pem


@pytest.mark.parametrize(
    ("hostname", "kind"),
    [("", "empty"), ("a b", "invalid-label"), ("*.example.com", "invalid-label"), ("xn--a", "invalid-label")],
)
def test_a_certificate_needs_a_host_name(hostname, kind):
    with pytest.raises(InvalidValue) as caught:
        Certificates.issue(hostname)
    assert caught.value.kind == kind


def test_repr_does_not_show_the_key(certificates):
    assert "PRIVATE KEY" in certificates.key_pem
    assert "PRIVATE KEY" not in repr(certificates)
    assert certificates.key_pem.splitlines()[1] not in repr(certificates)


def test_write(certificates, tmp_path):
    (tmp_path / "server.key").write_text("old")
    before = os.umask(0)
    try:
        certificates.write(tmp_path)
    finally:
        os.umask(before)
    written = {path.name: (path.read_text(), stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.iterdir()}
    assert written == {
        "root.crt": (certificates.ca_pem, 0o644),
        "server.crt": (certificates.cert_pem, 0o644),
        "server.key": (certificates.key_pem, 0o600),
    }


def test_write_names_what_it_cannot_write(certificates, tmp_path):
    with pytest.raises(ServerError, match=r"^cannot write .*/missing/root\.crt: No such file or directory$"):
        certificates.write(tmp_path / "missing")


def handshake(client_context: ssl.SSLContext, server_context: ssl.SSLContext, hostname: str) -> None:
    """A TLS handshake in memory; raises what the client finds wrong."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=hostname)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    pending = [client, server]
    while pending:
        end = pending.pop(0)
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pending.append(end)


def test_a_client_that_checks_everything_is_content(certificates, tmp_path):
    certificates.write(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    handshake(ssl.create_default_context(cafile=tmp_path / "root.crt"), server, HOST)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(ssl.create_default_context(cafile=tmp_path / "root.crt"), server, "other.example.com")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"unable to get local issuer|self-signed certificate"):
        handshake(ssl.create_default_context(cadata=Certificates.issue(HOST).ca_pem), server, HOST)
