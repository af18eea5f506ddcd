"""SCRAM, both sides of it, held against the RFC's own exchange and against a real server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from pathlib import Path

import pytest

from pg_ephemeral import Definition, boot
from pg_ephemeral.errors import ClientError
from pg_ephemeral.postgres import client
from pg_ephemeral.postgres.names import quote_identifier, quote_literal, random_password
from pg_ephemeral.postgres.scram import Proof, verifier


def test_it_verifies_the_exchange_of_rfc_7677() -> None:
    nonce, salt = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "W22ZaJ0SNY7soEsUEjb6gQ=="
    exchange = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s={salt},i=4096,c=biws,r={nonce}".encode()
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    made = verifier("pencil", base64.b64decode(salt))
    found = re.fullmatch(r"SCRAM-SHA-256\$4096:(.+)\$(.+):(.+)", made)
    assert found is not None
    assert found[1] == salt
    stored, server = base64.b64decode(found[2]), base64.b64decode(found[3])
    signature = hmac.digest(stored, exchange, "sha256")
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    assert hashlib.sha256(client_key).digest() == stored
    assert base64.b64encode(hmac.digest(server, exchange, "sha256")) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


class TestProof:
    """The exchange of RFC 7677, section 3, without the user's name, which PostgreSQL ignores."""

    NONCE = "rOprNGfwEbeRWgbNEkqO"
    CHALLENGE = f"r={NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"

    def test_it_shows_that_the_password_is_known(self) -> None:
        proof = Proof("pencil", self.NONCE)
        assert proof.first() == f"n,,n=,r={self.NONCE}"
        unproven, _, text = proof.final(self.CHALLENGE).partition(",p=")
        assert unproven == f"c=biws,{self.CHALLENGE.partition(',')[0]}"
        salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
        stored, server = (base64.b64decode(part) for part in verifier("pencil", salt).split("$")[2].split(":"))
        signed = f"n=,r={self.NONCE},{self.CHALLENGE},{unproven}".encode()
        mask = hmac.digest(stored, signed, "sha256")
        key = bytes(one ^ other for one, other in zip(base64.b64decode(text), mask, strict=True))
        assert hashlib.sha256(key).digest() == stored
        proof.check("v=" + base64.b64encode(hmac.digest(server, signed, "sha256")).decode())
        with pytest.raises(ClientError, match="does not know the password"):
            proof.check("v=" + base64.b64encode(hmac.digest(server, b"else", "sha256")).decode())

    @pytest.mark.parametrize(
        "challenge", ["", "r=other,s=c2FsdA==,i=4096", f"r={NONCE}x,s=c2FsdA==,i=0", f"r={NONCE}x,s=???,i=1", "e=no"]
    )
    def test_a_challenge_that_makes_no_sense(self, challenge: str) -> None:
        with pytest.raises(ClientError, match="challenge"):
            Proof("pencil", self.NONCE).final(challenge)


def test_salt_iterations_and_password_count() -> None:
    made = {
        verifier("a", b"salt"),
        verifier("b", b"salt"),
        verifier("a", b"tlas"),
        verifier("a", b"salt", iterations=1),
    }
    assert len(made) == 4


def test_a_password_that_would_need_normalising_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        verifier("ü", b"salt")


@pytest.mark.needs("embedded")
def test_a_server_takes_it_as_its_own(warm_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By logging in, and by the text that libpq's own function (PQencryptPassword) makes of the same salt."""
    monkeypatch.setenv("PG_EPHEMERAL_CACHE_DIR", str(warm_cache))
    password, role = random_password(), 'it\'s "me"'
    with boot(Definition()) as server:
        with client.connect(server.conninfo) as admin:
            secret = quote_literal(verifier(password, b"0123456789abcdef"))
            admin.execute(f"CREATE ROLE {quote_identifier(role)} LOGIN PASSWORD {secret}")
            ours = admin.rows("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (role,))[0][0]
            assert ours == secret.strip("'")
            theirs = admin.raw.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        salt = base64.b64decode(theirs.split("$")[1].partition(":")[2])
        assert verifier(password, salt) == theirs
        with server.connect(user=role, password=password) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (role,)
        with pytest.raises(Exception, match="password authentication failed"):
            server.connect(user=role, password=password + "x")
