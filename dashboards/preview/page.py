"""The page: what is above the panels, and the panels where the grid has them."""
import datetime

from . import plots
from .drawing import bargauge, escape, stat, table
from .values import COLORS

# Grafana's grid: rows of 30 pixels, 8 between panels.
CELL, GAP, HEAD = 30, 8, 34
NAVIGATION = 96
NOTE = 34

STYLE = """
* { box-sizing: border-box; }
body { margin: 0; background: #111217; color: #CCCCDC; font: 13px/1.4 Inter, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif;
  position: relative; font-variant-numeric: tabular-nums; }
.bar { position: absolute; left: 0; right: 0; display: flex; align-items: center; gap: 8px; padding: 0 16px; }
.crumbs { top: 0; height: 44px; border-bottom: 1px solid #23252b; background: #181b1f; }
.crumbs .grow, .choices .grow { flex: 1; }
.choices { top: 50px; height: 40px; }
.box { border: 1px solid #2f3137; background: #111217; border-radius: 2px; padding: 5px 9px; white-space: nowrap; }
.key { background: #181b1f; border: 1px solid #2f3137; border-right: 0; border-radius: 2px 0 0 2px; padding: 5px 9px; font-weight: 500;
  font-size: 12px; white-space: nowrap; }
.key + .box { border-radius: 0 2px 2px 0; margin-left: -8px; }
.switch { display: flex; align-items: center; gap: 6px; color: #CCCCDC; font-size: 12px; white-space: nowrap; }
.switch i { width: 22px; height: 12px; border-radius: 6px; background: #3d71d9; } .switch i.off { background: #34363c; }
.panel { position: absolute; background: #181b1f; border: 1px solid #24262c; border-radius: 2px; overflow: hidden; }
.title { height: 34px; padding: 8px 8px 0 9px; font-size: 13.5px; font-weight: 500; white-space: nowrap; }
.title small { display: inline-block; width: 13px; height: 13px; margin-left: 6px; border: 1.2px solid #7b7b88; border-radius: 50%;
  color: #9a9aa8; font-size: 9.5px; line-height: 10.5px; text-align: center; vertical-align: 1px; }
.content { padding: 0 8px 8px; }
.row { position: absolute; font-size: 16px; font-weight: 500; display: flex; align-items: center; gap: 8px; padding-left: 2px; }
.middle, .stat { display: flex; flex-direction: column; align-items: center; justify-content: center; }
.stat { border-radius: 2px; }
table { border-collapse: collapse; table-layout: fixed; width: 100%; }
th { text-align: left; font-weight: 500; color: #6E9FFF; padding: 0 7px; height: 28px; font-size: 12px; white-space: nowrap;
  overflow: hidden; text-overflow: ellipsis; }
td { padding: 0 7px; height: 29px; border-top: 1px solid #24262c; font-size: 12.5px; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; }
td.link { color: #6E9FFF; }
text { font-family: inherit; } .axis { font-size: 11px; fill: #9a9aa8; } .legend { font-size: 12px; fill: #CCCCDC; }
.name { font-size: 13px; } .value { font-size: 13px; font-weight: 500; }
.note { position: absolute; left: 16px; color: #8e8e99; font-size: 12px; }
"""


class Place:
    """Room for the content of a panel, in pixels."""

    def __init__(self, panel, width):
        grid = panel["gridPos"]
        column = (width - 2 * 16 + GAP) / 24
        self.left = 16 + grid["x"] * column
        self.top = NAVIGATION + grid["y"] * (CELL + GAP)
        self.full_width = grid["w"] * column - GAP
        self.full_height = grid["h"] * (CELL + GAP) - GAP
        self.width = int(self.full_width - 18)
        self.height = int(self.full_height - HEAD - 10)

    def style(self):
        return f"left:{self.left:.1f}px;top:{self.top}px;width:{self.full_width:.1f}px;height:{self.full_height}px"


def draw(dashboard, prometheus, width):
    """The page of a dashboard, and how high it is."""
    now = prometheus.end
    marks = []
    for annotation in dashboard["annotations"]["list"]:
        if annotation["enable"]:
            marks += [(begin, end, annotation["iconColor"]) for begin, end in prometheus.marks(annotation)]
    parts = [above(dashboard, prometheus)]
    bottom = 0
    for panel in dashboard["panels"]:
        place = Place(panel, width)
        bottom = max(bottom, place.top + place.full_height)
        if panel["type"] == "row":
            parts.append(f'<div class="row" style="{place.style()}"><span style="color:#8e8e99">⌄</span>'
                         f'{escape(panel["title"])}</div>')
            continue
        parts.append(one(panel, prometheus, place, now, marks))
    height = bottom + NOTE
    parts.append(f'<div class="note" style="top:{bottom + 9}px">Preview, drawn from what Prometheus answers to the queries of '
                 "the panels (scripts/preview-dashboards). It is not Grafana.</div>")
    title = escape(dashboard["title"])
    body = f'<body style="width:{width}px;height:{height}px">{"".join(parts)}</body>'
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>{body}</html>', height


def one(panel, prometheus, place, now, marks):
    found = {target["refId"]: prometheus.target(target, place.width) for target in panel["targets"]}
    kinds = {"stat": stat, "bargauge": bargauge, "table": table}
    over_time = {"timeseries": plots.timeseries, "state-timeline": plots.state_timeline}
    if panel["type"] in kinds:
        content = kinds[panel["type"]](panel, found, place, now)
    else:
        content = over_time[panel["type"]](panel, found, place, now, prometheus, marks)
    empty = "" if any(found.values()) else " data-empty"
    title = escape(panel["title"])
    return (f'<section class="panel" style="{place.style()}" data-title="{title}"{empty}>'
            f'<div class="title">{title}<small>i</small></div><div class="content">{content}</div></section>')


def above(dashboard, prometheus):
    span = f"Last {prometheus.span // 86400} days"
    moment = datetime.datetime.fromtimestamp(prometheus.end, datetime.timezone.utc)
    crumbs = (f'<div class="bar crumbs"><span style="color:#8e8e99">Dashboards ›</span><b style="font-weight:500">'
              f'{escape(dashboard["title"])}</b><span class="grow"></span><span class="box">◷ {span} · until '
              f'{moment:%Y-%m-%d %H:%M} UTC</span><span class="box">↻ {dashboard["refresh"]}</span></div>')
    choices = []
    for variable in dashboard["templating"]["list"]:
        chosen = prometheus.chosen.get(variable["name"], "")
        text = prometheus.values_of(variable)[0] if variable["type"] == "datasource" else chosen
        text = "All" if text == ".+" else text
        choices.append(f'<span class="key">{escape(variable["label"])}</span><span class="box">{escape(text)} ⌄</span>')
    for annotation in dashboard["annotations"]["list"]:
        off = "" if annotation["enable"] else "off"
        ground = f'style="background:{COLORS[annotation["iconColor"]]}"' if annotation["enable"] else ""
        choices.append(f'<span class="switch"><i class="{off}" {ground}></i>{escape(annotation["name"])}</span>')
    other = "Backup SLA / Source" if dashboard["uid"].endswith("fleet") else "Backup SLA / Fleet"
    choices.append(f'<span class="grow"></span><span class="box">↗ {other}</span>')
    return crumbs + f'<div class="bar choices">{"".join(choices)}</div>'
