"""The same annotated pictures, written as each format has them."""

import json

from made_pictures import encoded, noise_u8

SIZE = (40, 60)  # H, W


def picture(seed, size=SIZE):
    return encoded(noise_u8(*size, 3, seed=seed))


def some_items(n=6):
    """name -> [(class, (x1, y1, x2, y2)), ...]; one without a box, two classes."""
    items = {
        f"p{k}": [("cat", (2 + k, 3, 20 + k, 30)), ("dog", (5, 1 + k, 9, 33))] for k in range(n)
    }
    items["p1"] = []
    return items


def pictures(folder, items, size=SIZE):
    folder.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(items):
        (folder / f"{name}.png").write_bytes(picture(k, size))


def voc_xml(name, boxes, size=SIZE, extra=""):
    objects = "".join(
        f"<object><name>{label}</name>{extra}<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for label, (x1, y1, x2, y2) in boxes
    )
    shape = f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}.png</filename>{shape}{objects}</annotation>"


def make_voc(root, items, **options):
    pictures(root / "JPEGImages", items)
    (root / "Annotations").mkdir()
    for name, boxes in items.items():
        (root / "Annotations" / f"{name}.xml").write_text(voc_xml(name, boxes, **options))
    return root


def coco_record(items, classes=("cat", "dog"), ids=(1, 7), size=SIZE):
    """With a gap between the numbers of the categories."""
    number = dict(zip(classes, ids))
    images = [
        {"id": k, "file_name": f"{name}.png", "width": size[1], "height": size[0]}
        for k, name in enumerate(items)
    ]
    annotations = [
        {"id": 0, "image_id": k, "category_id": number[label], "iscrowd": 0,
         "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for k, boxes in enumerate(items.values())
        for label, (x1, y1, x2, y2) in boxes
    ]  # fmt: skip
    categories = [{"id": i, "name": name} for name, i in number.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def make_coco(root, items, **options):
    pictures(root / "images", items)
    (root / "instances.json").write_text(json.dumps(coco_record(items, **options)))
    return root


def yolo_line(k, box, size=SIZE):
    (h, w), (x1, y1, x2, y2) = size, box
    return f"{k} {(x1 + x2) / 2 / w!r} {(y1 + y2) / 2 / h!r} {(x2 - x1) / w!r} {(y2 - y1) / h!r}\n"


def make_yolo(root, items, classes=("cat", "dog"), names="names: [cat, dog]\nnc: 2\n"):
    pictures(root / "images", items)
    (root / "labels").mkdir()
    for name, boxes in items.items():
        lines = [yolo_line(classes.index(label), box) for label, box in boxes]
        (root / "labels" / f"{name}.txt").write_text("".join(lines))
    if names:
        (root / "data.yaml").write_text(names)
    return root


def make_csv(root, items, header="filename,xmin,ymin,xmax,ymax,class"):
    pictures(root / "images", items)
    rows = [header] if header else []
    for name, boxes in items.items():
        rows += [f"{name}.png,{','.join(map(str, box))},{label}" for label, box in boxes]
        rows += [] if boxes else [f"{name}.png,,,,,"]
    (root / "boxes.csv").write_text("\n".join(rows) + "\n")
    return root


MAKERS = {"voc": make_voc, "coco": make_coco, "yolo": make_yolo, "csv": make_csv}


def kinds(data):
    """Problems by their kind."""
    found = {}
    for problem in data.problems:
        found.setdefault(problem.kind, []).append(problem)
    return found
