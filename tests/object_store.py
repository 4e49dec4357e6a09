"""An S3 server on loopback for tests: moto's, behind a front that counts, delays, refuses and cuts off."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

Environ = dict[str, Any]
BUCKET = "bucket"
_ERRORS = {
    "500": ("500 Internal Server Error", "InternalError"),
    "503": ("503 Slow Down", "SlowDown"),
    "403": ("403 Forbidden", "AccessDenied"),
}


class Store:
    """The server: `requests` lists (method, path, query), `fault` says what to do to one, by its number."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str]] = []
        self.fault: Callable[[int, str, str], str | None] = lambda number, method, path: None
        """None, "500", "503", "403", "slow" (an answer after 2 s), "silent" (40 s) or "cut"."""
        self.endpoint = ""
        self.faults: Counter[str] = Counter()
        self._backend = DomainDispatcherApplication(create_backend_app)

    def objects(self, prefix: str = "") -> list[str]:
        """Names of the bucket's objects below a prefix."""
        from moto.s3.models import s3_backends

        keys = s3_backends["123456789012"]["aws"].buckets[BUCKET].keys
        return sorted(name for name in keys if name.startswith(prefix))

    def bytes_of(self, name: str) -> bytes:
        from moto.s3.models import s3_backends

        return bytes(s3_backends["123456789012"]["aws"].buckets[BUCKET].keys[name].value)

    def counts(self) -> Counter[str]:
        """Requests as stores price them: PUT (with POST and LIST apart), GET, HEAD, LIST, DELETE."""
        return Counter(
            "LIST" if method == "GET" and "list-type" in query else method
            for method, _, query in self.requests
        )

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests.append((method, path, environ.get("QUERY_STRING", "")))
        fault = self.fault(len(self.requests), method, path)
        if fault is None:
            return self._backend(environ, start_response)  # type: ignore[no-any-return]
        self.faults[fault] += 1
        if fault in _ERRORS:
            status, code = _ERRORS[fault]
            body = f"<Error><Code>{code}</Code><Message>secret-key-id</Message></Error>".encode()
            start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [body]
        if fault in ("slow", "silent"):
            time.sleep(2 if fault == "slow" else 40)
            return self._backend(environ, start_response)  # type: ignore[no-any-return]
        return self._cut(environ, start_response)

    def _cut(self, environ: Environ, start_response: Callable[..., Any]) -> Iterator[bytes]:
        """Half of the answer's body, then the connection is dropped."""
        body = b"".join(self._backend(environ, start_response))
        yield body[: len(body) // 2]
        environ["werkzeug.socket"].shutdown(2)


@contextmanager
def serving() -> Iterator[Store]:
    """A server with one empty bucket, on a free port."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    store = Store()
    server = make_server("127.0.0.1", 0, store, threaded=True)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    store.endpoint = f"http://127.0.0.1:{server.server_port}"
    _reset_and_make_bucket()
    try:
        yield store
    finally:
        server.shutdown()


def _reset_and_make_bucket() -> None:
    from moto.s3.models import s3_backends

    backend = s3_backends["123456789012"]["aws"]
    backend.reset()
    backend.create_bucket(BUCKET, "us-east-1")
