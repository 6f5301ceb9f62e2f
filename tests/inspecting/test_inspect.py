"""The verb: what was planted is what is found, first."""

import json
import re

import numpy as np
import pytest

import depthwise
from depthwise.cli import main
from depthwise.inspecting.drift import domain_auroc, label_drift


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEPTHWISE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def table():
    """600 rows in three clouds, a label planted wrong, a row far from all others."""
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 3
    X = 3 * np.eye(3)[labels] @ rng.normal(size=(3, 8)) + rng.normal(size=(600, 8))
    X[7] += 40
    labels[100] = (labels[100] + 1) % 3
    return depthwise.load_data((X, np.array(["a", "b", "c"])[labels]))


def test_planted_faults_of_a_table_are_found(table):
    found = depthwise.inspect(table)
    assert 100 in {row.items[0] for row in found.of_kind("label error")}
    assert found.of_kind("outlier")[0].items == (7,)
    assert found.noise_rate < 0.03
    assert not found.of_kind("twin", "leak", "drift")
    assert {row.kind for row in found.first(2)} == {"label error", "outlier"}


def test_an_embedding_is_computed_once(table):
    lines = []
    depthwise.inspect(table, log=lines.append)
    depthwise.inspect(table, log=lines.append)
    assert len(lines) == 1


def test_quick_looks_at_nothing(table):
    found = depthwise.inspect(table, quick=True)
    assert found.rows == [] and "quick" in str(found)


def test_parts_that_differ_can_be_told_apart_and_halves_of_one_cannot():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 6)).astype(np.float32)
    first, second = np.arange(200), np.arange(200, 400)
    auc, chance = domain_auroc(rows, first, second)
    assert auc < max(chance, 0.55)
    rows[second] += 1
    auc, chance = domain_auroc(rows, first, second)
    assert auc > 0.9 > chance


def test_other_class_shares_in_a_part_are_told():
    rng = np.random.default_rng(0)
    y = np.r_[np.arange(300) % 2, np.zeros(70), np.ones(30)].astype(int)
    data = depthwise.load_data((rng.normal(size=(400, 3)), np.array(["no", "yes"])[y]))
    parts = {"train": np.arange(250), "validation": np.arange(250, 300)}
    data.indices = {**parts, "test": np.arange(300, 400)}
    (found,) = label_drift(data)
    assert found.names == ("test",) and "30.0% against 50.0%" in found.evidence


def test_the_command_tells_and_writes_json(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = [f"{a:.4f},{b:.4f},{'up' if a > 0 else 'down'}" for a, b in rng.normal(size=(120, 2))]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a,b,way", *rows]))

    def told(*options):
        with pytest.raises(SystemExit) as stopped:
            main(["inspect", str(path), *options])
        assert stopped.value.code == 0
        return capsys.readouterr().out

    assert re.search("labels are wrong|no sign of wrong labels", told())
    assert json.loads(told("--json"))["inspection"]["embedding"] == "standardised columns"
    assert "not looked for" in told("--quick")
