"""The configuration: what it does not say exactly it refuses, all at once, before anything is touched."""

import os
import re

import pytest

from tocsin.config import BadConfigError, Secret, check_files, example, load
from tocsin.errors import AdapterError, ConfigError
from tocsin.signer import generate
from tocsin.wire.header import Tlp

LEAST = """
[node]
id = "gb"
jurisdiction = "GB"
[kafka]
bootstrap = "127.0.0.1:9092"
"""


def written(tmp_path, text):
    path = tmp_path / "tocsin.toml"
    path.write_text(text)
    return path


def problems(tmp_path, text):
    with pytest.raises(BadConfigError) as caught:
        load(written(tmp_path, text))
    return [str(p).removeprefix(f"{tmp_path}/tocsin.toml: ") for p in caught.value.problems]


def test_the_least_configuration_has_every_default(tmp_path):
    config = load(written(tmp_path, LEAST))
    assert (config.node.id, config.node.data) == ("gb", tmp_path / "data")
    assert config.store_url() == f"sqlite:///{tmp_path}/data/tocsin.db"
    assert (config.keys.relay, config.keys.event) == (tmp_path / "keys/relay.pem", None)
    assert (config.http.host, config.http.port) == ("127.0.0.1", 9464)
    assert config.store.keep_days == 400
    assert (config.limits.batch, config.limits.chains_per_leaf, config.hold.due_ms) == (64, 16, 86_400_000)
    assert (config.peers, config.labs, config.readers, config.policies, config.issue_rules) == ((), (), (), (), ())
    assert (config.log.level, config.kafka.security, config.kafka.retention_days) == ("info", "plaintext", 30)


def test_the_tree_is_frozen(tmp_path):
    config = load(written(tmp_path, LEAST))
    with pytest.raises(ValueError, match="frozen"):
        config.node.id = "jp"


def test_the_example_loads_as_it_stands(tmp_path):
    config = load(written(tmp_path, example("ke", "KE")))
    assert (config.node.id, config.node.jurisdiction) == ("ke", "KE")
    assert config.keys.event == tmp_path / "keys/event.pem"


def test_the_example_shows_every_setting_and_all_of_them_load_when_set(tmp_path):
    text = re.sub(r"^#(?=[^ \n])", "", example("gb", "GB"), flags=re.MULTILINE)
    for security, others in {"mtls": "username|password", "scram": "certificate|key"}.items():
        chosen = text.replace('security = "plaintext"', f'security = "{security}"')
        head, kafka = chosen.split("[kafka]")
        kafka = re.sub(rf"^({others}) = .*$", "", kafka, flags=re.MULTILINE)
        config = load(written(tmp_path, f"{head}[kafka]{kafka}"))
        assert {config.kafka.security, config.peers[0].security} == {security}
        assert config.issue_rules[0].tlp is Tlp.AMBER
        assert config.labs[0].principal == "lab-a"
        assert config.keys.relay_passphrase == Secret(env="TOCSIN_RELAY_PASSPHRASE")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LEAST + "[limts]\n", "limts: no key 'limts'. Did you mean 'limits'?"),
        (LEAST + "[limits]\nbach = 3\n", "limits.bach: no key 'bach'. Did you mean 'batch'?"),
        (LEAST + "retention_day = 3\n", "kafka.retention_day: no key 'retention_day'. Did you mean 'retention_days'?"),
        (LEAST + "[log]\nxyz = 3\n", "log.xyz: no key 'xyz'. Known: level"),
        (LEAST + '[[peer]]\nid = "jp"\nbootstrap = "127.0.0.1:1"\nsuspend = true',
         "peer[jp].suspend: no key 'suspend'. Did you mean 'suspended'?"),
        (LEAST + 'password = { fil = "x" }\nsecurity = "scram"\nusername = "x"\nca = "x"',
         "kafka.password.fil: no key 'fil'. Did you mean 'file'?"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_refused_with_the_nearest_known_one(tmp_path, text, said):
    assert said in problems(tmp_path, text)


def test_all_problems_are_said_at_once_each_with_its_place(tmp_path):
    said = problems(
        tmp_path,
        """
        [node]
        idd = "gb"
        jurisdiction = "Britain"
        [keys]
        relay_passphrase = "hunter2 in the clear"
        [limits]
        batch = "many"
        [http]
        listen = "9464"
        [hold]
        due = "1 day"
        [[peer]]
        id = "jp"
        bootstrap = "kafka.example:9093"
        [[lab]]
        id = "-lab"
        [[lab]]
        id = "jp"
        [[issue]]
        lab = "lab-x"
        max_severity = 9
        tlp = "PINK"
        """,
    )
    places = [text.partition(": ")[0] for text in said]
    assert set(places) == {
        "node.id", "node.idd", "node.jurisdiction", "keys.relay_passphrase", "limits.batch", "http.listen", "hold.due",
        "peer[jp]", "lab[-lab].id", "lab[jp].id", "issue.lab", "issue[1].max_severity", "issue[1].tlp",
        "kafka.bootstrap",
    }  # fmt: skip
    assert len(places) == len(set(places))
    assert not any("hunter2" in text for text in said)


def test_the_error_names_the_file(tmp_path):
    with pytest.raises(ConfigError, match=re.escape(f"{tmp_path}/tocsin.toml: node.id: the key is missing")):
        load(written(tmp_path, LEAST.replace('id = "gb"', "")))


@pytest.mark.parametrize(
    "text", ["[node", "a = 1\na = 2", "\x00", 'a = "\\q"', "a = " + "[" * 9_999, "a = " + "9" * 9_999]
)
def test_what_is_no_toml_is_said(tmp_path, text):
    assert "no TOML" in problems(tmp_path, text)[0]


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(BadConfigError, match="tocsin init"):
        load(tmp_path / "absent.toml")


@pytest.mark.parametrize("value", ['"x"', "3", "[1]", "true", "{ x = 1 }"])
@pytest.mark.parametrize(
    "key",
    ["node", "kafka", "peer", "lab", "reader", "policy", "issue", "store", "keys", "limits", "log", "hold", "schemas"],
)
def test_whatever_stands_where_a_table_should_is_a_problem_and_never_a_crash(tmp_path, key, value):
    text = "" if key in {"node", "kafka"} else LEAST
    assert problems(tmp_path, f"{key} = {value}\n{text}")


@pytest.mark.parametrize(
    "text",
    [
        '[keys]\nrelay_passphrase = "swordfish"',
        '[keys]\nevent_passphrase = ["swordfish"]',
        '[store]\nurl = "postgresql://gb:swordfish@db/x"',
        '[store]\nurl = "postgresql://db/x?password=swordfish"',
        '[keys]\nrelay = "-----BEGIN PRIVATE KEY-----swordfish"',
        '[keys]\nrelay_passphrase = { file = "a", env = "swordfish" }',
        "[keys]\nrelay_passphrase = { }",
        '[[peer]]\nid = "jp"\nbootstrap = "jp:swordfish@h"',
        '[[peer]]\nid = "jp"\nbootstrap = "jp:1,swordfish@127.0.0.1:9092"',
    ],
)
def test_a_secret_stands_in_a_reference_or_nowhere_and_is_not_repeated_in_the_error(tmp_path, text):
    said = problems(tmp_path, LEAST + text)
    assert len(said) == 1
    assert "swordfish" not in said[0]


def test_a_secret_is_read_from_its_file_or_the_environment(tmp_path, monkeypatch):
    text = LEAST + '[store]\nurl = "postgresql://gb@db:5432/x"\npassword = { file = "pw" }\n'
    config = load(written(tmp_path, text))
    (tmp_path / "pw").write_text("p@ss/w:rd\n")
    (tmp_path / "pw").chmod(0o600)
    assert config.store_url() == "postgresql://gb:p%40ss%2Fw%3Ard@db:5432/x"
    monkeypatch.setenv("TOCSIN_TEST_SECRET", "words")
    assert Secret(env="TOCSIN_TEST_SECRET").read() == "words"
    monkeypatch.delenv("TOCSIN_TEST_SECRET")
    with pytest.raises(AdapterError, match="TOCSIN_TEST_SECRET"):
        Secret(env="TOCSIN_TEST_SECRET").read()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o611])
def test_a_secret_that_others_may_read_is_refused(tmp_path, mode):
    path = tmp_path / "pw"
    path.write_text("x")
    path.chmod(mode)
    with pytest.raises(AdapterError, match="chmod 600"):
        Secret(file=path).read()


def test_plain_text_goes_to_the_loopback_address_only(tmp_path):
    for host in ("127.0.0.1", "localhost", "[::1]", "127.9.9.9"):
        load(written(tmp_path, LEAST.replace("127.0.0.1", host)))
    for host in ("10.0.0.1", "kafka.example", "127.0.0.1:9092,kafka.example"):
        assert "not loopback" in problems(tmp_path, LEAST.replace("127.0.0.1", host))[0]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('security = "mtls"', "needs certificate and key"),
        ('security = "mtls"\ncertificate = "c"', "needs key"),
        ('security = "scram"\nusername = "x"', "needs password"),
        ('security = "mtls"\ncertificate = "c"\nkey = "k"\nusername = "x"', "no use for username"),
        ('ca = "c"', "no use for ca"),
        ('security = "tls"', "'plaintext', 'mtls' or 'scram'"),
    ],
)
def test_the_security_of_a_cluster_is_complete_and_has_nothing_besides(tmp_path, keys, said):
    assert said in problems(tmp_path, LEAST + keys)[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[lab]]\nid = "a"\n[[lab]]\nid = "a"', "lab[a].id: the id is used twice"),
        ('[[lab]]\nid = "gb"', "lab[gb].id: the id is used twice"),
        ('[[reader]]\nid = "a"\n[[reader]]\nid = "a"', "reader[a].id: the id is used twice"),
        ('[[lab]]\nid = "abc"\n[[issue]]\nlab = "abd"\nmax_severity = 1', "issue.lab: no lab 'abd'. Did you mean 'abc'?"),
        ('[[lab]]\nid = "a"\n[[issue]]\nlab = "a"\nmax_severity = 1\n[[issue]]\nlab = "a"\nmax_severity = 2',
         "issue.lab: two rules for 'a'"),
        ('[[lab]]\nid = "public"', "no party id"),
        ('[[reader]]\nid = "x y"', "reader[x y].audience: 'x y' is no party id"),
        ("[limits]\nbytes_per_second = 1000", "262144"),
        ("[limits]\nbatch = true", "valid integer"),
        ("[limits]\nbatch = 0", "greater than or equal to 1"),
        ('[store]\nurl = "mysql://x/y"', "neither SQLite nor PostgreSQL"),
        ('[store]\nurl = "sqlite://"', "names no file"),
        ("[store]\nkeep_days = 89", "store.keep_days: 89 days are fewer than a topic may keep. Write 0 (for ever), or 90"),
        ("[store]\nkeep_days = -1", "store.keep_days: -1 days"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_said(tmp_path, text, said):
    found = problems(tmp_path, LEAST + text)
    assert any(said in one for one in found), found


def test_paths_are_relative_to_the_file_and_absolute_ones_stay(tmp_path):
    more = '[store]\nurl = "sqlite:///x.db"\n[trust]\nfile = "/etc/trust.json"\n[schemas]\nextra = ["s"]\n'
    config = load(written(tmp_path, LEAST + more + '[[policy]]\nfile = "p.toml"'))
    assert config.store_url() == f"sqlite:///{tmp_path}/x.db"
    assert str(config.trust.file) == "/etc/trust.json"
    assert config.schemas.extra == (tmp_path / "s",)
    assert config.policies[0].file == tmp_path / "p.toml"


def test_a_path_given_to_load_may_itself_be_relative(tmp_path, monkeypatch):
    written(tmp_path, LEAST)
    monkeypatch.chdir(tmp_path)
    assert load(written(tmp_path, LEAST).relative_to(tmp_path)).node.data == tmp_path / "data"


def test_load_looks_at_nothing_else_and_check_files_says_all_that_is_wrong_with_the_rest(tmp_path, monkeypatch):
    monkeypatch.delenv("TOCSIN_ABSENT", raising=False)
    text = LEAST + '[keys]\nrelay_passphrase = { env = "TOCSIN_ABSENT" }\n[[policy]]\nfile = "p.toml"\n'
    peer = '[[peer]]\nid = "jp"\nbootstrap = "k:1"\nsecurity = "mtls"\ncertificate = "c"\nkey = "k"\n'
    config = load(written(tmp_path, text + peer))
    generate(tmp_path / "k", None)
    os.chmod(tmp_path / "k", 0o644)  # noqa: PTH101
    with pytest.raises(BadConfigError) as caught:
        check_files(config)
    assert {problem.place for problem in caught.value.problems} == {
        "keys.relay", "keys.relay_passphrase", "trust.file", "policy.file", "peer[jp].certificate", "peer[jp].key"
    }  # fmt: skip


def test_files_that_are_all_in_order_are_no_problem(tmp_path):
    config = load(written(tmp_path, LEAST))
    (tmp_path / "keys").mkdir()
    generate(config.keys.relay, None)
    config.trust.file.write_text("{}")
    check_files(config)
