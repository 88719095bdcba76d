"""The documents say what the code does: whatever users can meet stands in them, and nothing stands there that is gone.

Rule: what there is comes from the code, what is said of it from the tables and lists of the pages, so a mend is one
line there. Examples are taken out of the pages and run.
"""

import ast
import re
import subprocess
import sys

import msgspec
import pytest
from msgspec import structs

from documents import PAGES, PROJECT, ROOT, SOURCE, blocks, codes, covers, page, section, slug, table, trees, written
from hark.cli.main import app
from hark.config import Settings
from hark.core import messages as m
from hark.core.settings import SessionSettings
from hark.errors import CallerError
from hark.models.files.hub_table import HUB_FILES
from hark.models.files.pull import models_folder
from hark.models.files.table import MODEL_FILES
from hark.models.names import OPENAI_NAMES, SESSION_NAMES
from hark.models.whisper import plugin as faster_whisper
from hark.protocol import sessions
from hark.protocol.dialects import DIALECTS
from hark.protocol.wire import CLIENT_EVENTS
from hark.session import absence, guard, jobs, listening, transcript, turns

# ---- pages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["docs", "docs/recipes"])
def test_the_index_has_every_page(folder):
    linked = re.findall(r"^\| \[[^]]*\]\(([\w-]+\.md)\)", page(f"{folder}/README.md"), re.MULTILINE)
    assert sorted([*linked, "README.md"]) == sorted(path.name for path in (ROOT / folder).glob("*.md"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name) if name else path
        assert there.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", there.read_text("utf-8"), re.MULTILINE)
            assert anchor in map(slug, titles), target


# ---- README and CONTRIBUTING ---------------------------------------------------------------------------------------


def test_every_dependency_has_its_reason():
    needed = {re.match(r"[\w-]+", entry)[0] for entry in PROJECT["project"]["dependencies"]}
    assert {codes(row[0])[0] for row in table(page("README.md"), "dependency")} == needed


def test_the_sdk_example_hears_what_is_said(serve, tmp_path):
    server = serve(model="moonshine-tiny-en", voice_model="silero-vad")
    example = next(block for block in blocks(page("README.md"), "python") if "AsyncOpenAI" in block)
    assert "http://127.0.0.1:8000/v1" in example
    script = tmp_path / "example.py"
    script.write_text(example.replace("http://127.0.0.1:8000", server.url), "utf-8")
    sample = models_folder() / "samples" / "beckett.wav"
    run = subprocess.run([sys.executable, script, sample], capture_output=True, text=True, timeout=60, check=True)
    live, whole = run.stdout.strip().split("\nThe whole transcript: ")
    assert live == whole
    assert {"ever", "tried", "failed", "no", "matter", "again", "better"} <= set(re.findall(r"\w+", whole.lower()))


def test_every_make_target_is_listed():
    targets = dict(re.findall(r"^([a-z-]+):.*## (.*)$", page("Makefile"), re.MULTILINE))
    listed = {codes(row[0])[0].removeprefix("make "): row[1] for row in table(page("CONTRIBUTING.md"), "command")}
    assert listed == targets


# ---- architecture --------------------------------------------------------------------------------------------------


def test_the_tree_is_the_files_that_there_are():
    folders, listed = [], set()
    for line in blocks(section("docs/architecture.md", "The house"))[0].splitlines()[1:]:
        name = line.split()[0]
        assert len(line.split()) > 1 or name.endswith("/"), f"{name} needs a word of what it is"
        depth = line.index(name) // 2 - 1
        folders[depth:] = [name]
        if not name.endswith("/"):
            listed.add("".join(folders))
    files = [*(path for path in SOURCE.rglob("*.py") if path.name != "__init__.py"), *(SOURCE / "console").iterdir()]
    assert listed == {path.relative_to(SOURCE).as_posix() for path in files}


def test_the_floors_are_those_that_the_linter_holds():
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    assert blocks(section("docs/architecture.md", "Floors, and the two guards"))[0].split("\n")[:-1] == layers


# ---- the page ------------------------------------------------------------------------------------------------------


def test_what_the_page_says_of_troubles_is_what_it_says():
    scripts = "".join(path.read_text("utf-8") for path in (SOURCE / "console").glob("*.js"))
    said = re.sub(r'"\s*\+ "', "", scripts)
    listed = [row[0] for row in table(page("docs/page.md"), "the page says")]
    assert len(listed) > 5
    assert [text for text in listed if text.rstrip(".") not in said] == []


# ---- options and commands ------------------------------------------------------------------------------------------


def test_every_option_of_the_server_has_its_row():
    expected = []
    for name, field in Settings.model_fields.items():
        default = {"None": "none", "False": "off", "True": "on"}.get(str(field.default), f"`{field.default}`")
        flag = name.replace("_", "-")
        expected.append([f"`--{flag}`", f"`HARK_{name.upper()}`", default, field.description])
    assert table(page("docs/configuration.md"), "flag", "environment") == expected


def commands(group, *path):
    """Each command by its words, those of a group too."""
    for name in (name for name in group if not name.startswith("-")):
        inside = dict(commands(group[name], *path, name))
        yield from inside.items() if inside else [(" ".join((*path, name)), group[name])]


@pytest.mark.parametrize("command", dict(commands(app)))
def test_every_flag_of_a_command_has_its_row(command):
    rows = table(section("docs/configuration.md", f"hark {command}"), "flag")
    listed = {flag for row in rows for flag in codes(row[0])}
    there = {
        name for argument in dict(commands(app))[command].assemble_argument_collection() for name in argument.names
    }
    assert listed == {name for name in there if name.startswith("-") and not name.startswith("--no-")}


# ---- protocol ------------------------------------------------------------------------------------------------------

PROTOCOL = "docs/protocol.md"
ITEM = m.Item("item_1")
VIEWS = [m.SessionView("sess_1", 0, SessionSettings(kind=kind)) for kind in ("transcription", "realtime")]
# One of each event there is.
EVENTS = [
    *(kind(view) for kind in (m.SessionCreated, m.SessionUpdated) for view in VIEWS),
    *(m.SessionResumed(view, 0) for view in VIEWS),
    m.SpeechStarted("item_1", 0),
    m.SpeechStopped("item_1", 0),
    m.SilenceTimedOut("item_1", 0, 5_000),
    m.VoiceActivity(0, (0.5,)),
    m.AudioCommitted("item_1", None),
    m.AudioCleared(),
    m.ItemAdded(ITEM, None),
    m.ItemRetrieved(ITEM, None),
    m.ItemDeleted("item_1"),
    m.TranscriptDelta("item_1", "word"),
    m.TranscriptCompleted("item_1", "word", m.Usage("tokens", 1, 1, 1, 1), 0, 1),
    m.SpeakerSegment("item_1", "seg_0", "A", 0, 1, "word"),
    m.TranscriptFailed("item_1", CallerError("no")),
    m.ResponseRefused("resp_1"),
    m.Refused(CallerError("no"), None),
    m.SessionEnded(1000, ""),
]


def test_every_client_event_has_its_row():
    rows = table(section(PROTOCOL, "Client events"), "event")
    assert sorted(codes(row[0])[0] for row in rows) == list(CLIENT_EVENTS)


def test_every_server_event_has_its_row_and_dialect():
    assert {type(event) for event in EVENTS} == set(m.Event.__args__), "EVENTS above needs one of each"
    sent = {
        name: {msgspec.json.decode(frame)["type"] for event in EVENTS for frame in dialect.encode(event, str)}
        for name, dialect in DIALECTS.items()
    }
    expected = dict.fromkeys(sent["ga"] & sent["beta"], "both")
    expected |= dict.fromkeys(sent["ga"] - sent["beta"], "GA") | dict.fromkeys(sent["beta"] - sent["ga"], "beta")
    rows = table(section(PROTOCOL, "Server events"), "event")
    assert {codes(row[0])[0]: row[1] for row in rows} == expected


@pytest.mark.parametrize(("column", "shape"), [(0, sessions.GaSession), (1, sessions.BetaSession)])
def test_every_field_of_a_session_has_its_row(column, shape):
    listed = {path for row in table(section(PROTOCOL, "Settings"), "GA", "beta") for path in codes(row[column])}
    assert listed == set(leaves(msgspec.inspect.type_info(shape)))


def leaves(kind, path=""):
    """Dotted paths of the values that a struct can hold."""
    options = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    structs = [option for option in options if isinstance(option, msgspec.inspect.StructType)]
    for struct in structs:
        for field in struct.fields:
            yield from leaves(field.type, f"{path}.{field.encode_name}".strip("."))
    if not structs or any(isinstance(option, msgspec.inspect.LiteralType) for option in options):
        yield path


def test_every_field_of_an_upload_has_its_row():
    source = (SOURCE / "protocol" / "uploads.py").read_text("utf-8")
    read = set(re.findall(r'fields\.(?:one|many|nested)\("(\w+)"\)', source)) | {"file", "timestamp_granularities"}
    read |= {name for name in re.findall(r'"(\w+)"', source) if name.startswith("known_speaker")}
    assert {codes(row[0])[0] for row in table(section("docs/rest.md", "Fields"), "field")} == read


def test_every_error_code_has_its_row():
    listed = {code for row in table(section(PROTOCOL, "Error codes"), "code") for code in codes(row[0])}
    used = {code for tree in trees() for node in ast.walk(tree) for code in error_codes(node)}
    pairs = {(code, row) for code in used for row in listed if covers(code, row, re.fullmatch)}
    assert {code for code, _ in pairs} == used
    assert {row for _, row in pairs} == listed


def error_codes(node):
    """The codes that one node gives: code="…" in a call, a default, an assignment or a dict."""
    match node:
        case ast.keyword(arg="code", value=value) | ast.Assign(targets=[ast.Name(id="code")], value=value):
            values = [value]
        case ast.FunctionDef(args=ast.arguments(kwonlyargs=names, kw_defaults=given)):
            values = [value for name, value in zip(names, given, strict=True) if name.arg == "code"]
        case ast.Dict(keys=keys, values=given):
            values = [value for key, value in zip(keys, given, strict=True) if key and written(key) == "code"]
        case _:
            return
    for value in values:
        for choice in (value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,):
            if re.fullmatch(r"[a-z_…]+", code := written(choice) or ""):
                yield code


def test_every_cited_finding_is_explained():
    explained = {row[0] for row in table(page(PROTOCOL), "cited as")}
    cited = set()
    for folder in ("src", "tests", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            text = re.sub(r"\s*\n\s*(?:# )?", " ", path.read_text("utf-8"))
            for list_ in re.findall(r"\bcontract ((?:fact \d+|[A-J](?:\.\d+)?)(?:(?:, | and )[A-J]\.\d+)*)\b", text):
                cited |= set(re.split(", | and ", list_))
            cited |= set(re.findall(r"\(([A-J]\.\d+)\)", text))
    assert cited - explained == set()


# ---- models, turns -------------------------------------------------------------------------------------------------


def test_every_model_name_has_its_row():
    rows = table(section("docs/models.md", "Names that clients use"), "name")
    shapes = {"duration": "seconds", "tokens": "tokens"}
    expected = [[f"`{c.name}`", shapes[c.usage], "client" if c.live else "server"] for c in OPENAI_NAMES]
    assert rows == expected


def test_every_session_model_has_its_place():
    (listed,) = re.findall(r"^Realtime sessions:(.*?)\n\n", page("docs/models.md"), re.MULTILINE | re.DOTALL)
    assert tuple(codes(listed)) == SESSION_NAMES


def test_every_model_file_has_its_row():
    rows = table(section("docs/models.md", "What Hark can fetch"), "name")
    assert rows == [
        [f"`{e.name}`", e.summary, e.licence, f"{e.size / 1e6:.1f} MB", f"`{e.wheel.requirement}`"]
        for e in MODEL_FILES.values()
    ]


def test_every_model_of_a_hub_has_its_row():
    rows = table(section("docs/models.md", "From a model hub"), "hub model")
    assert rows == [
        [f"`{e.name}`", e.summary, e.licence, f"{e.size / 1e6:.0f} MB", f"`{e.repo}`"] for e in HUB_FILES.values()
    ]


def test_every_size_of_whisper_has_its_row():
    assert table(section("docs/engines.md", "faster-whisper"), "model") == [
        [
            f"`{size.name}`",
            str(size.millions),
            "English" if size.english else str(len(faster_whisper.LANGUAGES)),
            str(size.threads),
        ]
        for size in faster_whisper.SIZES
    ]


def test_the_constants_of_turns_are_those_of_the_code():
    def time(samples):
        return f"{samples // 16_000} s" if samples >= 16_000 else f"{samples * 1000 // 16_000} ms"

    plain = {
        name: str(getattr(module, name))
        for module, names in (
            (turns, ("ONSET_WINDOWS", "HYSTERESIS", "MANUAL_THRESHOLD", "DOUBT_POWER")),
            (jobs, ("PARTIAL_SHARE", "VOICED")),
            (guard, ("EVIDENCE_WINDOWS", "MIN_EVIDENCE", "MIN_LOGPROB", "NO_SPEECH", "NO_SPEECH_LOGPROB")),
            (guard, ("FASTEST_LETTERS", "FASTEST_WORDS", "SOFT_S", "ECHO_WORDS", "LOOP_WORDS", "LOOP_TIMES")),
        )
        for name in names
    }
    times = {
        name: time(getattr(module, name))
        for module, names in (
            (turns, ("JUDGE_AFTER", "JUDGED_SAMPLES")),
            (jobs, ("LEAD", "TAIL", "PARTIAL_STEP", "HARD_CUT", "HARD_CUT_SEARCH")),
        )
        for name in names
    }
    cuts = ", ".join(f"{time(length)}: {time(pause)}" for length, pause in jobs.SOFT_CUTS)
    seconds = {"STALL_S": f"{absence.STALL_S} s", "JUDGE_PATIENCE_S": f"{listening.JUDGE_PATIENCE_S:g} s"}
    expected = plain | times | {"SOFT_CUTS": cuts} | seconds
    listed = {codes(row[0])[0]: row[1] for row in table(page("docs/turns.md"), "constant")}
    assert listed == expected


def test_the_delays_are_those_of_the_code():
    rows = table(section("docs/accuracy.md", "Words shown early"), "`delay`")
    listed = {codes(row[0])[0]: tuple(map(float, row[1:])) for row in rows}
    assert listed == {name: tuple(map(float, structs.astuple(wait))) for name, wait in transcript.WAITS.items()}


def test_the_waits_of_semantic_vad_are_those_of_the_code():
    listed = {
        name: tuple(re.sub(r"[^\d]", "", cell) for cell in row[1:])
        for row in table(section("docs/turns.md", "semantic_vad"), "eagerness")
        for name in codes(row[0])
    }
    assert listed == {
        name: tuple(str(round(patience.silence(probability) / 16)) for probability in (1.0, 0.95, 0.8, 0.5, 0.0, None))
        for name, patience in turns.PATIENCE.items()
    }


# ---- troubleshooting -----------------------------------------------------------------------------------------------

# Too little of a message stands in the source to be found by it: its parts are looked for instead.
ONLY_PARTS = {"… …", "…. …", "…: ….…"}


def test_every_message_leads_to_a_mend():
    text = page("docs/troubleshooting.md")
    listed = [code for _, code in re.findall(r"^- (``?)(.+?)\1$", text, re.MULTILINE)]
    said = set().union(*map(messages, trees())) - ONLY_PARTS
    assert [text for text in said if not any(covers(pattern, text) for pattern in listed)] == []
    strings = {text for tree in trees() for node in ast.walk(tree) if (text := written(node))}
    assert [pattern for pattern in listed if not any(covers(pattern, text) for text in strings)] == []


def messages(tree):
    """What the errors of a file say: their first string, in place or under a name assigned in the same function."""
    for scope in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
        nodes = list(ast.walk(scope))
        assigned = {
            target.id: text
            for node in nodes
            if isinstance(node, ast.Assign) and (text := written(node.value))
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in nodes:
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id.endswith("Error"):
                argument = call.args[1 if call.func.id == "SettingsError" else 0] if call.args else None
                text = assigned.get(argument.id) if isinstance(argument, ast.Name) else written(argument)
                if text:
                    yield text
