"""Panels as HTML and SVG: numbers, bars and tables. Graphs over time are in `plots`."""
import html

from . import frames
from .values import COLORS, Field

TRACK = "#22252B"


def escape(text):
    return html.escape(str(text), quote=True)


def span(text, size, color, weight=400, extra=""):
    return f'<span style="font-size:{size:.0f}px;color:{color};font-weight:{weight};{extra}">{escape(text)}</span>'


def shown(panel, found, now):
    """What a panel with one value for each series shows: name, field and value."""
    listed = []
    for target in panel["targets"]:
        for series in found[target["refId"]]:
            if series.last is not None:
                field = Field(panel, now, name=series.name(target["legendFormat"]), ref=target["refId"])
                listed.append((field.get("displayName") or series.name(target["legendFormat"]), field, series.last))
    return listed


def nothing(panel, place):
    """What is said where there is no data."""
    text = panel["fieldConfig"]["defaults"].get("noValue") or "No data"
    return f'<div class="middle" style="height:{place.height}px">{span(text, 15, "#8e8e99")}</div>'


def stat(panel, found, place, now):
    """Big numbers beside each other."""
    listed = shown(panel, found, now)
    if not listed:
        return nothing(panel, place)
    named = panel["options"]["textMode"] == "value_and_name"
    behind = panel["options"]["colorMode"] == "background"
    width = place.width / len(listed)
    cells = []
    texts = [field.text(value) for _, field, value in listed]
    widest = max(len(text) for text in texts)
    size = min(width * 0.92 / max(widest * 0.58, 1), place.height * (0.44 if named else 0.62), 46)
    for (name, field, value), text in zip(listed, texts):
        color = field.color(value)
        ink, ground = ("#ffffff", f"background:{color};") if behind else (color, "")
        label = ""
        if named:
            smaller = max(10, min(14, width * 1.75 / max(len(name), 1)))
            label = span(name, smaller, ink if behind else COLORS["text"], extra="opacity:.85;white-space:nowrap")
        number = span(text, size, ink, 500, "white-space:nowrap;line-height:1.15")
        cells.append(f'<div class="stat" style="width:{width:.1f}px;height:{place.height}px;{ground}">{label}{number}</div>')
    return f'<div style="display:flex">{"".join(cells)}</div>'


def bargauge(panel, found, place, now):
    """A horizontal bar for each series."""
    listed = shown(panel, found, now)
    if not listed:
        return nothing(panel, place)
    names = max(len(name) for name, _, _ in listed) * 7.6 + 14
    values = 66
    height = place.height / len(listed)
    bars = []
    for at, (name, field, value) in enumerate(listed):
        low, high = field.get("min", 0), field.get("max", 1)
        share = min(1, max(0, (value - low) / (high - low)))
        color = field.color(value)
        thick = min(34, height * 0.62)
        top = at * height + (height - thick) / 2
        full = place.width - names - values - 12
        middle = at * height + height / 2 + 5
        bars.append(
            f'<text x="{names - 12:.0f}" y="{middle:.0f}" class="name" text-anchor="end" fill="{COLORS["text"]}">'
            f'{escape(name)}</text><rect x="{names:.0f}" y="{top:.1f}" width="{full:.0f}" height="{thick:.1f}" fill="{TRACK}"/>'
            f'<rect x="{names:.0f}" y="{top:.1f}" width="{full * share:.1f}" height="{thick:.1f}" fill="{color}" '
            f'fill-opacity=".35"/><rect x="{names + full * share - 2:.1f}" y="{top:.1f}" width="2" height="{thick:.1f}" '
            f'fill="{color}"/><text x="{names + full + 10:.0f}" y="{middle + 1:.0f}" class="value" fill="{color}">'
            f'{escape(field.text(value))}</text>')
    return f'<svg width="{place.width}" height="{place.height}">{"".join(bars)}</svg>'


def table(panel, found, place, now):
    """Rows, with the cells as the columns want them."""
    columns, rows = frames.rows(panel, found)
    fields = {name: Field(panel, now, name=name) for name in columns}
    columns = [name for name in columns if not fields[name].get("custom.hidden")]
    if not rows:
        return nothing(panel, place)
    widths = widths_of(columns, fields, place.width)
    arrow = {by["displayName"]: " ↓" if by["desc"] else " ↑" for by in panel["options"]["sortBy"]}
    head = "".join(
        f'<th style="width:{width:.0f}px">{escape(name)}{arrow.get(name, "")}</th>' for name, width in zip(columns, widths))
    body = []
    for row in rows:
        cells = (cell(fields[name], row.get(name), width) for name, width in zip(columns, widths))
        body.append(f'<tr>{"".join(cells)}</tr>')
    return (f'<div style="height:{place.height}px;overflow:hidden"><table><thead><tr>{head}</tr></thead>'
            f'<tbody>{"".join(body)}</tbody></table></div>')


def widths_of(columns, fields, width):
    """Columns without a width share what is left."""
    wanted = [fields[name].get("custom.width") for name in columns]
    left = width - sum(one or 0 for one in wanted)
    free = max(60, left / max(1, sum(one is None for one in wanted)))
    return [one or free for one in wanted]


def cell(field, value, width):
    kind = field.get("custom.cellOptions")["type"]
    if value is None or value == "":
        return "<td></td>"
    if isinstance(value, str):
        link = "link" if field.get("links") else ""
        return f'<td class="{link}">{escape(value)}</td>'
    text, color = field.text(value), field.color(value)
    if kind == "color-background" and color != "transparent":
        return f'<td style="background:{color};color:#fff;font-weight:500">{escape(text)}</td>'
    if kind == "gauge" and field.mapped(value)[0] is None:
        low, high = field.get("min", 0), field.get("max", 1)
        share = min(1, max(0, (value - low) / (high - low)))
        full = width - 80
        return (f'<td><svg width="{width - 16:.0f}" height="20" style="display:block"><rect x="0" y="1" width="{full:.0f}" '
                f'height="18" fill="{TRACK}"/><rect x="0" y="1" width="{full * share:.1f}" height="18" fill="{color}" '
                f'fill-opacity=".45"/><rect x="{max(0, full * share - 2):.1f}" y="1" width="2" height="18" fill="{color}"/>'
                f'<text x="{full + 8:.0f}" y="15" class="value" fill="{color}">{escape(text)}</text></svg></td>')
    ink = color if kind in ("color-text", "gauge") and color != "transparent" else COLORS["text"]
    return f'<td style="color:{ink}">{escape(text)}</td>'
