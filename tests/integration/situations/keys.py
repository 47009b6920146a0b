"""Private keys in the forms that people have, and what is no usable key, in the fields of a connection."""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import quote_plus

from airflow_okta_workflows.core.keys.encodings import decode_text
from airflow_okta_workflows.core.keys.generation import pem_of
from tests.integration.situations.stage import Act, Stage, each, refused, taken
from tests.unit.core.keys.key_forms import (
    AROUND,
    EC,
    ENCODINGS,
    FOR_PEM,
    JWK,
    PASSPHRASE,
    PRINTED,
    RSA,
    RSA_JWK,
    TEXTS,
    WRITTEN,
    Format,
    body,
    certificate_pem,
    der,
    p12,
    pem,
    relabelled,
    rounds_of,
)
from tests.unit.core.keys.test_parsing import BROKEN
from tests.unit.core.keys.test_unusable_keys import DERIVATIONS, ENCRYPTED, OTHER_THINGS, PATHS, TWO, element


def pasted(*keys: Any, kid: str | None = "rsa", **extra: Any) -> list[Act]:
    """Return a form for each key, pasted into Private key (Password)."""
    return each(lambda stage, key: stage.obtain_token(key, kid=kid, **extra), keys)


def in_files(*contents: str | bytes, kid: str = "rsa", **extra: Any) -> list[Act]:
    """Return a form for each key in a file that key_file names."""
    return each(lambda stage, content: stage.obtain_token(kid=kid, key_file=stage.file(content), **extra), contents)


def elsewhere(*fields: dict[str, Any]) -> list[Act]:
    """Return a form for each set of fields of the connection, which has its own key, too."""
    return each(lambda stage, one: stage.obtain_token(json.dumps(stage.org.private_jwk), **one), fields)


def mangled(*names: str) -> list[str]:
    """Return a key as PEM in each of these encodings."""
    return [(ENCODINGS | FOR_PEM)[name](TEXTS["PKCS#8"]) for name in names]


def other(*names: str) -> list[Act]:
    """Return a form for each of these things that are no usable key."""
    return pasted(*((OTHER_THINGS | BROKEN)[name][0] for name in names), kid=None)


PUBLIC = ("kty", "kid", "n", "e")
_TOO_MANY_ROUNDS = base64.b64encode(element(0x30, DERIVATIONS["PBKDF2"](2**31), element(4, b"x" * 64))).decode()
UNLOCK = {"key_passphrase": PASSPHRASE}
ENCODED = {
    "A PEM that was URL-encoded, once or twice, or whose `+` and newlines became spaces": (
        "URL-encoded", "URL-encoded, in small letters", "URL-encoded in part", "URL-encoded twice", "URL-encoded as a form",
        "pluses became spaces", "pluses and newlines became spaces", "spaces became pluses",
    ),
    "A PEM in base64, once or twice, or as a data URL": (
        "base64, twice", "base64, URL-encoded", "base64 of a URL-encoded one", "a data URL",
    ),
    "A PEM as a string of JSON or Python: with `\\n`, quotes, or the escapes of Unicode or HTML": (
        "a string of JSON", "a string of JSON, twice", "bytes of Python", "Unicode escapes", "HTML", "a continued line",
        "single quotes", "typographic quotes",
    ),
    "A line of an env file or of YAML with the key in it, or a key with comments or bag attributes": (
        "an assignment", "an exported assignment", "an assignment of base64", "YAML of base64", "an indented block of YAML",
        "a comment before it", "bag attributes before it", "headers in it",
    ),
    "A PEM that lost its newlines, spaces, backslashes or last dashes, or that has invisible characters": (
        "backslashes lost", "dashes became typographic", "the last dashes lost", "no spaces at all", "invisible characters",
    ),
    "A PEM in UTF-16, or with a byte order mark, read as another encoding": (
        "UTF-16 read as Latin-1", "UTF-16 read as UTF-8", "UTF-8 with a mark read as Latin-1", "base64 of UTF-16",
    ),
}  # fmt: skip
"""Encodings of ``key_forms``, each under the name of a situation."""

WITHIN = {
    "A secret of Vault, AWS, Google or Kubernetes with the key in it": (
        "Vault, version 2", "Vault, version 1", "AWS", "AWS, the key alone", "Google", "Kubernetes",
    ),
    "Other JSON with one private key in it, such as the configuration of an SDK of Okta's": (
        "Okta's SDK", "a certificate store", "a list", "the same key twice",
    ),
}  # fmt: skip
"""What may be around a key, each under the name of a situation."""

KEYS = [
    taken(
        "PKCS#8, PKCS#1 or SEC1 under a label of another form, also if only the first line has it",
        [
            *pasted(relabelled(pem(RSA), "RSA PRIVATE KEY"), relabelled(pem(RSA), "RSA PRIVATE KEY", "PRIVATE KEY"),
                    relabelled(pem(RSA, Format.TraditionalOpenSSL), "PRIVATE KEY")),
            *pasted(relabelled(pem(EC, Format.TraditionalOpenSSL), "PRIVATE KEY"), relabelled(pem(EC), "KEY"), kid="ec"),
        ],
        "Used",
    ),
    taken(
        "An encrypted key under any label, as its base64 alone, as DER, or in JSON; with `key_passphrase`",
        [
            *pasted(relabelled(pem(RSA, passphrase=PASSPHRASE), "RSA PRIVATE KEY"), TEXTS["encrypted PKCS#1"],
                    body(pem(RSA, passphrase=PASSPHRASE)), json.dumps({"key": TEXTS["encrypted PKCS#8"]}), **UNLOCK),
            *in_files(der(RSA, passphrase=PASSPHRASE), **UNLOCK),
        ],
        "Used",
    ),
    refused("The same without `key_passphrase`", pasted(*ENCRYPTED.values()), "OKW-1135"),
    refused("The same with another passphrase", pasted(*ENCRYPTED.values(), key_passphrase="wrong"), "OKW-1133"),
    taken("DER, or its base64 without the BEGIN and END lines", [*in_files(der(RSA)), *pasted(body(pem(RSA)))], "Used"),
    taken(
        "A PKCS#12 file (`.p12`, `.pfx`) as `key_file`, or its base64; with `key_passphrase`",
        [*in_files(p12(RSA), **UNLOCK), *pasted(decode_text(p12(RSA)), **UNLOCK)],
        "Used",
    ),
    taken(
        "A key file in UTF-16, UTF-32, UTF-8 with a byte order mark, Latin-1 or Windows-1252",
        in_files(*(write(TEXTS["PKCS#8"]) for write in WRITTEN.values())),
        "Used",
    ),
    taken(
        "A JWK as JSON, also over several lines or in base64",
        pasted(json.dumps(RSA_JWK), json.dumps(RSA_JWK, indent=2), PRINTED["base64 of JSON"](RSA_JWK), kid=None),
        "Used",
    ),
    taken(
        "A JWK as Python prints it, with escaped quotes, or with a comma too many",
        pasted(*(PRINTED[name](JWK) for name in ("Python", "escaped JSON", "a comma too many")), kid=None),
        "Used",
    ),
    taken(
        "A JWK as an object in `private_key` of extra",
        lambda stage: stage.obtain_token(private_key=JWK),
        "Used",
    ),
    *(taken(name, pasted(*mangled(*names)), "Used") for name, names in ENCODED.items()),
    taken(
        "A key in a connection URI, encoded as in a form (`quote_plus`)",
        lambda stage: _from_uri(stage, quote_plus(pem(RSA))),
        "Used",
    ),
    *(
        taken(name, pasted(*(json.dumps(AROUND[one](pem(RSA))) for one in names)), "Used")
        for name, names in WITHIN.items()
    ),
    refused("JSON without a private key", pasted(json.dumps({"data": {"client_secret": "…"}})), "OKW-1112"),
    taken(
        "A JWK set with one private key for signatures, among public ones",
        pasted(json.dumps({"keys": [{name: RSA_JWK[name] for name in PUBLIC}, JWK]}), json.dumps([JWK, {**RSA_JWK, "use": "enc"}]), kid=None),
        "Used",
    ),
    taken(
        "A JWK set with two private keys, and `key_id` is the kid of one",
        pasted(json.dumps({"keys": [JWK, RSA_JWK]}), kid=JWK["kid"]),
        "Used",
    ),
    refused("The same without `key_id`", pasted(TWO["two JWKs"][0], kid=None), "OKW-1116"),
    refused("A key file with the old key and the new one", in_files(TWO["two PEMs"][0]), "OKW-1116"),
    refused("JSON with two different private keys", pasted(TWO["two members"][0]), "OKW-1116"),
    refused("A PEM and a JWK of different keys", in_files(TWO["a PEM and a JWK"][0], TWO["a JWK and a PEM"][0]), "OKW-1116"),
    refused("Two assignments of keys, as in an env file or in YAML", in_files(TWO["two JWKs in YAML"][0], TWO["two assignments of a JWK"][0]), "OKW-1116"),
    taken("The same key in two forms, such as a JWK and its PEM, or PKCS#8 and PKCS#1", [*pasted(json.dumps({"jwk": RSA_JWK, "pem": pem_of(RSA_JWK)}), kid=None), *pasted(TEXTS["PKCS#8"] + TEXTS["PKCS#1"])], "Used"),
    taken("A JWK whose spaces became `+`, as `quote_plus` writes them", pasted(json.dumps(JWK).replace(" ", "+"), kid=None), "Used"),
    taken("A key file with certificates before or behind the key", in_files(certificate_pem() + pem(RSA) + certificate_pem(EC)), "Used"),
    refused("The path of the key file in Private key (Password), or in `private_key`", [
        *pasted(*PATHS), lambda stage: stage.obtain_token(private_key="/opt/airflow/keys/okta.pem"),
    ], "OKW-1114"),
    refused("The key itself in `key_file`", each(lambda stage, key: stage.obtain_token(key_file=key), (pem(RSA), json.dumps(JWK))), "OKW-1102"),
    refused("A key in Host, also as a JWK", elsewhere({"HOST": pem(RSA)}, {"HOST": json.dumps(JWK)}), ""),
    refused("A key in `key_id` or another field of extra", elsewhere({"key_id": pem(RSA)}, {"key_id": json.dumps(JWK)}), ""),
    refused("A key in a member of extra that is not known, or within one", elsewhere({"key_ids": pem(RSA)}, {"key_ids": {"old": [JWK]}}), ""),
    refused('A JWK with `"use": "enc"`', other("a JWK to encrypt"), "OKW-1109"),
    refused('A JWK whose `"key_ops"` have no `"sign"`', other("a JWK to verify"), "OKW-1108"),
    refused("A JWK whose `alg` is one to encrypt with", other("a JWK whose alg encrypts"), "OKW-1105"),
    refused("A JWK whose `alg` is not the connection's `algorithm`", pasted(json.dumps({**RSA_JWK, "alg": "RS512"}), kid=None, algorithm="RS256"), "OKW-1136"),
    refused("A public key, also under the label of a private one", other("a public key under the label of a private one", "the base64 of a public key", "an escaped public key"), "OKW-1123"),
    refused("A certificate, also under the label of a key", other("a certificate under the label of a private key", "the DER of a certificate", "a cut certificate"), "OKW-1122"),
    refused("A key in OpenSSH's own format", other("an OpenSSH key", "an OpenSSH key under another label", "an OpenSSH key in JSON"), "OKW-1130"),
    refused("An Ed25519 key", other("Ed25519"), "OKW-1138"),
    refused("A PEM without its END line", other("no END"), "OKW-1125"),
    refused("A text that is neither a key nor a path", other("not a key", "base64 of a text"), "OKW-1113"),
    taken(
        "A key that is encrypted with many rounds, which is slow; the advice is that of `check` and the Test button",
        lambda stage: _tested(stage, rounds_of(RSA, 250_000)),
        "Used, and it takes long",
    ),
    taken("A JWK of RSA without its primes, which is slow to load", pasted(json.dumps({name: RSA_JWK[name] for name in (*PUBLIC, "d")}), kid=None), "Used"),
    refused("A key that is encrypted with more than 10,000,000 rounds", pasted(_TOO_MANY_ROUNDS, **UNLOCK), "OKW-1127"),
]  # fmt: skip


def _from_uri(stage: Stage, key: str) -> str:
    hook = stage.connect(f"okta-workflows://0oa1b2c3d4:{key}@acme.okta.com")
    assert hook.settings.signing_key.algorithm == "RS256"
    return "Used"


def _tested(stage: Stage, key: str) -> str:
    hook = stage.connect({**stage.org.connection(key_id="rsa", **UNLOCK), "password": key})
    good, text = hook.test_connection()
    assert good
    (stage.advice,) = re.findall(r"Convert the key once .*?key\.pem", text)
    return "Used, and it takes long" if "each process takes long to decrypt it" in text else "Used"
