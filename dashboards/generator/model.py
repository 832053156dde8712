"""Grafana's dashboard model (version 38: Grafana 9.5, 10 and later), as far as we use it.

Knows how a panel is written down, nothing of what is asked: that is in `questions`, `fleet` and `source`.
dashboards/schema.json says the same from outside, and the test suite holds what is written here against it.
"""

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

# Names of Grafana's own colours: they look right in its dark and its light theme.
GOOD, RISK, BAD, PLAIN, CALM = "green", "orange", "red", "text", "blue"
# Neither good nor bad: not due yet.
IDLE = "#8e8e8e"


def target(expr, legend="", *, instant=False, table=False, ref=None):
    """One query. `refId` is given by the panel unless `ref` says it."""
    return {
        "refId": ref,
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": expr,
        "format": "table" if table else "time_series",
        "instant": instant or table,
        "range": not (instant or table),
        "interval": "" if instant or table else "1m",
        "legendFormat": legend,
    }


def steps(*pairs):
    """Thresholds: a colour, then from which value on which other colour."""
    first, *others = pairs
    listed = [{"color": first, "value": None}]
    listed += [{"color": color, "value": value} for value, color in others]
    return {"mode": "absolute", "steps": listed}


# Shares of an objective: the objective itself is 1, four fifths of it are the margin at which BackupSlaRpoAtRisk warns.
OF_OBJECTIVE = steps(GOOD, (0.8, RISK), (1, BAD))
# Shares of an error budget that are left.
OF_BUDGET = steps(BAD, (0, RISK), (0.25, GOOD))
NO_THRESHOLD = steps(PLAIN)


def values(**named):
    """Text and colour for single values, by value: `values(_0=("never", BAD))`."""
    options = {}
    for index, (value, (text, color)) in enumerate(named.items()):
        options[value.lstrip("_")] = {"text": text, "color": color, "index": index}
    return [{"type": "value", "options": options}]


def from_value(lowest, color):
    """A colour for `lowest` and everything above it; the number is shown as it is."""
    return [{"type": "range", "options": {"from": lowest, "to": None, "result": {"color": color, "index": 1}}}]


def override(matcher, name, **properties):
    """What differs for some fields: `matcher` is `byName` or `byFrameRefID`. `__` in a key stands for a dot."""
    listed = [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()]
    return {"matcher": {"id": matcher, "options": name}, "properties": listed}


def fixed(color):
    """One colour, whatever the value."""
    return {"mode": "fixed", "fixedColor": color}


def panel(kind, title, description, targets, options, *, unit, custom=None, overrides=(), links=(), **defaults):
    """A panel without a place. `defaults` are those of its fields."""
    for index, one in enumerate(targets):
        one["refId"] = one["refId"] or chr(ord("A") + index)
    field = {"unit": unit, "color": {"mode": "thresholds"}, "thresholds": NO_THRESHOLD, "mappings": []}
    field.update(defaults)
    if custom is not None:
        field["custom"] = custom
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": field, "overrides": list(overrides)},
        "options": options,
        "links": list(links),
        "transformations": [],
        "transparent": False,
    }


LAST = {"calcs": ["lastNotNull"], "fields": "", "values": False}


def stat(title, description, targets, *, unit, named=False, background=False, **more):
    """Big numbers; `named`: with what each is, `background`: in colour behind the number."""
    options = {
        "reduceOptions": LAST,
        "orientation": "auto",
        "textMode": "value_and_name" if named else "value",
        "colorMode": "background" if background else "value",
        "graphMode": "none",
        "justifyMode": "center",
        "wideLayout": True,
    }
    return panel("stat", title, description, targets, options, unit=unit, **more)


def bars(title, description, targets, *, unit, **more):
    """One horizontal bar for each series, as it is now."""
    options = {
        "reduceOptions": LAST,
        "orientation": "horizontal",
        "displayMode": "basic",
        "valueMode": "color",
        "showUnfilled": True,
        "minVizWidth": 0,
        "minVizHeight": 16,
        "namePlacement": "auto",
    }
    return panel("bargauge", title, description, targets, options, unit=unit, **more)


def graph(title, description, targets, *, unit, line="linear", fill=8, stacked=False, limit=False, **more):
    """Lines over time. `line`: `linear` or `stepAfter`; `limit`: thresholds are drawn as dashed lines."""
    custom = {
        "drawStyle": "line",
        "lineInterpolation": line,
        "lineWidth": 2,
        "lineStyle": {"fill": "solid"},
        "fillOpacity": fill,
        "gradientMode": "none",
        "showPoints": "never",
        "pointSize": 5,
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
        "axisPlacement": "auto",
        "axisLabel": "",
        "axisSoftMin": 0,
        "scaleDistribution": {"type": "linear"},
        "hideFrom": {"legend": False, "tooltip": False, "viz": False},
        "thresholdsStyle": {"mode": "dashed" if limit else "off"},
    }
    options = {
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "none"},
    }
    more.setdefault("color", {"mode": "palette-classic"})
    return panel("timeseries", title, description, targets, options, unit=unit, custom=custom, **more)


def states(title, description, targets, mappings, **more):
    """What state each series was in, over time."""
    options = {
        "mergeValues": True,
        "showValue": "never",
        "alignValue": "left",
        "rowHeight": 0.8,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    custom = {
        "lineWidth": 0,
        "fillOpacity": 85,
        "hideFrom": {"legend": False, "tooltip": False, "viz": False},
    }
    return panel(
        "state-timeline", title, description, targets, options, unit="none", custom=custom, mappings=mappings, **more
    )


class Column:
    """A column of a table: a label of the rows, or the value of one query."""

    def __init__(self, name, query=None, *, label=None, width=None, hidden=False, dropped=False, cell=None, links=(),
                 **properties):
        """`hidden` columns are there for links; of a `dropped` one only the labels of its query are wanted."""
        self.name, self.query, self.label, self.dropped = name, query, label, dropped
        self.properties = dict(properties)
        if width:
            self.properties["custom.width"] = width
        if hidden:
            self.properties["custom.hidden"] = True
        if cell:
            self.properties["custom.cellOptions"] = cell
        if links:
            self.properties["links"] = list(links)

    def override(self):
        """Properties of the column by its final name; none where it is like all."""
        listed = [{"id": key, "value": value} for key, value in self.properties.items()]
        return {"matcher": {"id": "byName", "options": self.name}, "properties": listed} if listed else None


COLORED = {"type": "color-text"}
FILLED = {"type": "color-background", "mode": "basic"}
GAUGE = {"type": "gauge", "mode": "basic", "valueDisplayMode": "color"}


def table(title, description, columns, *, sort, empty="", **more):
    """One row for each set of labels that the queries of all `columns` share; `sort`: columns and whether descending."""
    queries = [column for column in columns if column.query]
    targets = [target(column.query, table=True) for column in queries]
    options = {
        "showHeader": True,
        "cellHeight": "sm",
        "footer": {"show": False, "reducer": ["sum"], "countRows": False, "fields": ""},
        "sortBy": [{"displayName": name, "desc": descending} for name, descending in sort],
    }
    custom = {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False, "filterable": False}
    overrides = [column.override() for column in columns if column.override()]
    made = panel(
        "table", title, description, targets, options, unit="none", custom=custom, overrides=overrides, noValue=empty, **more
    )
    # With one query its value is called `Value`, with several `Value #A` and so on.
    letters = {column.name: one["refId"] for column, one in zip(queries, targets)}

    def field(column):
        if column.label:
            return column.label
        return "Value" if len(targets) == 1 else f"Value #{letters[column.name]}"

    kept = [column for column in columns if not column.dropped]
    organize = {
        "excludeByName": {"Time": True, **{field(column): True for column in columns if column.dropped}},
        "indexByName": {field(column): index for index, column in enumerate(kept)},
        "renameByName": {field(column): column.name for column in kept},
    }
    made["transformations"] = [{"id": "merge", "options": {}}, {"id": "organize", "options": organize}]
    return made


def variable(name, query):
    """A list to choose from, filled by Prometheus; `All` matches whatever is there."""
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": DATASOURCE,
        "query": query,
        "definition": query,
        "regex": "",
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
        "hide": 0,
        "skipUrlSync": False,
    }


def datasource_variable():
    """Which Prometheus is asked."""
    return {
        "name": "datasource",
        "label": "Data Source",
        "type": "datasource",
        "query": "prometheus",
        "regex": "",
        "refresh": 1,
        "multi": False,
        "includeAll": False,
        "current": {"selected": False, "text": "default", "value": "default"},
        "options": [],
        "hide": 0,
        "skipUrlSync": False,
    }


def annotation(name, expr, text, color, *, tags="", value_is_time=False, enable=True):
    """Marks on every graph, where `expr` is 1, or at the times (ms) that are its values."""
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": enable,
        "hide": False,
        "iconColor": color,
        "expr": expr,
        "step": "60s",
        "titleFormat": name,
        "textFormat": text,
        "tagKeys": tags,
        "useValueForTime": value_is_time,
    }


def place(rows):
    """Panels of the whole grid from rows of `(height, [(width, panel), …])`; instead of a panel there may be a column of
    `(height, panel)`, and instead of a row the title of a group."""
    placed, top = [], 0
    for row in rows:
        if isinstance(row, str):
            placed.append({"type": "row", "title": row, "collapsed": False, "panels": [], "gridPos": at(0, top, 24, 1)})
            top += 1
            continue
        height, panels = row
        left = 0
        for width, column in panels:
            under = top
            for high, one in column if isinstance(column, list) else [(height, column)]:
                placed.append({**one, "gridPos": at(left, under, width, high)})
                under += high
            left += width
        top += height
    return [{"id": number, **one} for number, one in enumerate(placed, 1)]


def at(left, top, width, height):
    return {"x": left, "y": top, "w": width, "h": height}


def dashboard(uid, title, description, *, variables, annotations, rows, since):
    """A whole dashboard. Its links lead to the other one and keep time range and variables."""
    link = {
        "type": "dashboards",
        "title": "backup-sla",
        "tags": ["backup-sla"],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }
    return {
        "id": None,
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["backup-sla"],
        "schemaVersion": 38,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "browser",
        "fiscalYearStartMonth": 0,
        "weekStart": "",
        "liveNow": False,
        "refresh": "1m",
        "time": {"from": since, "to": "now"},
        "timepicker": {},
        "links": [link],
        "annotations": {"list": annotations},
        "templating": {"list": [datasource_variable(), *variables]},
        "panels": place(rows),
    }
