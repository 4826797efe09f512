"""COCO keypoints with their images, as one ``.zip`` that CVAT imports, and what CVAT and Label Studio need beside it.

The names of the images say recording and frame (``mouse__img00000012.png``), because Label Studio keeps no folders.
Positions are those of the labels, to the last bit: flag 2 is a labelled keypoint, 0 one without a label.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Sequence
from io import BytesIO
from xml.sax.saxutils import quoteattr

import numpy as np

from realtime_cropzoom.files.atomic import MAKE_ROOM, make_folder, write_whole
from realtime_cropzoom.labelling.exports.job import Exported, ExportJob
from realtime_cropzoom.labelling.frame_table import FrameRow
from realtime_cropzoom.labelling.matching import flat_name
from realtime_cropzoom.plots.overlay import palette
from realtime_cropzoom.sources.image_file import read_image
from realtime_cropzoom.types import Float64

CATEGORY = "animal"
_SUBSET = "default"
_TIME = (1980, 1, 1, 0, 0, 0)
"""Of each file in the ``.zip``, so that the same frames give the same bytes."""


def export_coco(job: ExportJob) -> Exported:
    """Write a ``.zip`` with annotations and images, the skeleton for CVAT, and the labels for Label Studio.

    Args:
        job: What to export.

    Raises:
        DataError: if a frame cannot be read.
        SinkError: if a file cannot be written.
    """
    rows = sorted(job.rows, key=lambda row: row.image)
    annotations = json.dumps(_tree(job, rows), ensure_ascii=False, indent=1)
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        name = f"annotations/person_keypoints_{_SUBSET}.json"
        archive.writestr(zipfile.ZipInfo(name, _TIME), annotations, zipfile.ZIP_DEFLATED)
        for row in rows:
            info = zipfile.ZipInfo(f"images/{_SUBSET}/{flat_name(row)}", _TIME)
            archive.writestr(info, job.picture(row).read_bytes())
    path = job.folder / f"{job.project.name}_coco.zip"
    write_whole(path, content.getvalue(), MAKE_ROOM)
    write_whole(job.folder / "cvat_labels.json", json.dumps(_cvat_labels(job), indent=1), MAKE_ROOM)
    write_whole(job.folder / "label_studio.xml", _label_studio(job), MAKE_ROOM)
    make_folder(job.folder / "images")
    for row in rows:
        write_whole(job.folder / "images" / flat_name(row), job.picture(row).read_bytes(), MAKE_ROOM)
    return Exported(path)


def _tree(job: ExportJob, rows: Sequence[FrameRow]) -> dict[str, object]:
    """Return the content of the COCO file."""
    images, annotations = [], list[dict[str, object]]()
    for number, row in enumerate(rows, 1):
        height, width = read_image(job.picture(row)).shape[:2]
        images.append({"id": number, "file_name": flat_name(row), "width": width, "height": height})
        xy = job.labels.get(row.image, job.predictions.get(row.image))
        if xy is not None:
            annotations.append(_annotation(len(annotations) + 1, number, xy))
    category = {
        "id": 1,
        "name": CATEGORY,
        "supercategory": "",
        "keypoints": list(job.project.keypoints),
        "skeleton": [[a + 1, b + 1] for a, b in job.project.skeleton],
    }
    return {"images": images, "annotations": annotations, "categories": [category]}


def _annotation(number: int, image: int, xy: Float64) -> dict[str, object]:
    there = [bool(np.isfinite(point).all()) for point in xy]
    (left, top), (right, bottom) = np.nanmin(xy, axis=0).tolist(), np.nanmax(xy, axis=0).tolist()
    triples = ([x, y, 2] if found else [0, 0, 0] for (x, y), found in zip(xy.tolist(), there, strict=True))
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": [value for triple in triples for value in triple],
        "num_keypoints": sum(there),
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
        "segmentation": [],
    }


def _cvat_labels(job: ExportJob) -> list[dict[str, object]]:
    """Return the skeleton as CVAT's label constructor has it on its tab *Raw*."""
    names = job.project.keypoints
    colours = ["#" + bytes(colour).hex() for colour in palette(len(names))]
    places = [_on_a_circle(k, len(names)) for k in range(len(names))]
    lines = [
        f'<line x1="{places[a][0]}" y1="{places[a][1]}" x2="{places[b][0]}" y2="{places[b][1]}" stroke="black" '
        f'data-type="edge" data-node-from="{a + 1}" data-node-to="{b + 1}"></line>'
        for a, b in job.project.skeleton
    ]
    circles = [
        f'<circle r="1.5" stroke="black" fill="{colour}" cx="{x}" cy="{y}" stroke-width="0.1" '
        f'data-type="element node" data-element-id="{k}" data-node-id="{k}" data-label-name={quoteattr(name)}></circle>'
        for k, (name, colour, (x, y)) in enumerate(zip(names, colours, places, strict=True), 1)
    ]
    sublabels = [
        {"name": name, "color": colour, "type": "points", "attributes": []}
        for name, colour in zip(names, colours, strict=True)
    ]
    svg = "".join([*lines, *circles])
    return [{"name": CATEGORY, "type": "skeleton", "attributes": [], "sublabels": sublabels, "svg": svg}]


def _on_a_circle(k: int, count: int) -> tuple[float, float]:
    angle = 2 * math.pi * k / count
    return round(50 + 40 * math.sin(angle), 1), round(50 - 40 * math.cos(angle), 1)


def _label_studio(job: ExportJob) -> str:
    """Return the labelling interface for Label Studio."""
    colours = ["#" + bytes(colour).hex() for colour in palette(len(job.project.keypoints))]
    labels = "".join(
        f"    <Label value={quoteattr(name)} background={quoteattr(colour)}/>\n"
        for name, colour in zip(job.project.keypoints, colours, strict=True)
    )
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true" zoomControl="true"/>\n'
        f'  <KeyPointLabels name="keypoints" toName="image">\n{labels}  </KeyPointLabels>\n</View>\n'
    )
