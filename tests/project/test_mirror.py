"""Each module has a test module at the same place below tests/unit, or is listed here with the tests that hold it."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PACKAGE = TESTS.parent / "realtime_cropzoom"

TOGETHER = {
    "unit/pipeline/test_regions.py": "pipeline/region_plan",
    # Commands are tested as users run them: through ``main``, or as processes.
    "unit/cli/test_main.py": "cli/entry cli/parser cli/common cli/calibrate cli/check cli/keys cli/latency cli/train",
    "unit/cli/test_demo.py": "cli/demo_run",
    "unit/cli/test_frames.py": "labelling/differing labelling/rounds labelling/same_picture labelling/uncertain",
    "unit/messaging/test_security.py": "cli/listen messaging/sockets",
    "unit/trigger/process/test_zone_editor.py": "cli/zones trigger/process/zone_picture",
    "unit/trigger/process/test_process.py": "trigger/process/open_process trigger/process/process_state",
    "unit/trigger/process/test_order_desk.py": "trigger/process/rules_desk",
    "unit/offline/test_predict.py": "cli/batch cli/offline cli/offline_commands files/atomic_images offline/annotate "
    "offline/command offline/images offline/inputs offline/metrics offline/model_directory offline/predict_images "
    "offline/predict_video offline/prediction",
    "unit/messaging/test_limits.py": "__main__",
    "unit/sinks/test_preview.py": "runtime/server_thread",
    # One concept, in several small modules.
    "unit/bench/test_bench.py": "bench/live bench/material bench/measure bench/networks bench/table cli/bench",
    "unit/calibration/test_calibration.py": "calibration/homography calibration/lens cli/chessboard "
    "plots/calibration_picture",
    "unit/inference/test_tracks.py": "inference/track_motion",
    "unit/checks/test_checks.py": "checks/animal checks/machine checks/models checks/recording checks/result "
    "checks/source",
    "unit/checks/doctor/test_causes.py": "checks/doctor/facts checks/doctor/finding checks/doctor/helped "
    "checks/doctor/pictures checks/doctor/sizes",
    "unit/checks/doctor/test_measure.py": "checks/doctor/experiments checks/doctor/movement checks/doctor/quality "
    "checks/doctor/sheet checks/looking",
    "unit/checks/doctor/test_doctor.py": "checks/doctor/report checks/doctor/samples checks/doctor/session cli/doctor",
    "unit/client/test_subscriber.py": "client/base",
    "unit/config/test_settings.py": "config/description config/group config/input_groups config/output_groups "
    "config/overrides config/resolve",
    "unit/evaluation/test_evaluate.py": "evaluation/files evaluation/still evaluation/truth",
    "unit/evaluation/test_report.py": "evaluation/findings evaluation/judgement evaluation/page evaluation/results "
    "evaluation/what_to_label evaluation/worst",
    "unit/evaluation/test_session.py": "evaluation/session_findings",
    "unit/filters/test_filters.py": "filters/factory filters/kalman filters/one_euro filters/pose_filter",
    "unit/inference/test_bound_network.py": "inference/device_memory inference/gpu_loading",
    "unit/inference/makers/test_sleap.py": "inference/makers/sleap_graph inference/makers/sleap_training",
    "unit/inference/test_model.py": "inference/onnx_session",
    "unit/inference/test_model_file.py": "inference/makers/maker inference/makers/registry",
    "unit/latency/test_latency.py": "latency/hardware latency/report latency/software latency/trials",
    "unit/cli/test_cluster.py": "offline/cluster/job offline/cluster/local_queue offline/cluster/task",
    "unit/offline/test_pipeline.py": "offline/frame_reader offline/poses_in_cm offline/video_pass",
    "unit/offline/test_resume.py": "offline/inference_pool",
    "unit/offline/test_crop.py": "offline/video_writer",
    "unit/pictures/test_decoded.py": "pictures/planes pictures/regions",
    "unit/pipeline/test_stages.py": "pipeline/build pipeline/summary",
    "unit/plots/test_session_pictures.py": "plots/comparison",
    "unit/sessions/test_convert.py": "sessions/h5_table sessions/nwb",
    "unit/sessions/test_dlc_csv.py": "sessions/pose_rows",
    "unit/sessions/foreign/test_point_tables.py": "sessions/foreign/poses",
    "unit/sinks/test_packet_recorder.py": "sinks/base_recorder sinks/packet_file sources/encoded sources/packet_buffer",
    "unit/sinks/test_recorder.py": "sinks/recording sinks/video_encoder",
    "unit/labelling/test_importing.py": "labelling/label_sheet labelling/pictures labelling/placing "
    "labelling/read_label_file",
    "unit/labelling/test_exporting.py": "labelling/exports/coco labelling/exports/deeplabcut labelling/exports/job "
    "labelling/exports/sleap labelling/prefill",
    "unit/labelling/formats/test_coco.py": "labelling/formats/json_text labelling/formats/label_file",
    "unit/messaging/test_time_sync.py": "sinks/time_sync_server",
    "unit/sources/arena/test_source.py": "sources/arena/appearance sources/arena/build sources/arena/cable "
    "sources/arena/camera_angle sources/arena/drawing sources/arena/floor sources/arena/jumps sources/arena/motion "
    "sources/arena/objects sources/arena/painting sources/arena/posture",
    "unit/sources/test_video_file.py": "sources/container",
    "unit/sources/live/test_decode_recovery.py": "sources/live/stream_decoder",
    "unit/sources/machine_vision/test_camera_setup.py": "sources/machine_vision/feature_nodes",
    "unit/sources/machine_vision/test_genicam.py": "sources/machine_vision/aravis sources/machine_vision/aravis_camera",
    "unit/sources/machine_vision/test_gentl.py": "sources/machine_vision/gentl_nodes",
    "unit/sources/test_recorded_times.py": "sources/recording_table",
    "unit/train/test_epochs.py": "train/device",
    "unit/train/test_project_training.py": "cli/train_progress train/project_config train/project_worker",
    "unit/train/test_train.py": "train/augmentation train/config train/dataset train/evaluate train/export "
    "train/arena_looks train/empty train/litpose_only train/loop train/network "
    "train/occlusion train/photometric train/result train/trainer",
    "unit/trigger/engine/test_conditions.py": "trigger/engine/compiler trigger/engine/factory "
    "trigger/engine/pose_sample trigger/engine/quantities trigger/engine/trajectory",
    "unit/trigger/engine/test_engine.py": "trigger/engine/events trigger/process/message_events",
    "unit/trigger/outputs/test_outputs.py": "trigger/outputs/base trigger/outputs/factory "
    "trigger/outputs/guardian trigger/outputs/loopback trigger/outputs/lsl trigger/outputs/open_ephys "
    "trigger/outputs/osc trigger/outputs/python_callable trigger/outputs/shell trigger/outputs/zmq_publish "
    "trigger/outputs/zmq_request",
    "unit/trigger/outputs/test_serial_output.py": "trigger/outputs/serial_link trigger/outputs/simulated_board",
    "unit/trigger/process/test_replay.py": "trigger/process/replay_report",
    "unit/view/test_hub.py": "view/endpoint view/follower",
    "unit/view/test_review.py": "sessions/films sessions/review_session view/review_events view/review_pictures",
    "unit/view/test_guard.py": "view/serve",
    "unit/cli/test_view.py": "view/live",
    "unit/trigger/rules/test_rules.py": "trigger/rules/schema trigger/rules/validation_errors",
    # What whole runs need.
    "integration/test_several_cameras.py": "config/multi_camera",
    "integration/test_faults_machine.py": "files/append",
    "integration/test_odd_files.py": "files/formats files/paths",
    "integration/test_small_files.py": "plots/image_files",
    "integration/test_refused_at_once.py": "sessions/files sessions/folder yaml_file",
}
"""Test module → the modules that it holds beside its own."""
DECLARATIONS = {"types", "sources/base"}
"""Modules with types and protocols alone, which mypy checks."""


def modules() -> list[str]:
    found = (path.relative_to(PACKAGE).with_suffix("").as_posix() for path in PACKAGE.rglob("*.py"))
    return sorted(name for name in found if not name.endswith("__init__"))


def mirror(module: str) -> Path:
    return TESTS / "unit" / Path(module).parent / f"test_{Path(module).name}.py"


@pytest.mark.parametrize("module", modules())
def test_a_module_has_its_tests(module: str) -> None:
    listed = [test for test, names in TOGETHER.items() if module in names.split()]
    if mirror(module).exists():
        assert not listed, f"it has {mirror(module).name}: take it off the list"
    elif module not in DECLARATIONS:
        assert len(listed) == 1, f"expected {mirror(module).relative_to(TESTS)}, or a line in TOGETHER"


def test_the_list_names_what_there_is() -> None:
    assert [test for test in TOGETHER if not (TESTS / test).exists()] == []
    names = {name for listed in TOGETHER.values() for name in listed.split()} | DECLARATIONS
    assert names <= set(modules())
