// SPDX-License-Identifier: Apache-2.0
"use client";

import { formatBytes, formatDuration, formatExact, formatRate, formatRatio } from "@waggle/units";
import { BreakableName } from "@/components/breakable-name";
import { ChartCard } from "@/components/chart-card";
import cardStyles from "@/components/chart-card.module.css";
import { type Column, DataTable } from "@/components/data-table";
import { usePanel } from "@/components/panel";
import { StatusMark } from "@/components/status-mark";
import { usePanelQuery } from "@/lib/api/hooks";
import type { Host, HostSignal, QueryAnswer } from "@/lib/api/types";
import { useLinks } from "@/lib/links";
import { totals } from "../facts";
import styles from "../page.module.css";
import { type Accounted, accountingOf, agreement } from "./accounting";
import { AttributionCard } from "./attribution-card";
import { DropsCard } from "./drops-card";
import { STATE_WORDS } from "./signal-states";

/** What watching costs, how far each signal can be trusted, and whether the sums add up. */
export function AgentSection({ host }: { host: Host }) {
  return (
    <>
      <h2 className={styles["section"]}>Agent</h2>
      <div className={`${styles["thirds"]} ${styles["wideRight"]}`}>
        <CostCard host={host} />
        <CoverageCard host={host} />
        <AccountingCard host={host} />
      </div>
      <div className={styles["halves"]}>
        <DropsCard host={host} />
        <AttributionCard host={host} />
      </div>
    </>
  );
}

interface CostRow {
  readonly program: string;
  readonly eventsPerSecond: number | null;
  readonly nsPerEvent: number | null;
  /** Of one core, kernel side plus process. */
  readonly core: number | null;
}

function costRows(answer: QueryAnswer): CostRow[] {
  const events = totals(answer, "events", "rate", ["program"]);
  const kernel = totals(answer, "kernel_ns", "rate", ["program"]);
  const cpu = totals(answer, "cpu_ns", "rate", ["program"]);
  return [...events].map(([program, perSecond]) => {
    const kernelNs = kernel.get(program) ?? null;
    const cpuNs = cpu.get(program) ?? null;
    return {
      program,
      eventsPerSecond: perSecond !== null && perSecond > 0 ? perSecond : cpuNs ? null : perSecond,
      nsPerEvent: kernelNs !== null && perSecond !== null && perSecond > 0 ? kernelNs / perSecond : null,
      core: kernelNs === null && cpuNs === null ? null : ((kernelNs ?? 0) + (cpuNs ?? 0)) / 1e9,
    };
  });
}

function CostCard({ host }: { host: Host }) {
  const query = usePanelQuery({
    signal: "agent_cost",
    select: [
      { measure: "events", aggregate: "rate" },
      { measure: "kernel_ns", aggregate: "rate" },
      { measure: "cpu_ns", aggregate: "rate" },
    ],
    by: ["program"],
    limit: 50,
    shape: "total",
    host: host.name,
  });
  const columns: Column<CostRow>[] = [
    { key: "program", header: "program", sort: (r) => r.program, render: (r) => <BreakableName name={r.program} /> },
    { key: "events", header: "runs", align: "right", sort: (r) => r.eventsPerSecond, render: (r) => formatRate(r.eventsPerSecond) },
    { key: "each", header: "each", align: "right", sort: (r) => r.nsPerEvent, render: (r) => formatDuration(r.nsPerEvent) },
    { key: "core", header: "of a core", align: "right", sort: (r) => r.core, render: (r) => formatRatio(r.core) },
  ];
  return (
    <ChartCard
      id="agent-cost"
      title="Cost"
      subtitle="per program, whole range"
      query={query}
      panel={usePanel(query, [host])}
      height={200}
      ribbon={false}
      summary={(answer) => (
        <>
          <b>{formatRatio(costRows(answer).reduce((sum, r) => sum + (r.core ?? 0), 0))}</b> of one core · {formatBytes(host.agent.rssBytes)} resident
          · {formatBytes(host.agent.mapBytes)} in maps
        </>
      )}
    >
      {(answer) => (
        <DataTable
          label="Cost per program"
          columns={columns}
          rows={costRows(answer)}
          rowKey={(r) => r.program}
          initialSort={{ key: "core", direction: "descending" }}
          maxHeight={420}
        />
      )}
    </ChartCard>
  );
}

function CoverageCard({ host }: { host: Host }) {
  const links = useLinks();
  const exact = host.signals.filter((s) => s.state === "exact").length;
  const columns: Column<HostSignal>[] = [
    {
      key: "signal",
      header: "signal",
      sort: (s) => s.name,
      render: (s) => (
        <>
          <StatusMark level={s.state === "failed" ? "critical" : s.state === "exact" ? null : "warning"} />
          <a className={`${styles["link"]} mono`} href={links.explore(s.name, host.name)}>
            {s.name}
          </a>
        </>
      ),
    },
    {
      key: "state",
      header: "state and why",
      sort: (s) => s.state,
      render: (s) => (
        <span className={`${styles["reason"]} ${s.state === "exact" ? styles["dim"] : ""}`}>
          {STATE_WORDS[s.state]}
          {s.reason !== "" && `: ${s.reason}`}
        </span>
      ),
    },
  ];
  return (
    <section className={cardStyles["card"]} aria-labelledby="coverage-title" id="coverage">
      <div className={cardStyles["head"]}>
        <h2 className={cardStyles["title"]} id="coverage-title">
          Coverage <span>per signal, last window</span>
        </h2>
      </div>
      <p className={cardStyles["summary"]}>
        <b>
          {exact} of {host.signals.length}
        </b>{" "}
        exact · <span className="mono">agent_coverage</span> itself is this table
      </p>
      <DataTable
        label="State of each signal"
        columns={columns}
        rows={[...host.signals].sort((a, b) => Number(a.state === "exact") - Number(b.state === "exact"))}
        rowKey={(s) => s.name}
        maxHeight={420}
      />
    </section>
  );
}

function AccountingCard({ host }: { host: Host }) {
  const query = usePanelQuery({
    signal: "agent_accounting",
    select: [
      { measure: "counted", aggregate: "sum" },
      { measure: "kernel", aggregate: "sum" },
    ],
    by: ["quantity"],
    limit: 50,
    shape: "total",
    host: host.name,
  });
  const columns: Column<Accounted>[] = [
    { key: "quantity", header: "quantity", sort: (r) => r.quantity, render: (r) => <BreakableName name={r.quantity} /> },
    { key: "counted", header: "counted", align: "right", sort: (r) => r.counted, render: (r) => formatExact(r.counted) },
    { key: "kernel", header: "kernel", align: "right", sort: (r) => r.kernel, render: (r) => formatExact(r.kernel) },
    {
      key: "agreement",
      header: "agree",
      align: "right",
      sort: (r) => agreement(r),
      render: (r) => formatRatio(agreement(r)),
    },
  ];
  return (
    <ChartCard
      id="accounting"
      title="Accounting"
      subtitle="counted against the kernel's own counters"
      query={query}
      panel={usePanel(query, [host])}
      height={200}
      ribbon={false}
      summary={() => "sums over the range; the two are read a few ms apart"}
    >
      {(answer) => (
        <DataTable
          label="Counted against the kernel's counters"
          columns={columns}
          rows={accountingOf(answer)}
          rowKey={(r) => r.quantity}
          initialSort={{ key: "agreement", direction: "ascending" }}
          maxHeight={420}
        />
      )}
    </ChartCard>
  );
}
