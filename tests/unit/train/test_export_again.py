"""``cropzoom export`` where an export is there already. PyTorch is not needed: what writes the file is in its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.offline_fixtures import run_here

import realtime_cropzoom.train


def test_an_export_is_replaced_only_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[str] = []

    def export(directory: Path, precision: str) -> Path:
        path = directory / "exports_onnx" / f"cropzoom_small_{precision}.onnx"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((directory / "cropzoom_small.pt").read_bytes())
        made.append(precision)
        return path

    monkeypatch.setitem(vars(realtime_cropzoom.train), "export_checkpoint", export)
    checkpoint = tmp_path / "cropzoom_small.pt"
    checkpoint.write_bytes(b"one")
    assert run_here("export", tmp_path) == 0
    assert run_here("export", tmp_path) == 0
    assert "is there already, made of the same" in capsys.readouterr().err
    assert run_here("export", tmp_path, "--onnx-precision", "fp16") == 0
    assert made == ["fp32", "fp16"]
    checkpoint.write_bytes(b"another")
    assert run_here("export", tmp_path) == 2
    assert "Add --overwrite to make it again" in capsys.readouterr().err
    assert run_here("export", tmp_path, "--overwrite") == 0
    exported = tmp_path / "exports_onnx/cropzoom_small_fp32.onnx"
    assert exported.read_bytes() == b"another"
    exported.write_bytes(b"somebody's own")
    assert run_here("export", tmp_path) == 2
    assert "Add --overwrite to replace it" in capsys.readouterr().err
    assert made == ["fp32", "fp16", "fp32"]
