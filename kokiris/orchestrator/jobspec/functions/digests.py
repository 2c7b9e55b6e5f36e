"""Functions of hashes, keys and ids."""

from __future__ import annotations

import base64
import binascii
import hashlib
import uuid

from kokiris.orchestrator.jobspec.values import Value, ValueProblem, to_string

_NAMESPACES = {
    "dns": uuid.NAMESPACE_DNS,
    "url": uuid.NAMESPACE_URL,
    "oid": uuid.NAMESPACE_OID,
    "x500": uuid.NAMESPACE_X500,
}


def _bytes(text: Value) -> bytes:
    return to_string(text).encode("utf-8", "surrogatepass")


def md5(text: Value) -> Value:
    """In hexadecimal."""
    return hashlib.md5(_bytes(text), usedforsecurity=False).hexdigest()


def sha1(text: Value) -> Value:
    """In hexadecimal."""
    return hashlib.sha1(_bytes(text), usedforsecurity=False).hexdigest()


def sha256(text: Value) -> Value:
    """In hexadecimal."""
    return hashlib.sha256(_bytes(text)).hexdigest()


def sha512(text: Value) -> Value:
    """In hexadecimal."""
    return hashlib.sha512(_bytes(text)).hexdigest()


def bcrypt(_text: Value, *_cost: Value) -> Value:
    """Refused: nothing we stand on computes it."""
    raise ValueProblem("bcrypt is not available in this version; hash the password beforehand and pass the result")


def rsadecrypt(ciphertext: Value, private_key: Value) -> Value:
    """The text encrypted with PKCS #1 v1.5 for this key (PEM)."""
    # Imported here: every start of the command line would pay for it, and hardly a job file calls this function.
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(_bytes(private_key), None)
        data = base64.b64decode(to_string(ciphertext), validate=True)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueProblem("the key is not an RSA key")
        return key.decrypt(data, padding.PKCS1v15()).decode()
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm):
        raise ValueProblem("key or text cannot be used") from None


def uuidv4() -> Value:
    """A new one each time."""
    return str(uuid.uuid4())


def uuidv5(namespace: Value, name: Value) -> Value:
    """The id of a name in a namespace: dns, url, oid, x500 or a UUID."""
    text = to_string(namespace)
    try:
        space = _NAMESPACES.get(text) or uuid.UUID(text)
    except ValueError:
        raise ValueProblem(f'"{text[:60]}" is no namespace: dns, url, oid, x500 or a UUID') from None
    return str(uuid.uuid5(space, to_string(name)))


FUNCTIONS = {
    "bcrypt": bcrypt,
    "md5": md5,
    "rsadecrypt": rsadecrypt,
    "sha1": sha1,
    "sha256": sha256,
    "sha512": sha512,
    "uuidv4": uuidv4,
    "uuidv5": uuidv5,
}
