"""Panels over time as SVG: lines and states, with axes, legend and marks."""
import datetime
import math

from .drawing import escape, nothing
from .values import COLORS, Field, of_unit

GRID, FAINT = "rgba(204,204,220,.09)", "#9a9aa8"
# Room for what is written below a time axis.
AXIS = 22
# Axis steps: for durations those that people count in.
DURATIONS = (1, 5, 10, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400, 172800, 432000,
             604800, 1209600)


class Axis:
    """From values to pixels, with round numbers to mark."""

    def __init__(self, low, high, first, last, unit="none", wanted=5):
        self.low, self.first, self.last = low, first, last
        self.step = step_of((high - low) / wanted or 1, unit)
        self.high = low + math.ceil((high - low) / self.step * 0.9999) * self.step or low + self.step

    def at(self, value):
        share = (value - self.low) / (self.high - self.low)
        return self.first + share * (self.last - self.first)

    def marks(self):
        count = round((self.high - self.low) / self.step)
        return [self.low + self.step * number for number in range(count + 1)]


def step_of(least, unit):
    if unit == "s":
        return next((step for step in DURATIONS if step >= least), DURATIONS[-1])
    if unit == "bytes":
        return 2.0 ** math.ceil(math.log2(least))
    power = 10.0 ** math.floor(math.log10(least))
    factors = (1, 2, 5, 10) if unit == "none" else (1, 2, 2.5, 5, 10)
    step = next(power * factor for factor in factors if power * factor >= least * 0.9999)
    return max(1, step) if unit == "none" else step


def times(prometheus, left, right):
    """The time axis: position and text of each mark."""
    end, span = prometheus.end, prometheus.span
    axis = Axis(end - span, end, left, right)
    axis.high = end  # time ends where it ends, not at a round number
    step = next(it for it in (3600, 7200, 10800, 21600, 43200, 86400, 172800, 259200, 432000, 604800, 1209600)
                if it >= span / max(2, (right - left) / 78))
    first = math.ceil((end - span) / step) * step
    marks = []
    for time in range(int(first), int(end), int(step)):
        moment = datetime.datetime.fromtimestamp(time, datetime.timezone.utc)
        text = moment.strftime("%m/%d") if step % 86400 == 0 else moment.strftime("%m/%d %H:%M")
        marks.append((axis.at(time), text))
    return axis, marks


class Legend:
    """Names with their colours below a plot, in as many lines as they need, but not more than two."""

    LINE = 22

    def __init__(self, entries, place):
        self.lines, left = [[]], 8.0
        for name, color in entries:
            need = len(name) * 6.3 + 32
            if left + need > place.width and self.lines[-1]:
                self.lines.append([])
                left = 8.0
            self.lines[-1].append((left, name, color))
            left += need
        self.lines = self.lines[:2]
        self.top = place.height - self.LINE * len(self.lines)

    def draw(self):
        parts = []
        for line, entries in enumerate(self.lines):
            y = self.top + line * self.LINE
            for left, name, color in entries:
                parts.append(f'<rect x="{left:.0f}" y="{y + 9:.0f}" width="14" height="4" rx="2" fill="{color}"/>'
                             f'<text x="{left + 19:.0f}" y="{y + 15:.0f}" class="legend">{escape(name)}</text>')
        return "".join(parts)


def timeseries(panel, found, place, now, prometheus, marks):
    lines = []
    for target in panel["targets"]:
        for series in found[target["refId"]]:
            name = series.name(target["legendFormat"])
            field = Field(panel, now, name=name, ref=target["refId"])
            lines.append(Line(field.get("displayName") or name, field, series.samples, len(lines)))
    if not lines:
        return nothing(panel, place)
    legend = Legend([(line.name, line.color) for line in lines], place)
    plot = Plot(panel, lines, place, now, prometheus, legend.top)
    parts = [plot.frame(), plot.limits()]
    parts += [plot.line(line) for line in lines]
    parts += [plot.mark(*mark) for mark in marks]
    parts.append(legend.draw())
    return f'<svg width="{place.width}" height="{place.height}">{"".join(parts)}</svg>'


class Line:
    """A series to draw; when stacked, `base` is what it stands on."""

    def __init__(self, name, field, samples, number):
        self.name, self.field, self.samples = name, field, samples
        self.side = "right" if field.get("custom.axisPlacement") == "right" else "left"
        self.color = field.color(None, number) if field.get("color")["mode"] != "fixed" else field.color(0.0)
        self.base = None


class Plot:
    """The drawing area of one panel."""

    def __init__(self, panel, lines, place, now, prometheus, bottom):
        self.panel, self.now = panel, now
        field = lines[0].field
        if field.get("custom.stacking")["mode"] == "normal":
            self.stack(lines)
        self.unit, self.decimals = field.get("unit"), field.get("decimals")
        self.bottom = bottom - AXIS
        self.axes = {}
        for side in ("left", "right"):
            values = [value for line in lines if line.side == side for _, value in line.samples if not math.isnan(value)]
            if values:
                low = field.get("min", min(0, *values))
                high = max(values) * 1.04 or 1
                self.axes[side] = Axis(low, high, self.bottom, 8, self.unit, wanted=max(3, place.height // 55))
        room = {side: 14 + max(len(self.text(value)) for value in axis.marks()) * 6.4 for side, axis in self.axes.items()}
        self.left, self.right = room.get("left", 14), place.width - room.get("right", 14)
        self.horizontal, self.times = times(prometheus, self.left, self.right)
        self.gap = 3 * prometheus.step(place.width)

    def text(self, value):
        return of_unit(value, self.unit, None if self.unit == "s" else self.decimals, self.now)

    @staticmethod
    def stack(lines):
        below = {}
        for line in lines:
            line.base = [(time, below.get(time, 0.0)) for time, _ in line.samples]
            line.samples = [(time, below.get(time, 0.0) + value) for time, value in line.samples]
            below.update(line.samples)

    def frame(self):
        parts = []
        for side, axis in self.axes.items():
            x, anchor = (self.left - 7, "end") if side == "left" else (self.right + 7, "start")
            for value in axis.marks():
                y = axis.at(value)
                if side == "left" or len(self.axes) == 1:
                    parts.append(f'<line x1="{self.left:.1f}" x2="{self.right:.1f}" y1="{y:.1f}" y2="{y:.1f}" '
                                 f'stroke="{GRID}"/>')
                parts.append(f'<text x="{x:.1f}" y="{y + 4:.1f}" class="axis" text-anchor="{anchor}">'
                             f'{escape(self.text(value))}</text>')
        for x, text in self.times:
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="8" y2="{self.bottom:.1f}" stroke="{GRID}"/>'
                         f'<text x="{x:.1f}" y="{self.bottom + 16:.1f}" class="axis" text-anchor="middle">{text}</text>')
        return "".join(parts)

    def limits(self):
        config = self.panel["fieldConfig"]["defaults"]
        if config["custom"]["thresholdsStyle"]["mode"] == "off":
            return ""
        parts = []
        for step in config["thresholds"]["steps"][1:]:
            y = self.axes["left"].at(step["value"])
            parts.append(f'<line x1="{self.left:.1f}" x2="{self.right:.1f}" y1="{y:.1f}" y2="{y:.1f}" '
                         f'stroke="{COLORS[step["color"]]}" stroke-dasharray="8 6" stroke-width="1.5"/>')
        return "".join(parts)

    def runs(self, samples):
        """Samples without a gap between them."""
        run = []
        for time, value in samples:
            if run and (math.isnan(value) or time - run[-1][0] > self.gap):
                yield run
                run = []
            if not math.isnan(value):
                run.append((time, value))
        if run:
            yield run

    def points(self, samples, is_step, axis):
        path = []
        for time, value in samples:
            x, y = self.horizontal.at(time), axis.at(value)
            if is_step and path:
                path.append((x, path[-1][1]))
            path.append((x, y))
        return path

    def line(self, line):
        field, axis = line.field, self.axes[line.side]
        is_step = field.get("custom.lineInterpolation") == "stepAfter"
        style = field.get("custom.lineStyle")
        dash = f'stroke-dasharray="{style["dash"][0]} {style["dash"][1]}"' if style.get("dash") else ""
        bases = dict(line.base or [])
        parts = []
        for run in self.runs(line.samples):
            path = self.points(run, is_step, axis)
            drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in path)
            floor = self.points([(time, bases.get(time, axis.low)) for time, _ in run], is_step, axis)
            area = drawn + " " + " ".join(f"{x:.1f},{y:.1f}" for x, y in reversed(floor))
            opacity = field.get("custom.fillOpacity") / 100
            if opacity:
                parts.append(f'<polygon points="{area}" fill="{line.color}" fill-opacity="{opacity}"/>')
            parts.append(f'<polyline points="{drawn}" fill="none" stroke="{line.color}" {dash} stroke-linecap="round" '
                         f'stroke-linejoin="round" stroke-width="{field.get("custom.lineWidth") * 0.8:.1f}"/>')
        return "".join(parts)

    def mark(self, begin, end, color):
        low, high = self.horizontal.low, self.horizontal.high
        first, last = (self.horizontal.at(min(high, max(low, time))) for time in (begin, end))
        ink = COLORS[color]
        foot = (f'<path d="M{first - 4:.1f} {self.bottom + 5:.1f} l4 -5 l4 5 z" fill="{ink}"/>'
                f'<line x1="{first:.1f}" x2="{first:.1f}" y1="8" y2="{self.bottom:.1f}" stroke="{ink}" '
                'stroke-dasharray="3 3" stroke-width="1" stroke-opacity=".55"/>')
        if last - first > 3:
            return foot + (f'<rect x="{first:.1f}" y="8" width="{last - first:.1f}" height="{self.bottom - 8:.1f}" '
                           f'fill="{ink}" fill-opacity=".1"/><line x1="{first:.1f}" x2="{last:.1f}" y1="{self.bottom + 2:.1f}" '
                           f'y2="{self.bottom + 2:.1f}" stroke="{ink}" stroke-width="3"/>')
        return foot


def state_timeline(panel, found, place, now, prometheus, marks):
    del marks  # Grafana draws them on graphs only
    rows = [(series.name(target["legendFormat"]), series) for target in panel["targets"] for series in found[target["refId"]]]
    if not rows:
        return nothing(panel, place)
    left = max(len(name) for name, _ in rows) * 6.7 + 18
    field = Field(panel, now)
    named = [(result["text"], COLORS[result["color"]]) for it in field.get("mappings") for result in it["options"].values()]
    seen = {field.text(value) for _, series in rows for _, value in series.samples}
    legend = Legend([entry for entry in named if entry[0] in seen], place)
    right, bottom = place.width - 14, legend.top - AXIS
    axis, ticks = times(prometheus, left, right)
    height = (bottom - 6) / len(rows)
    parts = []
    for row, (name, series) in enumerate(rows):
        top = 6 + row * height
        parts.append(f'<text x="{left - 8:.1f}" y="{top + height / 2 + 4:.1f}" class="axis" text-anchor="end">'
                     f'{escape(name)}</text>')
        for begin, end, value in segments(series.samples, prometheus.step(place.width)):
            color = field.color(value)
            x = axis.at(max(axis.low, begin))
            wide = max(1.0, axis.at(min(axis.high, end)) - x)
            parts.append(f'<rect x="{x:.1f}" y="{top + height * .1:.1f}" width="{wide:.1f}" height="{height * .8:.1f}" '
                         f'fill="{color}" fill-opacity=".85"/>')
    for x, text in ticks:
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16:.1f}" class="axis" text-anchor="middle">{text}</text>')
    parts.append(legend.draw())
    return f'<svg width="{place.width}" height="{place.height}">{"".join(parts)}</svg>'


def segments(samples, step):
    """Begin, end and value of each stretch in which a series did not change."""
    begin = value = last = None
    for time, now in samples:
        if value is not None and (now != value or time - last > 3 * step):
            yield begin, min(time, last + step), value
            begin, value = time, now
        if value is None:
            begin, value = time, now
        last = time
    if value is not None:
        yield begin, last + step, value
