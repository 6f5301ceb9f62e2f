"""Pictures with boxes, written as labelme, Label Studio and CVAT export them."""

import base64
import json

from made_seen import SIZE, picture, pictures, some_items

ITEMS = some_items()  # of pictures of 40 x 60 pixels


def shape(label, box, kind="rectangle"):
    x1, y1, x2, y2 = box
    points = [[x2, y1], [x1, y2]]  # in any order
    if kind == "polygon":
        points = [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]
    return {"label": label, "points": points, "shape_type": kind, "flags": {}}


def labelme(root, items=ITEMS, kind="rectangle", inside=False, **more):
    root.mkdir(parents=True, exist_ok=True)
    for k, (name, boxes) in enumerate(items.items()):
        data = picture(k)
        if not inside:
            (root / f"{name}.png").write_bytes(data)
        record = {"version": "5.4", "flags": {}, "imagePath": f"..\\x\\{name}.png",
                  "imageData": base64.b64encode(data).decode() if inside else None,
                  "imageHeight": SIZE[0], "imageWidth": SIZE[1],
                  "shapes": [shape(label, box, kind) for label, box in boxes], **more}  # fmt: skip
        (root / f"{name}.json").write_text(json.dumps(record))
    return root


def result(label, box, turn=0, upward=False):
    x1, y1, x2, y2 = (100 * v / s for v, s in zip(box, (SIZE[1], SIZE[0]) * 2))
    value = {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1, "rotation": turn}
    if upward:
        value |= {"y": y2, "height": y1 - y2}
    return {"type": "rectanglelabels", "original_width": SIZE[1], "original_height": SIZE[0],
            "value": {**value, "rectanglelabels": [label]}}  # fmt: skip


def task(k, name, results, **more):
    return {"id": k, "data": {"image": f"/data/upload/1/0f6142f{k}-{name}.png"},
            "annotations": [{"was_cancelled": False, "result": results}],
            "predictions": [{"result": [result("hen", (1, 1, 9, 9))]}], **more}  # fmt: skip


def label_studio(root, items=ITEMS, change=lambda tasks: tasks, **how):
    pictures(root / "images", items)
    tasks = [
        task(k, name, [result(label, box, **how) for label, box in boxes])
        for k, (name, boxes) in enumerate(items.items())
    ]
    (root / "project-1.json").write_text(json.dumps(change(tasks)))
    return root


def cvat(root, body, items=ITEMS):
    pictures(root / "images", items)
    (root / "annotations.xml").write_text(
        f"<?xml version='1.0'?><annotations><version>1.1</version>{body}</annotations>"
    )
    return root


def marks(boxes, extra=""):
    return "".join(
        f'<box label="{label}" occluded="0" xtl="{a}" ytl="{b}" xbr="{c}" ybr="{d}" {extra}/>'
        for label, (a, b, c, d) in boxes
    )
