"""How Grafana writes a value, and in which colour (its dark theme)."""
import math

COLORS = {
    "green": "#73BF69", "orange": "#FF9830", "red": "#F2495C", "blue": "#5794F2", "purple": "#B877D9",
    "yellow": "#FADE2A", "#8e8e8e": "#8e8e8e", "semi-dark-blue": "#3274D9", "text": "#CCCCDC", "transparent": "transparent",
}
PALETTE = ("#73BF69", "#F2CC0C", "#8AB8FF", "#FF780A", "#F2495C", "#5794F2", "#B877D9", "#705DA0", "#37872D", "#FADE2A",
           "#447EBC", "#C15C17")

TIMES = ((31536000, "year"), (604800, "week"), (86400, "day"), (3600, "hour"), (60, "min"))
IEC = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def fixed(value, decimals):
    """Grafana's toFixed: as many decimals as make sense if nobody says how many."""
    if decimals is None:
        if value == 0 or value % 1 == 0:
            decimals = 0
        else:
            # Three digits that say something.
            decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{decimals}f}"
    return "0" if text.strip("-0.") == "" and decimals == 0 else text


def ago(milliseconds, now):
    """A date as moment.js says it."""
    distance = milliseconds / 1000 - now
    for limit, unit, one, many in (
        (45, 1, "a few seconds", ""), (90, 1, "a minute", ""), (2700, 60, "", "minutes"), (5400, 1, "an hour", ""),
        (79200, 3600, "", "hours"), (129600, 1, "a day", ""), (2246400, 86400, "", "days"), (3888000, 1, "a month", ""),
        (27648000, 2629800, "", "months"), (math.inf, 31557600, "", "years"),
    ):
        if abs(distance) < limit:
            text = one or f"{max(2, round(abs(distance) / unit))} {many}"
            return f"in {text}" if distance > 0 else f"{text} ago"
    raise AssertionError("every distance is below infinity")


def of_unit(value, unit, decimals, now):
    if unit == "dateTimeFromNow":
        return ago(value, now)
    if unit == "percentunit":
        return f"{fixed(value * 100, decimals)}%"
    if unit == "s":
        for length, name in TIMES:
            if abs(value) >= length:
                number = fixed(value / length, decimals)
                return f"{number} {name}" if number == "1" else f"{number} {name}s"
        return f"{fixed(value, decimals)} s"
    if unit == "bytes":
        power = 0
        while abs(value) >= 1024 and power < len(IEC) - 1:
            value, power = value / 1024, power + 1
        return f"{fixed(value, decimals)} {IEC[power]}"
    return fixed(value, decimals)


class Field:
    """How one field of a panel is shown: the panel's defaults, and what differs for it."""

    def __init__(self, panel, now, *, name=None, ref=None):
        config = panel["fieldConfig"]
        self.now = now
        self.properties = {}
        for key, value in config["defaults"].items():
            if key == "custom":
                self.properties.update({f"custom.{inner}": it for inner, it in value.items()})
            else:
                self.properties[key] = value
        for override in config["overrides"]:
            matcher = override["matcher"]
            if matcher["options"] == (name if matcher["id"] == "byName" else ref):
                self.properties.update({one["id"]: one["value"] for one in override["properties"]})

    def get(self, key, default=None):
        return self.properties.get(key, default)

    def mapped(self, value):
        """Text and colour that a mapping gives; either may be missing."""
        for mapping in self.get("mappings", []):
            options = mapping["options"]
            if mapping["type"] == "value":
                key = str(int(value)) if isinstance(value, float) and value == int(value) else str(value)
                if key in options:
                    return options[key]["text"], COLORS[options[key]["color"]]
            elif value >= (options["from"] if options["from"] is not None else -math.inf):
                return None, COLORS[options["result"]["color"]]
        return None, None

    def text(self, value):
        return self.mapped(value)[0] or of_unit(value, self.get("unit"), self.get("decimals"), self.now)

    def threshold(self, value):
        """Colour of the threshold that a value has reached."""
        reached = [step for step in self.get("thresholds")["steps"] if step["value"] is None or value >= step["value"]]
        return COLORS[reached[-1]["color"]]

    def color(self, value, place=0):
        """Colour of a value; `place` counts series where each has its own."""
        mapped = self.mapped(value)[1] if value is not None else None
        mode = self.get("color")
        if mapped:
            return mapped
        if mode["mode"] == "fixed":
            return COLORS[mode["fixedColor"]]
        if mode["mode"] == "palette-classic" or value is None:
            return PALETTE[place % len(PALETTE)]
        return self.threshold(value)
