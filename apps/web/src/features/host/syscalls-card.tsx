// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatValue } from "@waggle/units";
import { useMemo } from "react";
import { ChartCard } from "@/components/chart-card";
import { type Column, DataTable } from "@/components/data-table";
import { usePanel } from "@/components/panel";
import { usePanelQuery } from "@/lib/api/hooks";
import type { Host } from "@/lib/api/types";
import { useLinks } from "@/lib/links";
import styles from "../page.module.css";
import { Name } from "./retransmits-cards";
import { isTrouble, SYSCALL_KEY, type SyscallRow, syscallRows, worstCallsFirst } from "./syscalls";

export function SyscallsCard({ host }: { host: Host }) {
  const links = useLinks();
  const shared = { limit: 100, shape: "total", host: host.name } as const;
  const counts = usePanelQuery({ ...shared, signal: "syscalls", select: [{ measure: "count", aggregate: "rate" }], by: SYSCALL_KEY });
  const latency = usePanelQuery({
    ...shared,
    signal: "syscall_latency",
    select: [
      { measure: "sum", aggregate: "rate" },
      { measure: "latency", aggregate: "p99" },
    ],
    by: SYSCALL_KEY,
  });
  const errors = usePanelQuery({
    ...shared,
    signal: "syscall_errors",
    select: [{ measure: "count", aggregate: "rate" }],
    by: [...SYSCALL_KEY, "errno"],
  });
  const rows = useMemo(
    () => worstCallsFirst(syscallRows(counts.result.data, latency.result.data, errors.result.data)),
    [counts.result.data, latency.result.data, errors.result.data],
  );
  const columns: Column<SyscallRow>[] = [
    {
      key: "call",
      header: "call",
      sort: (r) => r.syscall,
      render: (r) => <span className="mono">{r.syscall === "~other" ? "other" : r.syscall || "unknown"}</span>,
    },
    {
      key: "process",
      header: "process",
      sort: (r) => r.process,
      render: (r) => (
        <span className={styles["owner"]} style={{ maxWidth: 84 }} title={r.process}>
          <Name text={r.process} href={links.filter("process", r.process)} />
        </span>
      ),
    },
    { key: "rate", header: "per s", align: "right", sort: (r) => r.perSecond, render: (r) => formatValue(r.perSecond, "calls") },
    { key: "p99", header: "p99", align: "right", sort: (r) => r.p99, render: (r) => formatValue(r.p99, "ns") },
    {
      key: "errors",
      header: "errors",
      align: "right",
      sort: (r) => (r.errorsPerSecond > 0 ? r.errorsPerSecond : null),
      render: (r) =>
        r.topErrno === null ? (
          ""
        ) : (
          <span className={`${styles["errno"]} ${isTrouble(r.topErrno, r.syscall) ? styles["hot"] : styles["dim"]}`}>
            {r.topErrno} {formatValue(r.topErrnoPerSecond, "errors/s")}
          </span>
        ),
    },
  ];
  return (
    <ChartCard
      id="syscalls"
      title="System calls"
      subtitle="failing first, then most time; waiting last"
      query={counts}
      panel={usePanel(counts, [host])}
      height={260}
      ribbon={false}
    >
      {(answer) =>
        rows.length === 0 ? (
          <p className={styles["dim"]}>0 system calls were counted in this range.</p>
        ) : (
          <DataTable
            label="System calls by process"
            columns={columns}
            rows={rows}
            rowKey={(r) => r.key}
            maxHeight={330}
            note={answer.meta.truncated ? `The ${answer.meta.truncated.shown} most frequent of ${answer.meta.truncated.total}.` : undefined}
          />
        )
      }
    </ChartCard>
  );
}
