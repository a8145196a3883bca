"""`curl` for the tests of the documentation, with the options that the pages use. A refused request fails the command,
unless its status is what the command prints (`-w`).

It replaces the words that stand for a value (HANDLE, CODE, TOKEN …) by values from earlier responses, as a reader does.
It uses only the standard library and nothing of Passgate.
"""

import base64
import hmac
import http.client
import json
import os
import re
import struct
import sys
import time
from pathlib import Path
from typing import Any

LETTERS = (
    "HANDLE",
    "CODE",
    "TOKEN",
    "ACCESS_TOKEN",
    "REFRESH_TOKEN",
    "USED_TOKEN",
    "USER_ID",
    "TENANT_ID",
    "SESSION_ID",
    "INVITATION_ID",
    "INVITATION",
    "APP_CODE",
    "BACKUP_CODE",
)
STORE = Path(os.environ["DOCS_ANSWERS"])


def learned(known: dict[str, Any], answer: Any) -> None:
    """Remember the values that a reader would copy from this response."""
    if isinstance(answer, list):
        code = next((mail["code"] for mail in answer if isinstance(mail, dict) and mail.get("code")), None)
        known.update({"CODE": code} if code else {})
        links = (str(mail.get("link") or "").rpartition("/") for mail in answer if isinstance(mail, dict))
        invited = next((token for path, _, token in links if path.endswith("/invitation")), None)
        known.update({"INVITATION": invited} if invited else {})
        return
    if not isinstance(answer, dict):
        return
    if answer.get("refresh_token") and known.get("REFRESH_TOKEN"):
        known["USED_TOKEN"] = known["REFRESH_TOKEN"]
    tokens = (("token", "TOKEN"), ("access_token", "ACCESS_TOKEN"), ("refresh_token", "REFRESH_TOKEN"))
    for key, word in (("handle", "HANDLE"), *tokens):
        known.update({word: answer[key]} if answer.get(key) else {})
    for key, word in (("user", "USER_ID"), ("tenant", "TENANT_ID"), ("session", "SESSION_ID")):
        if isinstance(answer.get(key), dict):
            known[word] = answer[key]["id"]
    if "inviter" in answer:
        known["INVITATION_ID"] = answer["id"]
    if "disabled" in answer:
        known["USER_ID"] = answer["id"]
    secret = answer.get("secret") or (answer.get("challenge") or {}).get("secret")
    if secret:
        known["APP_CODE"] = app_code(secret)
    if answer.get("codes"):
        known["BACKUP_CODE"] = answer["codes"][0]


def app_code(secret: str) -> str:
    """The current code of an authenticator app (RFC 6238)."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.digest(key, struct.pack(">Q", int(time.time()) // 30), "sha1")
    place = digest[-1] & 15
    return f"{(int.from_bytes(digest[place : place + 4]) & 0x7FFFFFFF) % 1_000_000:06d}"


def main(argv: list[str]) -> int:
    store = json.loads(STORE.read_text()) if STORE.exists() else {"known": {}, "last": None}
    known = store["known"]
    missing = {word for text in argv for word in re.findall(r"\b[A-Z][A-Z_]+\b", text) if word in LETTERS} - set(known)
    if missing:
        sys.exit(f"curl: nothing has said yet what {sorted(missing)} is")
    argv = [re.sub(r"\b[A-Z][A-Z_]+\b", lambda found: str(known.get(found[0], found[0])), text) for text in argv]
    method, url, body, headers, outputs = "", "", None, {"Accept": "*/*"}, dict[str, str]()
    rest = iter(argv)
    for word in rest:
        match word:
            case "-s" | "-sS" | "-S":
                pass
            case "-X":
                method = next(rest)
            case "-d":
                body = next(rest)
            case "-o" | "-w":
                outputs[word] = next(rest)
            case "-H":
                name, _, value = next(rest).partition(":")
                headers[name.strip()] = value.strip()
            case _ if word.startswith("-") or url:
                sys.exit(f"curl: {word} is not known here")
            case _:
                url = word
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection("127.0.0.1", int(host.partition(":")[2]), timeout=30)
    connection.request(method or ("GET" if body is None else "POST"), f"/{path}", body, {"Host": host, **headers})
    answer = connection.getresponse()
    text = answer.read().decode()
    Path(outputs["-o"]).write_text(text) if "-o" in outputs else print(text)
    print(outputs.get("-w", "").replace("%{http_code}", str(answer.status)).replace("\\n", "\n"), end="")
    if answer.status >= 400 and "-w" not in outputs:
        sys.exit(f"curl: {answer.status} {url}\n{text}")
    if "json" in answer.getheader("Content-Type", ""):
        store["last"] = json.loads(text)
        learned(known, store["last"])
    STORE.write_text(json.dumps(store))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
