// For monitoring that is deployed with jsonnet: the YAML files and dashboards beside this one as they are, nothing of its own.
{
  prometheusAlerts+:: {
    groups+: std.parseYaml(importstr 'backup-sla.rules.yml').groups,
  },
  prometheusRules+:: {
    groups+: std.parseYaml(importstr 'backup-sla.recording.yml').groups,
  },
  grafanaDashboards+:: {
    'backup-sla-fleet.json': import '../dashboards/fleet.json',
    'backup-sla-source.json': import '../dashboards/source.json',
  },
}
