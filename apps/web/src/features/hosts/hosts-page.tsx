// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatBytes, formatRatio, formatValue } from "@waggle/units";
import Link from "next/link";
import cardStyles from "@/components/chart-card.module.css";
import { type Column, DataTable } from "@/components/data-table";
import { PanelState } from "@/components/panel-state";
import { SimulatedBadge } from "@/components/simulated";
import { StatusMark } from "@/components/status-mark";
import { useHosts, usePanelQuery, useSignals } from "@/lib/api/hooks";
import { useLinks } from "@/lib/links";
import { hostPredicate } from "@/lib/page-filter";
import { useView } from "@/lib/view";
import { stateText } from "../fleet/comb-card";
import { Enrol } from "../fleet/enrol";
import { type HostRow, hostRows, levelOfHost, worstFirst } from "../fleet/host-rows";
import { FLEET_METRICS } from "../fleet/metrics";
import styles from "../page.module.css";
import { HOSTS_MAX, RTT, SEGMENTS } from "../query-defs";

/** Every host on one line, worst first. */
export function HostsPage() {
  const view = useView();
  const links = useLinks();
  const hosts = useHosts();
  const signals = useSignals();
  const shared = { by: ["host"], limit: HOSTS_MAX, shape: "total" } as const;
  const segments = usePanelQuery({ ...shared, signal: "tcp_connections", select: SEGMENTS });
  const rtt = usePanelQuery({ ...shared, signal: "tcp_rtt", select: [{ measure: RTT, aggregate: "p99" }] });
  const connects = usePanelQuery({ ...shared, signal: "tcp_connect_failures", select: [{ measure: "count", aggregate: "rate" }] });
  const syscalls = usePanelQuery({ ...shared, signal: "syscall_errors", select: [{ measure: "count", aggregate: "rate" }] });

  if (!hosts.data) {
    return (
      <>
        <h1 className={styles["title"]}>Hosts</h1>
        <PanelState
          cause={hosts.error ? { kind: "failed", problem: hosts.error.problem } : { kind: "loading" }}
          height={360}
          zone={view.zone}
          nowMs={view.nowMs}
          onRetry={() => void hosts.refetch()}
          onClearFilter={() => view.setFilter("")}
          onLatest={() => view.setRange({ from: "now-15m", to: "now" })}
        />
      </>
    );
  }
  if (hosts.data.length === 0) return <Enrol />;

  const rows = hostRows(hosts.data.filter(hostPredicate(view.filter, hosts.data, signals.data)), {
    segments: segments.result.data,
    rtt: rtt.result.data,
    connects: connects.result.data,
    syscalls: syscalls.result.data,
  });
  const columns: Column<HostRow>[] = [
    {
      key: "host",
      header: "host",
      sort: (r) => r.host.name,
      render: (r) => (
        <>
          <StatusMark level={levelOfHost(r)} />
          <Link className={styles["link"]} href={links.host(r.host.name)}>
            {r.host.name}
          </Link>
          <SimulatedBadge host={r.host} />
        </>
      ),
    },
    { key: "state", header: "state", sort: (r) => r.host.state, render: (r) => stateText(r, view.nowMs, view.zone) },
    ...FLEET_METRICS.map(
      (m): Column<HostRow> => ({
        key: m.id,
        header: m.label,
        align: "right",
        sort: (r) => r.values[m.id],
        render: (r) => (
          <span className={m.id === "retransmits" && r.losing ? styles[levelOfHost(r) === "critical" ? "hot" : "warm"] : undefined}>
            {formatValue(r.values[m.id], m.unit)}
          </span>
        ),
      }),
    ),
    { key: "kernel", header: "kernel", sort: (r) => r.host.kernel, render: (r) => <span className="mono">{r.host.kernel}</span> },
    { key: "distro", header: "distribution", sort: (r) => r.host.distro, render: (r) => r.host.distro },
    { key: "cpu", header: "agent CPU", align: "right", sort: (r) => r.host.agent.cpuRatio, render: (r) => formatRatio(r.host.agent.cpuRatio) },
    { key: "rss", header: "agent RSS", align: "right", sort: (r) => r.host.agent.rssBytes, render: (r) => formatBytes(r.host.agent.rssBytes) },
    {
      key: "signals",
      header: "exact signals",
      align: "right",
      sort: (r) => r.host.signals.filter((s) => s.state === "exact").length,
      render: (r) => `${r.host.signals.filter((s) => s.state === "exact").length} of ${r.host.signals.length}`,
    },
  ];
  return (
    <>
      <h1 className={styles["title"]}>
        Hosts <span className={styles["dim"]}>{rows.length}, worst first</span>
      </h1>
      <div className={cardStyles["card"]}>
        <DataTable label="Hosts, worst first" columns={columns} rows={worstFirst(rows, "retransmits")} rowKey={(r) => r.host.id} />
      </div>
    </>
  );
}
