"""Settings: what is refused, in which words, and that `.env.example` tells the truth."""

import re
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from app.core.settings import Settings, SettingsError, load_settings, settings_or_exit

EXAMPLE = Path(__file__).parents[1] / ".env.example"
LINE = re.compile(r"^(?:# )?([A-Z0-9_]+)=(.*)$", re.MULTILINE)
KEY, OTHER, THIRD = (
    "aBcDeFgHiJkLmNoPqRsTuVwX-0123456789",
    "zYxWvUtSrQpOnMlKjIhGfEdC-9876543210",
    "q1w2e3r4t5y6u7i8o9p0-aSdFgHjKlZxCvBnM",
)
REQUIRED = {"CALLSLIP_API_KEYS": f"me:{KEY}", "SECRET_KEY": OTHER}
WITH_N8N = {"N8N_WEBHOOK_URL": "https://n8n.test/webhook/x", "N8N_WEBHOOK_TOKEN": KEY, "N8N_WEBHOOK_SECRET": OTHER}


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch):
    for field in Settings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)


@pytest.fixture
def load(tmp_path):
    def load(**values):
        path = tmp_path / ".env"
        path.write_text(
            "".join(f"{name}={value}\n" for name, value in {**REQUIRED, **values}.items() if value is not None)
        )
        return load_settings(path)

    return load


def problems(load, **values):
    with pytest.raises(SettingsError) as caught:
        load(**values)
    return list(caught.value.problems)


def test_the_example_names_every_setting_once_and_nothing_else():
    names = [name for name, _ in LINE.findall(EXAMPLE.read_text())]
    assert sorted(names) == sorted(field.upper() for field in Settings.model_fields)


def test_the_values_in_the_example_are_the_defaults(load):
    shown = {name: value for name, value in LINE.findall(EXAMPLE.read_text()) if value}
    assert load(**shown) == load()


def test_settings_are_frozen(load):
    with pytest.raises(ValueError, match="frozen"):
        load().port = 1


def test_the_environment_wins_over_the_file(load, monkeypatch):
    monkeypatch.setenv("PORT", "9001")
    assert load(PORT="9000").port == 9001


def test_an_empty_value_is_the_default(load):
    assert load(REDIS_URL="", PORT="").port == 8000


def test_values_are_read_as_people_write_them(load):
    settings = load(
        CALLSLIP_API_KEYS=f"me:{KEY}, you:{OTHER}, me:{THIRD}", SECRET_KEY=f"{KEY},{OTHER}", LINK_TTL="1.5h", MAX_UPLOAD_SIZE="5 MB",
        RETRY_SCHEDULE="1s,2m", KEEP_FILES_FOR="0", LOG_LEVEL="debug",
    )  # fmt: skip
    keys = settings.callslip_api_keys
    assert {name: [key.get_secret_value() for key in keys[name]] for name in keys} == {
        "me": [KEY, THIRD],
        "you": [OTHER],
    }
    assert [key.get_secret_value() for key in settings.secret_key] == [KEY, OTHER]
    assert settings.link_ttl == timedelta(minutes=90)
    assert settings.max_upload_size == 5_000_000
    assert settings.retry_schedule == (timedelta(seconds=1), timedelta(minutes=2))
    assert settings.keep_files_for == timedelta(0)
    assert settings.log_level == "DEBUG"


def test_a_secret_that_only_signs_may_be_a_sentence(load):
    settings = load(NOTIFY_SECRET="old words that nobody knows, new words that nobody knows")
    assert [secret.get_secret_value() for secret in settings.notify_secret] == [
        "old words that nobody knows",
        "new words that nobody knows",
    ]


def test_addresses_follow_from_other_settings(load, tmp_path):
    settings = load(HOST="0.0.0.0", PORT="8123", DATA_DIR=str(tmp_path))
    assert settings.public_url == "http://127.0.0.1:8123"
    assert settings.database_url == f"sqlite:///{tmp_path}/callslip.db"
    assert load(HOST="::1").public_url == "http://[::1]:8000"
    assert load(PUBLIC_URL="https://slips.test/").public_url == "https://slips.test"
    assert load().data_dir.is_absolute()


def test_every_missing_secret_has_a_line_that_says_how_to_make_one(tmp_path):
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path / "none")
    keys, secret = caught.value.problems
    assert keys.startswith("CALLSLIP_API_KEYS is missing; write it as me:<key>; make one: python3 -c")
    assert secret.startswith("SECRET_KEY is missing; make one: python3 -c")


def test_a_wrong_port_hides_no_other_problem(load):
    assert [line.split()[0] for line in problems(load, PORT="x", SECRET_KEY="short", HOST="::")] == [
        "PORT",
        "SECRET_KEY",
    ]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"CALLSLIP_API_KEYS": KEY}, "CALLSLIP_API_KEYS must be name:key pairs"),
        ({"CALLSLIP_API_KEYS": "me:" + KEY[:23]}, "CALLSLIP_API_KEYS must have at least 24 characters; make one:"),
        ({"CALLSLIP_API_KEYS": f"me:{KEY},you:{KEY}"}, "CALLSLIP_API_KEYS has the key of you twice"),
        ({"CALLSLIP_API_KEYS": f"me:{KEY},me:{KEY}"}, "CALLSLIP_API_KEYS has the key of me twice"),
        ({"SECRET_KEY": KEY[:23]}, "SECRET_KEY must have at least 24 characters; make one:"),
        ({"SECRET_KEY": f"{KEY},{OTHER[:9]}"}, "SECRET_KEY must have at least 24 characters"),
        ({"SECRET_KEY": KEY + " " + KEY}, "SECRET_KEY must be printable ASCII"),
        ({"CALLBACK_SECRET": f"{KEY}'{KEY}"}, "CALLBACK_SECRET must be printable ASCII without quotes"),
        ({"CALLBACK_SECRET": KEY[:20]}, "CALLBACK_SECRET must have at least 24 characters"),
        ({"CALLBACK_SECRET": "whsec_***" + KEY}, "CALLBACK_SECRET begins with whsec_ but is not base64"),
        ({"CALLBACK_SECRET": "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSUw=="}, "CALLBACK_SECRET must have at least 24"),
        ({"SQLITE_SYNCHRONOUS": "normal"}, "SQLITE_SYNCHRONOUS must be FULL or EXTRA"),
        ({"DATABASE_URL": "sqlite://"}, "DATABASE_URL must name a file"),
        ({"DATABASE_URL": "sqlite:///:memory:"}, "DATABASE_URL must name a file"),
        ({"DATABASE_URL": "mysql://x/y"}, "DATABASE_URL must begin with sqlite:/// or postgresql://"),
        ({"REDIS_URL": "http://x"}, "REDIS_URL must begin with redis://"),
        ({"PUBLIC_URL": "slips.test"}, "PUBLIC_URL must be an address that begins with http:// or https://"),
        ({"N8N_WEBHOOK_URL": "https://u:p@x/"}, "N8N_WEBHOOK_URL must not carry a user"),
        ({"N8N_API_URL": "http://[x"}, "N8N_API_URL is not an address"),
        ({"LEASE": "soon"}, "LEASE "),
        ({"MAX_UPLOAD_SIZE": "big"}, "MAX_UPLOAD_SIZE "),
        ({"SWEEP_EVERY": "0"}, "SWEEP_EVERY input should be greater than"),
        ({"RETRY_JITTER": "1"}, "RETRY_JITTER input should be less than 1"),
        ({"PROT": "1"}, "PROT in .env is not a setting; did you mean PORT?"),
        ({"POSTGRES_PASSWORD": "1"}, "POSTGRES_PASSWORD in .env is not a setting; see .env.example"),
        ({**WITH_N8N, "N8N_WEBHOOK_TOKEN": None}, "N8N_WEBHOOK_TOKEN is missing, and N8N_AUTH=header sends it; make one:"),
        ({**WITH_N8N, "N8N_WEBHOOK_SECRET": None}, "N8N_WEBHOOK_SECRET is missing"),
        ({"NOTIFY_URL": "https://x.test"}, "NOTIFY_SECRET is missing"),
        ({"N8N_API_KEY": KEY}, "N8N_API_URL and N8N_API_KEY belong together"),
        ({"N8N_CA_FILE": str(EXAMPLE), "N8N_VERIFY_TLS": "false"}, "N8N_CA_FILE has no effect"),
        ({"N8N_CA_FILE": "/none"}, "N8N_CA_FILE names no file"),
        ({"LEASE_RENEWAL": "6s"}, "LEASE_RENEWAL must be at most half of LEASE"),
        ({"CALLBACK_DEADLINE": "1m"}, "CALLBACK_DEADLINE must not be shorter than CALLBACK_TIMEOUT"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_one_line_that_names_the_variable(load, values, line):
    (found,) = problems(load, **values)
    assert found.startswith(line)
    assert not any(secret in found for secret in (KEY[:20], OTHER[:9], "u:p", "***"))


def test_what_does_not_fit_together_is_told_all_at_once(load):
    assert len(problems(load, N8N_WEBHOOK_URL="https://x.test", NOTIFY_URL="https://x.test")) == 3


def test_a_model_without_what_speaks_with_models_is_told_with_the_command_that_installs_it(load, monkeypatch):
    model = {"LLM_MODEL": "openai:gpt-5", "OPENAI_API_KEY": KEY}
    assert load(**model).llm_model == "openai:gpt-5"
    monkeypatch.setitem(sys.modules, "pydantic_ai", None)  # as where it was never installed
    assert problems(load, **model) == ["LLM_MODEL is set, and what speaks with models is not installed: make llm"]


def test_a_webhook_without_authorization_needs_no_token(load):
    assert load(**{**WITH_N8N, "N8N_AUTH": "none", "N8N_WEBHOOK_TOKEN": None}).n8n_webhook_token is None


def test_no_secret_stands_in_the_representation(load):
    settings = load(
        **WITH_N8N, CALLBACK_SECRET=THIRD, N8N_API_URL="https://n8n.test", N8N_API_KEY="n8n_api_" + THIRD,
        REDIS_URL=f"redis://:{THIRD}@h", DATABASE_URL=f"postgresql://u:{THIRD}@h/d",
    )  # fmt: skip
    for text in (repr(settings), str(settings)):
        assert not any(secret in text for secret in (KEY, OTHER, THIRD))


def test_entry_points_end_with_the_lines_and_no_traceback(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        settings_or_exit(tmp_path / "none")
    assert ended.value.code == 2
    assert "\n  SECRET_KEY is missing; make one" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"\.env cannot be read as text"):
        load_settings(tmp_path / ".env")


def test_names_that_workflows_toml_takes_its_secrets_from_may_stand_in_env(load, tmp_path):
    workflows = tmp_path / "workflows.toml"
    workflows.write_text('[workflow.invoices]\ntoken = "${INVOICES_TOKEN}"\n')
    assert load(WORKFLOWS_FILE=workflows, INVOICES_TOKEN=KEY)
    assert problems(load, WORKFLOWS_FILE=workflows, INVOICE_TOKEN=KEY)[0].startswith("INVOICE_TOKEN in .env is not")
