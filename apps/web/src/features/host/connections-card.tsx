// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatRatio, formatValue, NO_VALUE } from "@waggle/units";
import { useMemo } from "react";
import { ChartCard } from "@/components/chart-card";
import { type Column, DataTable } from "@/components/data-table";
import { usePanel } from "@/components/panel";
import { StatusMark } from "@/components/status-mark";
import { usePanelQuery } from "@/lib/api/hooks";
import type { Host } from "@/lib/api/types";
import { endpoint, LOSS_SEGMENTS_MIN, LOSS_SHARE_CRITICAL, LOSS_SHARE_WARNING } from "@/lib/findings";
import { useLinks } from "@/lib/links";
import { useView } from "@/lib/view";
import styles from "../page.module.css";
import { percentiles } from "../query-defs";
import { CONNECTION_KEY, type ConnectionRow, connectionRows, unitsByProcess, worstConnectionsFirst } from "./connections";
import { Name } from "./retransmits-cards";

/** Enough for a page; the note says how many there are. */
const LIMIT = 100;

export function ConnectionsCard({ host }: { host: Host }) {
  const links = useLinks();
  const view = useView();
  const shared = { by: CONNECTION_KEY, limit: LIMIT, shape: "total", host: host.name } as const;
  const volume = usePanelQuery({
    ...shared,
    signal: "tcp_connections",
    select: [
      { measure: "segments_sent", aggregate: "sum" },
      { measure: "segments_retransmitted", aggregate: "sum" },
      { measure: "bytes_sent", aggregate: "rate" },
      { measure: "bytes_received", aggregate: "rate" },
    ],
  });
  const rtt = usePanelQuery({ ...shared, signal: "tcp_rtt", select: percentiles("rtt") });
  const connect = usePanelQuery({ ...shared, signal: "tcp_connect_latency", select: [{ measure: "latency", aggregate: "p99" }] });
  const units = usePanelQuery({
    signal: "tcp_connections",
    select: [{ measure: "segments_sent", aggregate: "sum" }],
    by: ["process", "unit"],
    limit: 100,
    shape: "total",
    host: host.name,
  });
  const rows = useMemo(
    () =>
      worstConnectionsFirst(
        connectionRows(volume.result.data, rtt.result.data, connect.result.data, unitsByProcess(units.result.data)),
        LOSS_SEGMENTS_MIN,
      ),
    [volume.result.data, rtt.result.data, connect.result.data, units.result.data],
  );
  const level = (row: ConnectionRow): "critical" | "warning" | null => {
    if ((row.retransmitted ?? 0) < LOSS_SEGMENTS_MIN || (row.share ?? 0) < LOSS_SHARE_WARNING) return null;
    return (row.share ?? 0) >= LOSS_SHARE_CRITICAL ? "critical" : "warning";
  };
  const tone = (row: ConnectionRow): string | undefined =>
    ({ critical: styles["hot"], warning: styles["warm"], none: undefined })[level(row) ?? "none"];
  const columns: Column<ConnectionRow>[] = [
    {
      key: "process",
      header: "process · unit",
      sort: (r) => r.process,
      render: (r) => (
        <span className={styles["owner"]} title={[r.process, ...r.units].join(" · ")}>
          <StatusMark level={level(r)} />
          <Name text={r.process} href={links.filter("process", r.process)} /> <UnitName units={r.units} />
        </span>
      ),
    },
    {
      key: "peer",
      header: "peer",
      sort: (r) => r.peer,
      render: (r) => (
        <span className="mono">
          {r.peerPort === "ephemeral" ? "←" : "→"} {endpoint(r.peer, r.peerPort)}
          <span className="visually-hidden">{r.peerPort === "ephemeral" ? " (connects to this host)" : " (this host connects)"}</span>
        </span>
      ),
    },
    { key: "rtt50", header: "RTT p50", align: "right", sort: (r) => r.rttP50, render: (r) => formatValue(r.rttP50, "ns") },
    { key: "rtt99", header: "p99", align: "right", sort: (r) => r.rttP99, render: (r) => formatValue(r.rttP99, "ns") },
    {
      key: "share",
      header: "retrans.",
      align: "right",
      sort: (r) => r.share,
      render: (r) => <span className={tone(r)}>{r.share === 0 ? "0" : formatRatio(r.share)}</span>,
    },
    {
      key: "connect",
      header: "connect p99",
      align: "right",
      sort: (r) => r.connectP99,
      render: (r) => (r.connectP99 === null ? NO_VALUE : formatValue(r.connectP99, "ns")),
    },
    { key: "out", header: "out", align: "right", sort: (r) => r.bytesOut, render: (r) => formatValue(r.bytesOut, "bytes/s") },
    { key: "in", header: "in", align: "right", sort: (r) => r.bytesIn, render: (r) => formatValue(r.bytesIn, "bytes/s") },
  ];
  return (
    <ChartCard
      id="connections"
      title="Connections"
      subtitle="by process and peer, worst first"
      query={volume}
      panel={usePanel(volume, [host])}
      height={260}
      ribbon={false}
    >
      {(answer) =>
        rows.length === 0 ? (
          <p className={styles["dim"]}>No TCP connection carried anything in this range.</p>
        ) : (
          <DataTable
            label="Connections by process and peer, worst first"
            columns={columns}
            rows={rows}
            rowKey={(r) => r.key}
            maxHeight={330}
            note={
              answer.meta.truncated
                ? `The ${answer.meta.truncated.shown} of ${answer.meta.truncated.total} pairs that sent most segments; narrow with the filter${view.filter ? " further" : ""}.`
                : undefined
            }
          />
        )
      }
    </ChartCard>
  );
}

function UnitName({ units }: { units: readonly string[] }) {
  const [first] = units;
  if (first === undefined) return null;
  return (
    <span className={styles["dim"]} title={units.join(", ")}>
      {units.length === 1 ? first : `${units.length} units`}
    </span>
  );
}
