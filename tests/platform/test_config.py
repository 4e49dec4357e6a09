import pytest
from pydantic import Field

from relscale.platform.config import Config, load_config, parse_config
from relscale.platform.errors import ConfigError


class Inner(Config):
    depth: int = Field(default=2, ge=1)
    width: int = 8


class Outer(Config):
    name: str = "a"
    inner: Inner = Inner()
    maybe: Inner | None = None


def test_yaml_and_overrides(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("name: b\ninner: {depth: 3}\n")
    config = load_config(Outer, file, ["inner.width=16", "maybe.depth=5"])
    assert config == Outer(name="b", inner=Inner(depth=3, width=16), maybe=Inner(depth=5))


def test_written_yaml_reads_back(tmp_path):
    config = Outer(inner=Inner(depth=7))
    file = tmp_path / "c.yaml"
    file.write_text(config.to_yaml())
    assert load_config(Outer, file) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("inner.dept=3", "unknown setting 'inner.dept'; did you mean 'depth'?"),
        ("maybe.widht=3", "unknown setting 'maybe.widht'; did you mean 'width'?"),
        ("zzz=3", "valid are: inner, maybe, name."),
        ("inner.depth=0", "setting 'inner.depth' is 0"),
        ("inner.depth=deep", "setting 'inner.depth' is 'deep'"),
        ("inner", "not of the form"),
        ("name.x=1", "setting 'name'"),
        ("inner.depth=[", "not valid YAML"),
    ],
)
def test_a_bad_setting_is_named_with_its_remedy(override, message):
    with pytest.raises(ConfigError) as error:
        load_config(Outer, None, [override])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_file_or_the_override_that_is_wrong_is_named(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("name: b\n")
    with pytest.raises(ConfigError, match=r"^--set inner\.depth=0: setting 'inner\.depth' is 0"):
        load_config(Outer, file, ["inner.width=3", "inner.depth=0"])
    file.write_text("inner: {depth: 0}\n")
    with pytest.raises(ConfigError, match=r"c\.yaml: setting 'inner\.depth' is 0"):
        load_config(Outer, file, ["inner.width=3"])


@pytest.mark.parametrize(
    ("content", "message"),
    [("a: [", "not valid YAML"), ("- 1", "holds a list"), (b"\xff\xfe\x00", "not valid YAML")],
)
def test_a_malformed_file_is_named(tmp_path, content, message):
    file = tmp_path / "bad.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=message) as error:
        load_config(Outer, file)
    assert "bad.yaml" in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="is not a file"):
        load_config(Outer, tmp_path / "none.yaml")


def test_yaml_cannot_make_objects(tmp_path):
    file = tmp_path / "evil.yaml"
    file.write_text("name: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(Outer, file)


def test_replace_checks_again():
    assert Inner().replace(depth=4).depth == 4
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Inner().replace(depth=0)


def test_fingerprint_depends_on_content_alone():
    assert Outer().fingerprint() == parse_config(Outer, {"name": "a"}, source="test").fingerprint()
    assert Outer().fingerprint() != Outer(inner=Inner(depth=3)).fingerprint()
