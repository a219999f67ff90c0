"""The `stonechat` command. Each subcommand imports what it needs: chatting does not load the server."""

import argparse
import asyncio
import os
import sys
from datetime import UTC, datetime

# Before gRPC is imported: Envoy is started by fork and exec, about which gRPC's fork handlers would only complain; and its
# own log would write between the lines of ours.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

from bench.arguments import add_arguments as add_bench_arguments
from stonechat_conformance.arguments import add_arguments as add_conformance_arguments
from svc.capacity.arguments import add_arguments as add_capacity_arguments
from svc.kernel import settings as settings_module
from svc.kernel.errors import StonechatError
from svc.roles import ROLES
from svc.verify.arguments import add_arguments as add_verify_arguments


def _serve(args: argparse.Namespace) -> int:
    import uvloop

    from svc import app
    from svc.kernel.telemetry import start_logging

    settings = settings_module.load()
    start_logging(settings)

    def ready(url: str) -> None:
        print(f"\nStonechat is ready on {url}   data: {settings.data_dir.resolve()}   Ctrl-C stops it")
        if url.startswith("http"):
            print(f"In another terminal:  {sys.argv[0]} chat --user alice\n", flush=True)
        else:
            print(f"It serves {', '.join(args.services)} to the other processes.\n", flush=True)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(app.serve(settings, args.services, ready))
    return 0


def _chat(args: argparse.Namespace) -> int:
    from stonechat_client import terminal

    return asyncio.run(terminal.run(args))


def _conformance(args: argparse.Namespace) -> int:
    from stonechat_conformance.command import conformance

    return asyncio.run(conformance(args))


def _dead_letter(args: argparse.Namespace) -> int:
    from svc import operate

    return asyncio.run(operate.dead_letters(args.action, getattr(args, "id", "")))


def _trace(args: argparse.Namespace) -> int:
    from svc import operate

    return operate.trace(args.message)


def _verify(args: argparse.Namespace) -> int:
    from svc import operate

    return operate.verify(args.data_dir, args.ledgers, args.conversation, args.settled, args.all, args.json)


def _capacity(args: argparse.Namespace) -> int:
    from svc.capacity import tables
    from svc.capacity.model import inputs
    from svc.capacity.sizing import plan

    if args.markdown:
        print(tables.page([plan(inputs(dict(args.inputs) | {"daily_users": users})) for users in (50e6, 200e6)]))
        return 0
    made = plan(inputs(dict(args.inputs)))
    print(tables.terminal(made))
    return 1 if made.trouble else 0


def _bench(args: argparse.Namespace) -> int:
    try:
        from bench.__main__ import start
    except ModuleNotFoundError as error:
        print(
            f"stonechat: bench needs the development set ({error.name} is missing): run `make bench`", file=sys.stderr
        )
        return 1
    return start(args)


def _migrate(args: argparse.Namespace) -> int:
    from svc.migrate import migrate

    return asyncio.run(migrate())


def _partitions(args: argparse.Namespace) -> int:
    from svc import partitions

    return asyncio.run(partitions.grow(args.count) if args.action == "grow" else partitions.show(args.json))


def _replay(args: argparse.Namespace) -> int:
    from svc.replay import replay

    return asyncio.run(replay(args.since))


def _switch(args: argparse.Namespace) -> int:
    from svc import switch

    return asyncio.run(switch.show() if args.action == "list" else switch.turn(args.name, args.action == "on"))


def _settings(args: argparse.Namespace) -> int:
    for name, default, doc in settings_module.table():
        print(f"{name}\n    {doc}\n    default: {default or 'empty'}")
    return 0


def _moment(text: str) -> int | None:
    """µs since 1970; None for the beginning. Without a zone it is UTC."""
    if text == "beginning":
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be `beginning` or a time as 2026-11-25T09:30Z, not {text!r}") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stonechat", description="A chat backend that speaks gRPC first.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    serve = commands.add_parser(
        "serve",
        help="run the whole product in this process, Envoy in front; or the services named, beside other processes",
    )
    serve.add_argument(
        "services",
        nargs="*",
        metavar="SERVICE",
        help=f"of {', '.join(ROLES)}; none: everything. In several processes they need STONECHAT_ZOOKEEPER and what they share",
    )
    serve.set_defaults(run=_serve)

    chat = commands.add_parser("chat", help="chat from this terminal: `stonechat chat --user alice`")
    if "chat" in sys.argv:  # the client library would be a fifth of what a server takes to start
        from stonechat_client import terminal

        terminal.add_arguments(chat)
    chat.set_defaults(run=_chat)

    promises = commands.add_parser(
        "conformance", help="check the promises of a running server: `stonechat conformance http://host:port`"
    )
    add_conformance_arguments(promises)
    promises.set_defaults(run=_conformance)

    letters = commands.add_parser("dead-letter", help="records that could not be processed: list, show, replay")
    letters.set_defaults(run=_dead_letter)
    actions = letters.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="all of them, oldest first")
    for action, what in (("show", "one of them, whole"), ("replay", "send one on its way again; safe to repeat")):
        actions.add_parser(action, help=what).add_argument("id", help="as `list` prints it")

    tables = commands.add_parser(
        "migrate", help="make the tables on Cassandra and MySQL, or lead them to this version; safe to run again"
    )
    tables.set_defaults(run=_migrate)

    parts = commands.add_parser("partitions", help="the partitions of the log: who owns them; more of them")
    parts.set_defaults(run=_partitions)
    actions = parts.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    shown = actions.add_parser("show", help="each with its owner and its share of the shards")
    shown.add_argument("--json", action="store_true", help="for programs")
    grow = actions.add_parser("grow", help="to so many, while everything runs; stopped, the next run goes on")
    grow.add_argument("count", type=int, metavar="N", help="how many partitions there shall be")

    again = commands.add_parser(
        "replay",
        help="write again what the log's records became, while everything runs: it repairs, and changes nothing",
    )
    again.add_argument(
        "--from",
        dest="since",
        type=_moment,
        required=True,
        metavar="TIME",
        help="`beginning` (of the log, which keeps 7 days), or the time of the first record, as 2026-11-25T09:30Z",
    )
    again.set_defaults(run=_replay)

    switch = commands.add_parser("switch", help="what may be left out so that messages go on: list, on, off")
    switch.set_defaults(run=_switch)
    actions = switch.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="every feature, and whether it is switched off by hand")
    for action, what in (("off", "leave a feature out, in all processes"), ("on", "have it again")):
        actions.add_parser(action, help=what).add_argument("name", metavar="NAME", help="as `list` prints it")

    trace = commands.add_parser("trace", help="where the milliseconds of a traced message went, hop by hop")
    trace.add_argument("message", help="a message id `m….…`, or a trace id")
    trace.set_defaults(run=_trace)

    verify = commands.add_parser(
        "verify", help="whether anything was lost, doubled or reordered: replays what is stored and clients' ledgers"
    )
    add_verify_arguments(verify)
    verify.set_defaults(run=_verify)

    capacity = commands.add_parser(
        "capacity", help="how many machines so many users need, on paper: `stonechat capacity daily_users=200e6`"
    )
    add_capacity_arguments(capacity)
    capacity.set_defaults(run=_capacity)

    bench = commands.add_parser("bench", help="load for a server, and what it costs: `stonechat bench ladder`")
    add_bench_arguments(bench)
    bench.set_defaults(run=_bench)

    listing = commands.add_parser("settings", help="list every setting: environment variables")
    listing.set_defaults(run=_settings)
    return parser


def main() -> int:
    """Run the command; returns the exit code: 0 done, 1 refused with a reason, 2 wrong arguments, 130 interrupted."""
    args = _parser().parse_args()
    try:
        return int(args.run(args))
    except StonechatError as error:
        print(f"stonechat: {error.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
