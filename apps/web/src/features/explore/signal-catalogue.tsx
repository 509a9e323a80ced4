// SPDX-License-Identifier: Apache-2.0
"use client";

import cardStyles from "@/components/chart-card.module.css";
import { type Column, DataTable } from "@/components/data-table";
import { StatusMark } from "@/components/status-mark";
import { usePanelQuery } from "@/lib/api/hooks";
import { isValues, type QueryAnswer, type Signal } from "@/lib/api/types";
import { useLinks } from "@/lib/links";
import { single } from "@/lib/series";
import { STATE_WORDS } from "../host/signal-states";
import styles from "../page.module.css";
import explore from "./explore.module.css";
import { stateSummary } from "./signal-facts";

/** Distinct reasons per signal that are worth reading. */
const REASONS_MAX = 3;
const REASON_ROWS_MAX = 1_000;

/** All signals with what they answer, on how many hosts they are measured, and why not on the others. */
export function SignalCatalogue({ signals, unknown }: { signals: readonly Signal[]; unknown: string }) {
  const links = useLinks();
  const said = usePanelQuery({
    signal: "agent_coverage",
    select: [{ measure: "windows", aggregate: "sum" }],
    by: ["signal", "state", "reason"],
    limit: REASON_ROWS_MAX,
    shape: "total",
  });
  const reasons = reasonsOf(said.result.data);
  const exact = signals.filter(({ coverage }) => coverage.reporting > 0).length;
  const columns: Column<Signal>[] = [
    {
      key: "signal",
      header: "signal",
      sort: (s) => s.name,
      render: (s) => (
        <a className={`${styles["link"]} mono`} href={links.explore(s.name)}>
          {s.name}
        </a>
      ),
    },
    { key: "family", header: "family", sort: (s) => s.family, render: (s) => s.family },
    { key: "question", header: "question", render: (s) => <span className={explore["question"]}>{s.question}</span> },
    {
      key: "reporting",
      header: "measured on",
      align: "right",
      sort: (s) => s.coverage.reporting,
      render: (s) => `${s.coverage.reporting} of ${s.coverage.hosts}`,
    },
    {
      key: "state",
      header: "state and why",
      sort: (s) => stateSummary(s),
      render: (s) => {
        const failed = (s.coverage.states.failed ?? 0) > 0;
        const partial = s.coverage.reporting < s.coverage.hosts || Object.keys(s.coverage.states).some((state) => state !== "exact");
        return (
          <span className={`${styles["reason"]} ${partial ? "" : styles["dim"]}`}>
            <StatusMark level={failed ? "critical" : null} />
            {stateSummary(s)}
            {(reasons.get(s.name) ?? []).slice(0, REASONS_MAX).map((reason) => (
              <span key={reason} className={styles["reason"]}>
                {reason}
              </span>
            ))}
          </span>
        );
      },
    },
  ];
  return (
    <>
      <h1 className={styles["title"]}>
        Explore <span>{unknown === "" ? "any signal, by anything it knows" : `There is no signal "${unknown}"; these are all.`}</span>
      </h1>
      <p className={styles["facts"]}>
        <span>
          <b>
            {exact} of {signals.length}
          </b>{" "}
          signals are measured on some host; the others say why not.
        </span>
      </p>
      <section className={cardStyles["card"]} aria-label="All signals">
        <DataTable label="All signals" columns={columns} rows={signals} rowKey={(s) => s.name} />
      </section>
    </>
  );
}

/** Per signal: `state: reason` of every state but exact that hosts named in the range, most windows first. */
function reasonsOf(answer: QueryAnswer | undefined): ReadonlyMap<string, readonly string[]> {
  const reasons = new Map<string, string[]>();
  const said = (answer?.series ?? []).filter(isValues).filter((series) => (single(series) ?? 0) > 0);
  for (const { labels } of said.toSorted((a, b) => (single(b) ?? 0) - (single(a) ?? 0))) {
    const { signal = "", state = "", reason = "" } = labels;
    if (state === "exact" || reason === "") continue;
    const list = reasons.get(signal) ?? [];
    list.push(`${STATE_WORDS[state as keyof typeof STATE_WORDS] ?? state}: ${reason}`);
    reasons.set(signal, list);
  }
  return reasons;
}
