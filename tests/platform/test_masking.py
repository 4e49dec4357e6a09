"""Passwords of addresses are in nothing that relscale writes or says."""

import pytest
from typer.testing import CliRunner

from relscale.cli import app
from relscale.platform.config import describe, load_config
from relscale.platform.errors import ConfigError, ResourceError
from relscale.platform.masking import masked
from relscale.platform.tracking import TrackingConfig, check_tracking
from relscale.sweeps.config import StudyConfig

URI = "http://ann:s3c@ret@127.0.0.1:1"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql+psycopg://ann:s3c@ret@host:5432/base", "postgresql+psycopg://ann:***@host:5432/base"),
        ("http://:s3cret@host and more", "http://:***@host and more"),
        (
            "postgresql://host/base?user=ann&password=s3cret&x=1",
            "postgresql://host/base?user=ann&password=***&x=1",
        ),
        ("http://host:5000", "http://host:5000"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("postgresql://ann@host/base", "postgresql://ann@host/base"),
        (None, None),
    ],
)
def test_passwords_are_masked_and_nothing_else(text, shown):
    assert masked(text) == shown


def test_settings_are_written_without_the_password():
    study = load_config(StudyConfig, None, [f"tracking.uri={URI}"])
    assert study.tracking.uri == URI and study.replace(name="x").tracking.uri == URI
    for written in (study.to_yaml(), describe(study), str(study.model_dump(mode="json")), repr(study)):
        assert "s3c" not in written and "ret@" not in written
    assert "http://ann:***@127.0.0.1:1" in study.to_yaml()
    shown = CliRunner().invoke(app, ["settings", "--set", f"tracking.uri={URI}"])
    assert shown.exit_code == 0 and "ann:***@" in shown.output and "s3c" not in shown.output


def test_a_wrong_setting_is_named_without_the_password():
    with pytest.raises(ConfigError, match=r"--set tracking.uri=\[http://ann:\*\*\*@") as raised:
        load_config(StudyConfig, None, [f"tracking.uri=[{URI}]"])
    assert "s3c" not in str(raised.value)


def test_errors_name_the_server_without_the_password():
    with pytest.raises(ResourceError, match=r"ann:\*\*\*@127\.0\.0\.1:1' does not answer") as raised:
        check_tracking(TrackingConfig(uri=URI))
    assert "s3c" not in str(raised.value)


def test_a_masked_password_is_asked_for():
    with pytest.raises(ConfigError, match="whose password was left out when it was written"):
        check_tracking(TrackingConfig(uri=masked(URI)))


def test_a_database_out_of_reach_is_said_at_once():
    with pytest.raises(ResourceError, match="does not answer"):
        check_tracking(TrackingConfig(uri="postgresql+psycopg://ann@127.0.0.1:1/base"))
