"""The address that clients connect to, checked before Envoy is told of it."""

import socket

from svc.kernel.errors import StartError


def free_address(host: str, port: int) -> tuple[str, int]:
    """The address as numbers, with a free port in place of port 0. Raises StartError when it cannot be listened on.

    Envoy itself would only say so in its log, and late. The socket has SO_REUSEADDR, so connections that a former process
    left in TIME_WAIT do not count, but not SO_REUSEPORT, so a listener of anybody does.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
            ours = probe.getsockname()
            return str(ours[0]), int(ours[1])
    except OSError as error:
        other = port + 1 if 0 < port < 65535 else 8081
        raise StartError(
            f"cannot listen on {host}:{port} ({error.strerror}): stop what listens there, or set STONECHAT_LISTEN to another "
            f"address, such as http://{host}:{other}"
        ) from error
