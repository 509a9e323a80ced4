// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatValue } from "@waggle/units";
import Link from "next/link";
import cardStyles from "@/components/chart-card.module.css";
import { type Column, DataTable } from "@/components/data-table";
import { SimulatedBadge } from "@/components/simulated";
import { StatusMark } from "@/components/status-mark";
import { useLinks } from "@/lib/links";
import { useView } from "@/lib/view";
import styles from "../page.module.css";
import { stateText } from "./comb-card";
import { type HostRow, levelOfHost, worstFirst } from "./host-rows";
import { FLEET_METRICS, type FleetMetric } from "./metrics";

const SHOWN = 8;

export function WorstHosts({ rows, loading }: { rows: readonly HostRow[]; loading: boolean }) {
  const view = useView();
  const links = useLinks();
  const metric = FLEET_METRICS.find((m) => m.id === view.by)?.id ?? "retransmits";
  const shown = worstFirst(rows, metric).slice(0, SHOWN);
  const columns: Column<HostRow>[] = [
    {
      key: "host",
      header: "host",
      render: (row) => (
        <>
          <StatusMark level={levelOfHost(row)} />
          <Link href={links.host(row.host.name)} className={styles["link"]}>
            {row.host.name}
          </Link>
          <SimulatedBadge host={row.host} short />
          {row.host.state !== "reporting" && (
            <span className={styles["dim"]} title={stateText(row, view.nowMs, view.zone)}>
              {" "}
              {row.host.state}
            </span>
          )}
        </>
      ),
    },
    ...FLEET_METRICS.map(
      (m: FleetMetric): Column<HostRow> => ({
        key: m.id,
        header: { retransmits: "retrans.", rtt: "RTT p99", connects: "conn. fail.", syscalls: "syscall err." }[m.id],
        align: "right",
        render: (row) => (
          <span
            className={
              m.id === "retransmits" && row.losing
                ? styles[levelOfHost(row) === "critical" ? "hot" : "warm"]
                : row.values[m.id] === 0
                  ? styles["dim"]
                  : undefined
            }
          >
            {formatValue(row.values[m.id], m.unit)}
          </span>
        ),
      }),
    ),
  ];
  return (
    <section className={cardStyles["card"]} aria-labelledby="worst-title" id="worst">
      <div className={cardStyles["head"]}>
        <h2 className={cardStyles["title"]} id="worst-title">
          Worst first <span>whole range</span>
        </h2>
      </div>
      {!loading && (
        <DataTable
          label="Hosts, worst first"
          columns={columns}
          rows={shown}
          rowKey={(row) => row.host.id}
          note={rows.length > SHOWN ? <Link href={links.hosts}>All {rows.length} hosts</Link> : undefined}
        />
      )}
    </section>
  );
}
