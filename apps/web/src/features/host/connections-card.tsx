// SPDX-License-Identifier: Apache-2.0
"use client";

import { literal } from "@waggle/query";
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
import { OTHER } from "@/lib/series";
import { useView } from "@/lib/view";
import styles from "../page.module.css";
import { NOT_LOOPBACK, percentiles, SEGMENTS } from "../query-defs";
import { CLIENT_KEY, type ConnectionRow, connectionRows, SERVER_KEY, shortUnit, unitsByProcess, worstConnectionsFirst } from "./connections";
import { Name } from "./retransmits-cards";

const VOLUME = {
  signal: "tcp_connections",
  select: [
    { measure: "segments_sent", aggregate: "sum" },
    { measure: "segments_retransmitted", aggregate: "sum" },
    { measure: "bytes_sent", aggregate: "rate" },
    { measure: "bytes_received", aggregate: "rate" },
  ],
} as const;
const RTT = { signal: "tcp_rtt", select: percentiles("rtt") } as const;

/** What fits into the cell of process and unit. */
const CELL_CHARACTERS = 20;

/** Enough for a page; the note says how many there are. */
const LIMIT = 100;

export function ConnectionsCard({ host }: { host: Host }) {
  const links = useLinks();
  const view = useView();
  const shared = { limit: LIMIT, shape: "total", host: host.name } as const;
  const client = { ...shared, by: CLIENT_KEY, where: [literal("role", "client")] } as const;
  const server = { ...shared, by: SERVER_KEY, where: [literal("role", "server")] } as const;
  const out = { volume: usePanelQuery({ ...client, ...VOLUME }), rtt: usePanelQuery({ ...client, ...RTT }) };
  const inward = { volume: usePanelQuery({ ...server, ...VOLUME }), rtt: usePanelQuery({ ...server, ...RTT }) };
  // Segments sent again over loopback say nothing about a path.
  const outPaths = usePanelQuery({ ...client, signal: "tcp_connections", select: SEGMENTS, where: [...client.where, ...NOT_LOOPBACK] });
  const inPaths = usePanelQuery({ ...server, signal: "tcp_connections", select: SEGMENTS, where: [...server.where, ...NOT_LOOPBACK] });
  const connect = usePanelQuery({
    ...shared,
    by: CLIENT_KEY,
    signal: "tcp_connect_latency",
    select: [{ measure: "latency", aggregate: "p99" }],
  });
  const units = usePanelQuery({
    signal: "tcp_connections",
    select: [{ measure: "segments_sent", aggregate: "sum" }],
    by: ["process", "unit"],
    limit: 100,
    shape: "total",
    host: host.name,
  });
  const outRows = useMemo(
    () =>
      connectionRows(
        "client",
        out.volume.result.data,
        out.rtt.result.data,
        connect.result.data,
        unitsByProcess(units.result.data),
        outPaths.result.data,
        LOSS_SEGMENTS_MIN,
      ),
    [out.volume.result.data, out.rtt.result.data, connect.result.data, units.result.data, outPaths.result.data],
  );
  const inRows = useMemo(
    () =>
      connectionRows(
        "server",
        inward.volume.result.data,
        inward.rtt.result.data,
        undefined,
        unitsByProcess(units.result.data),
        inPaths.result.data,
        LOSS_SEGMENTS_MIN,
      ),
    [inward.volume.result.data, inward.rtt.result.data, units.result.data, inPaths.result.data],
  );
  const rows = useMemo(() => worstConnectionsFirst([...outRows, ...inRows]), [outRows, inRows]);
  const level = (row: ConnectionRow): "critical" | "warning" | null => {
    if ((row.pathShare ?? 0) < LOSS_SHARE_WARNING) return null;
    return (row.pathShare ?? 0) >= LOSS_SHARE_CRITICAL ? "critical" : "warning";
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
          <Name text={r.process} href={links.filter("process", r.process)} />{" "}
          <UnitName units={r.units} room={Math.max(7, CELL_CHARACTERS - r.process.length)} />
        </span>
      ),
    },
    {
      key: "peer",
      header: "peer",
      sort: (r) => peerText(r),
      render: (r) => (
        <span className={`mono ${styles["peer"]}`} title={peerText(r)}>
          {r.role === "server" ? "←" : "→"} {peerText(r)}
          <span className="visually-hidden">{r.role === "server" ? " (connect to this host)" : " (this host connects)"}</span>
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
  // A host may only serve or only connect: the card has nothing to show only if neither role has.
  const clientPanel = usePanel(out.volume, [host]);
  const serverPanel = usePanel(inward.volume, [host]);
  const [query, panel] = clientPanel.state === "empty" && serverPanel.state === "ready" ? [inward.volume, serverPanel] : [out.volume, clientPanel];
  const cut = [out.volume, inward.volume].map((q) => q.result.data?.meta.truncated).filter((t) => t !== null && t !== undefined);
  return (
    <ChartCard
      id="connections"
      title="Connections"
      subtitle="by process and peer or port, worst first"
      query={query}
      panel={panel}
      height={260}
      ribbon={false}
    >
      {() =>
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
              cut.length > 0
                ? `The ${cut.reduce((sum, t) => sum + t.shown, 0)} of ${cut.reduce((sum, t) => sum + t.total, 0)} that sent most segments; narrow with the filter${view.filter ? " further" : ""}.`
                : undefined
            }
          />
        )
      }
    </ChartCard>
  );
}

function UnitName({ units, room }: { units: readonly string[]; room: number }) {
  const [first] = units;
  if (first === undefined) return null;
  return (
    <span className={styles["dim"]} title={units.join(", ")}>
      {units.length === 1 ? shortUnit(first, room) : `${units.length} units`}
    </span>
  );
}

function peerText(row: ConnectionRow): string {
  if (row.role === "client") return endpoint(row.peer, row.port);
  return row.port === "" || row.port === OTHER ? "clients of other ports" : `clients:${row.port}`;
}
