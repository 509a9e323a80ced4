// SPDX-License-Identifier: Apache-2.0
"use client";

import { useMemo } from "react";
import { usePanel } from "@/components/panel";
import { PanelState } from "@/components/panel-state";
import { SentenceText } from "@/components/sentence";
import { ApiError } from "@/lib/api/client";
import { useHosts, usePanelQuery } from "@/lib/api/hooks";
import { fleetSentence, losing, plain } from "@/lib/findings";
import { useLinks } from "@/lib/links";
import { stepStart } from "@/lib/series";
import { useView } from "@/lib/view";
import { hostPredicate } from "@/lib/where";
import { blameOf, failuresOf, lossesOf, lossShare } from "../facts";
import styles from "../page.module.css";
import { BLAME, FAILURES, RTT, SEGMENTS } from "../query-defs";
import { CombCard } from "./comb-card";
import { Enrol } from "./enrol";
import { FleetCharts } from "./fleet-charts";
import { hostRows } from "./host-rows";
import { WorstHosts } from "./worst-hosts";

/** As many hosts as one query answers; the comb says so when there are more. */
const HOSTS_LIMIT = 100;

export function FleetPage() {
  const view = useView();
  const links = useLinks();
  const hosts = useHosts();

  const segments = usePanelQuery({ signal: "tcp_connections", select: SEGMENTS, by: ["host"], limit: HOSTS_LIMIT, shape: "total" });
  const rtt = usePanelQuery({ signal: "tcp_rtt", select: [{ measure: RTT, aggregate: "p99" }], by: ["host"], limit: HOSTS_LIMIT, shape: "total" });
  const connects = usePanelQuery({
    signal: "tcp_connect_failures",
    select: [{ measure: "count", aggregate: "rate" }],
    by: ["host"],
    limit: HOSTS_LIMIT,
    shape: "total",
  });
  const syscalls = usePanelQuery({
    signal: "syscall_errors",
    select: [{ measure: "count", aggregate: "rate" }],
    by: ["host"],
    limit: HOSTS_LIMIT,
    shape: "total",
  });
  const failures = usePanelQuery(FAILURES);

  const losses = useMemo(() => lossesOf(segments.result.data), [segments.result.data]);
  const reporting = new Set(hosts.data?.filter((host) => host.state === "reporting").map((host) => host.name));
  const lossy = losing(losses).filter((loss) => reporting.has(loss.host));
  const worstLoss = lossy[0] ?? null;
  // One loser: who it is on that host. Several: who it is everywhere.
  const blame = usePanelQuery(worstLoss && lossy.length === 1 ? { ...BLAME, host: worstLoss.host } : BLAME);
  const lossSeries = usePanelQuery({
    signal: "tcp_connections",
    select: SEGMENTS,
    shape: "series",
    host: worstLoss?.host ?? "",
    enabled: worstLoss !== null,
  });

  const rows = useMemo(() => {
    const list = (hosts.data ?? []).filter((host) => hostPredicate(view.filter)(host.name));
    return hostRows(list, { segments: segments.result.data, rtt: rtt.result.data, connects: connects.result.data, syscalls: syscalls.result.data });
  }, [hosts.data, view.filter, segments.result.data, rtt.result.data, connects.result.data, syscalls.result.data]);

  const lossMeta = lossSeries.result.data?.meta;
  const sentence = hosts.data
    ? fleetSentence(
        {
          hosts: rows.map((row) => row.host),
          losses,
          blame: blameOf(blame.result.data),
          lossShares: worstLoss ? lossShare(lossSeries.result.data) : [],
          stepStartMs: (i) => (lossMeta ? stepStart(lossMeta, i) : view.range.fromMs),
          failures: failuresOf(failures.result.data),
        },
        {
          filtered: view.filter !== "",
          rangeFromMs: view.range.fromMs,
          nowMs: view.nowMs,
          zone: view.zone,
          hostHref: links.host,
          filterHref: links.filter,
        },
      )
    : null;
  const known = segments.result.data !== undefined && failures.result.data !== undefined;

  const panels = {
    retransmits: { query: segments, panel: usePanel(segments, hosts.data) },
    rtt: { query: rtt, panel: usePanel(rtt, hosts.data) },
    connects: { query: connects, panel: usePanel(connects, hosts.data) },
    syscalls: { query: syscalls, panel: usePanel(syscalls, hosts.data) },
  };

  if (hosts.error instanceof ApiError) {
    return (
      <>
        <h1 className={styles["sentence"]}>The fleet can't be shown</h1>
        <PanelState
          cause={{ kind: "failed", problem: hosts.error.problem }}
          height={300}
          zone={view.zone}
          nowMs={view.nowMs}
          onRetry={() => void hosts.refetch()}
          onClearFilter={() => view.setFilter("")}
          onLatest={() => view.setRange({ from: "now-15m", to: "now" })}
        />
      </>
    );
  }
  if (hosts.data?.length === 0) return <Enrol />;

  return (
    <>
      <h1 className={styles["sentence"]}>
        {sentence && known ? (
          <SentenceText sentence={sentence} />
        ) : hosts.data ? (
          `${hosts.data.length === 1 ? "1 host" : `${hosts.data.length} hosts`}.`
        ) : (
          " "
        )}
      </h1>
      <p className="visually-hidden" aria-live="polite">
        {sentence && known ? plain(sentence) : ""}
      </p>
      <div className={styles["stack"]}>
        <div className={styles["combRow"]}>
          <CombCard rows={rows} panels={panels} />
          <WorstHosts rows={rows} loading={hosts.data === undefined} />
        </div>
        <FleetCharts rows={rows} hosts={hosts.data} />
      </div>
    </>
  );
}
