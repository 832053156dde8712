"""The queries of panels, filled in and asked as Grafana does."""
import json
import math
import urllib.parse
import urllib.request

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
# Steps that Grafana rounds to.
NICE = (15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def seconds(duration):
    """`30d` in seconds."""
    return int(duration[:-1]) * UNITS[duration[-1]]


class Series:
    """Labels, and samples as pairs of time and value."""

    def __init__(self, labels, samples):
        self.labels = labels
        self.samples = samples

    @property
    def last(self):
        """The newest value that is one."""
        return next((value for _, value in reversed(self.samples) if not math.isnan(value)), None)

    def name(self, legend):
        """The legend filled in."""
        text = legend
        for label, value in self.labels.items():
            text = text.replace("{{" + label + "}}", value)
        return text or ", ".join(f"{key}={value}" for key, value in self.labels.items())


class Prometheus:
    """A server, the time range that is looked at, and what was chosen in the variables."""

    def __init__(self, url, end, span, chosen):
        self.url, self.end, self.span = url.rstrip("/"), end, span
        self.chosen = {"job": ".+", "instance": ".+", "source": ".+", **chosen}

    def fill(self, expr):
        """The query as it is sent."""
        text = expr.replace("$__range", f"{self.span}s").replace("$__rate_interval", "240s")
        for name, value in self.chosen.items():
            text = text.replace(f"${name}", value)
        return text

    def ask(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=60) as answer:
            return json.load(answer)["data"]

    def target(self, target, width):
        """What one query of a panel finds; `width` in pixels says how finely."""
        query = self.fill(target["expr"])
        if target["instant"]:
            found = self.ask("query", query=query, time=f"{self.end:.3f}")
            found = [{"metric": one["metric"], "values": [one["value"]]} for one in found["result"]]
        else:
            found = self.over_time(query, width)
        read = []
        for one in found:
            samples = [(float(time), float(value)) for time, value in one["values"]]
            read.append(Series(one["metric"], samples))
        return read

    def step(self, width):
        """Between two samples: one for each pixel, at least a minute."""
        wanted = max(60, self.span / width)
        return next((step for step in NICE if step >= wanted), NICE[-1])

    def over_time(self, query, width):
        step = self.step(width)
        end = self.end // step * step
        start = (self.end - self.span) // step * step
        return self.ask("query_range", query=query, start=start, end=end, step=step)["result"]

    def values_of(self, variable):
        """What a variable offers."""
        if variable["type"] == "datasource":
            return ["Prometheus"]
        selector, label = variable["query"].removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
        return self.ask(f"label/{label}/values", **{"match[]": self.fill(selector)})

    def marks(self, annotation):
        """Where an annotation is drawn: pairs of begin and end."""
        is_time = annotation["useValueForTime"]
        step = 900
        marks = set()
        for one in self.over_time(self.fill(annotation["expr"]), self.span / step):
            begin = before = None
            for time, value in ((float(time), float(value)) for time, value in one["values"]):
                if is_time:
                    marks.add((value / 1000, value / 1000))
                    continue
                if begin is not None and time - before > 2 * self.step(self.span / step):
                    marks.add((begin, before))
                    begin = None
                begin, before = (time if begin is None else begin), time
            if begin is not None:
                marks.add((begin, before))
        return sorted(mark for mark in marks if mark[1] >= self.end - self.span)
