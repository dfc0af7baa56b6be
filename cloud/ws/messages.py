"""What the server says besides the state of vehicles."""

from pydantic_core import to_json

PONG = '{"op":"pong"}'


def hello_message(now_ms: int, version: str) -> str:
    return to_json({"op": "hello", "server_ms": now_ms, "version": version}).decode()


def error_message(title: str, detail: str, subscription_id: int | None = None) -> str:
    about = {} if subscription_id is None else {"id": subscription_id}
    return to_json({"op": "error", **about, "problem": {"title": title, "detail": detail}}).decode()
