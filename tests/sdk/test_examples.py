"""The examples do what they say, against a real product; what the library's README shows is what they print."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from stonechat_client import Client, Event, State, StateChanged, new_id
from tests.mesh.product import Product, product

SDK = Path(__file__).parents[2] / "sdk" / "python"
EXAMPLES = SDK / "examples"
README = (SDK / "README.md").read_text()

OUTPUT = {
    "hello.py": """\
stored as number 1 of their conversation
bob reads: hello, bob
alice reads: hello, bob
alice reads: hello, alice
""",
    "catch_up.py": """\
state: catching up
state: live
state: catching up
number 1: I am off for lunch
number 2: are you back? (1)
number 3: are you back? (2)
number 4: are you back? (3)
state: live
""",
    "groups.py": """\
1 alice changes the group: +alice +bob
2 bob: who brings the board?
3 alice changes the group: +carol
4 carol changes the group: -carol
""",
    "offline.py": """\
still signed in: True
offline, 3 messages wait
delivered as number 1, 2 wait
delivered as number 2, 1 wait
delivered as number 3, 0 wait
""",
    "ledger.py": """\
Now see whether the server keeps its word: stonechat verify --ledgers alice.ledger
""",
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with product(tmp_path_factory.mktemp("product")) as found:
        yield found


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=90, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("name", OUTPUT)
def test_an_example_prints_what_it_should(running: Product, tmp_path: Path, name: str) -> None:
    assert run([sys.executable, str(EXAMPLES / name), running.url], tmp_path) == OUTPUT[name]


def test_the_ledger_of_the_example_is_true(running: Product, tmp_path: Path) -> None:
    run([sys.executable, str(EXAMPLES / "ledger.py"), running.url], tmp_path)
    verify = ["-m", "svc", "verify", "--settled", "--ledgers", "alice.ledger", "--data-dir", str(running.data_dir)]
    verdict = run([sys.executable, *verify], tmp_path)
    assert "ledgers 1   acknowledged 1   seen 3\n" in verdict
    assert "lost 0   doubled 0   reordered 0" in verdict


class Bot:
    """bot.py in a process of its own, which is killed and started again."""

    def __init__(self, url: str, cache: Path) -> None:
        self._command = [str(EXAMPLES / "bot.py"), url, str(cache)]
        self._process: asyncio.subprocess.Process | None = None
        self.name = ""

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *self._command, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            while (line := (await self._process.stdout.readline()).decode()) != "live\n":
                named = re.fullmatch(r"I am (\S+): stonechat chat --user you --to \1\n", line)
                assert named, line
                assert not self.name, "it has made itself a second account"
                self.name = named[1]

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        assert await self._process.wait() == -9


@asynccontextmanager
async def user(url: str, name: str) -> AsyncIterator[Client]:
    async with Client(url) as client:
        await client.register(name, "correct horse")
        await client.sign_in(name, "correct horse")
        yield client


async def answered(client: Client, bot_id: str, count: int) -> list[str]:
    """What the bot has said to this user, once it is so much."""
    conversation_id = (await client.send(bot_id, "…", "asking")).conversation_id
    async with asyncio.timeout(60):
        while True:
            messages = await client.list_messages(conversation_id, limit=200)
            said = [message.content for message in reversed(messages) if message.sender_id == bot_id]
            if len(said) >= count:
                return said
            await asyncio.sleep(0.05)


async def test_the_bot_answers_everything_once_however_often_it_is_killed(running: Product, tmp_path: Path) -> None:
    bot = Bot(running.url, tmp_path / "echo.cache")
    await bot.start()
    async with user(running.url, "dora") as dora, user(running.url, "emil") as emil:
        bot_id = (await dora.find_user(bot.name)).user_id
        for round_number in range(4):
            for number in range(10):
                await dora.send(bot_id, f"{round_number}.{number}", new_id())
            await bot.kill()  # while it answers
            await dora.send(bot_id, f"{round_number} while you were away", new_id())
            if round_number == 1:
                await emil.send(bot_id, "we have never met", new_id())
            await bot.start()
        said = await answered(dora, bot_id, 45)
        assert await answered(emil, bot_id, 2) == ["you said: we have never met", "you said: …"]
        await bot.kill()
    told = [f"{a}.{b}" for a in range(4) for b in range(10)] + [f"{a} while you were away" for a in range(4)] + ["…"]
    assert sorted(said) == sorted(f"you said: {text}" for text in told)


# The README


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_code_in_the_readme_is_that_of_the_examples_or_is_run() -> None:
    sources = [path.read_text() for path in EXAMPLES.glob("*.py")]
    first, *others = blocks("python")
    assert sum(map(bool, first.splitlines())) <= 12
    assert others
    for block in others:
        indented = [re.sub(r"^(?=.)", " " * depth, block, flags=re.MULTILINE) for depth in (0, 4, 8, 12, 16)]
        assert any(lines in source for lines in indented for source in sources), f"no example has this:\n{block}"


def test_output_in_the_readme_is_that_of_the_examples() -> None:
    shown = blocks("text")
    assert shown
    assert set(shown) <= set(OUTPUT.values())


async def test_the_first_program_runs(running: Product, tmp_path: Path) -> None:
    program = tmp_path / "first.py"
    program.write_text(blocks("python")[0].replace("http://127.0.0.1:8080", running.url))
    async with user(running.url, "alice"), user(running.url, "bob") as bob, bob.connect() as session:
        async for item in session:
            if item == StateChanged(State.LIVE):
                break
        process = await asyncio.create_subprocess_exec(sys.executable, str(program), stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        async with asyncio.timeout(60):
            async for item in session:
                if isinstance(item, Event) and item.conversation_event.HasField("message"):
                    assert item.conversation_event.message.content == "hello, bob"
                    break
            assert (await process.stdout.readline()).decode() == "hello, bob\n"
        process.terminate()
        await process.wait()
