"""Tables: what the queries of a panel find, put together by its transformations."""


def rows(panel, found):
    """Names of the columns, and rows by name; `found` is the series of each query by its reference."""
    several = len(panel["targets"]) > 1
    frames = []
    for ref, series in found.items():
        value = f"Value #{ref}" if several else "Value"
        labels = {name for one in series for name in one.labels}
        frame = [{**dict.fromkeys(labels, ""), **one.labels, value: one.last} for one in series]
        if frame:
            frames.append(frame)
    merged = merge(frames)
    organize = next(step["options"] for step in panel["transformations"] if step["id"] == "organize")
    renamed, order = organize["renameByName"], organize["indexByName"]
    present = {name for row in merged for name in row}
    kept = sorted((name for name in present if name in order), key=order.get)
    columns = [renamed[name] for name in kept]
    listed = [{renamed[name]: row.get(name) for name in kept} for row in merged]
    for key in reversed(panel["options"]["sortBy"]):
        by = key["displayName"]
        listed.sort(key=lambda row: (row.get(by) is not None, row.get(by)), reverse=key["desc"])
    return columns, listed


def merge(frames):
    """Rows that agree in every field that all frames have become one."""
    if not frames:
        return []
    shared = set.intersection(*({name for row in frame for name in row} for frame in frames))
    merged = {}
    for frame in frames:
        for row in frame:
            merged.setdefault(tuple(row.get(name) for name in sorted(shared)), {}).update(row)
    return list(merged.values())
