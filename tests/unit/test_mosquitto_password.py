"""Mosquitto's password file: whom it names, and that it stays as it is while nothing changes."""

import base64
import hashlib

from cloud.access.mosquitto_password import password_hash, with_user, with_vehicles


def test_hash_is_what_mosquitto_passwd_writes() -> None:
    salt = bytes(range(12))
    _, kind, rounds, written_salt, digest = password_hash("secret", salt).split("$")
    assert (kind, rounds, base64.b64decode(written_salt)) == ("7", "101", salt)
    assert base64.b64decode(digest) == hashlib.pbkdf2_hmac("sha512", b"secret", salt, 101)


def test_user_whose_password_holds_is_left_alone() -> None:
    text = with_user("", "fleetwire", "secret")
    assert with_user(text, "fleetwire", "secret") == text
    changed = with_user(text, "fleetwire", "other")
    assert changed != text
    assert with_user(changed, "fleetwire", "other") == changed


def test_vehicles_are_those_given_and_no_others() -> None:
    text = with_user("gone:x\n", "fleetwire", "secret")
    vehicles = [("truck-1", password_hash("a")), ("truck-2", password_hash("b"))]
    written = with_vehicles(text, vehicles, keep="fleetwire")
    assert [line.partition(":")[0] for line in written.splitlines()] == ["fleetwire", "truck-1", "truck-2"]
    assert with_vehicles(written, vehicles, keep="fleetwire") == written


def test_vehicle_that_would_be_somebody_else_is_left_out() -> None:
    text = with_user("", "fleetwire", "secret")
    assert with_vehicles(text, [("fleetwire", "x"), ("truck:1", "y")], keep="fleetwire") == text
